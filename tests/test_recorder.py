"""A capture in the making: interrupted, let go of, beside dying engines and rules that somebody changes by hand."""

import gc
import os
import resource
import time
from collections.abc import Iterator

import pytest

from labkit import Capture, Lab
from labkit.errors import CaptureError
from labkit.recorder import Recorder
from tests.inside import kill_by_name
from tests.interrupt import interrupted

ANOTHER_RULE = "nft add rule inet labkit prerouting tcp dport 81 counter"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def _in_l4(lab: Lab) -> None:
    lab.balancer.l4()


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_an_interrupt_of_the_end_leaves_the_capture_complete(lab: Lab):
    for round_ in range(12):
        cap = lab.capture().start()
        lab.alice.get("http://lb/")
        with pytest.raises(KeyboardInterrupt), interrupted(round_ * 0.004):
            stop_and_wait(cap)
        cap.stop()
        assert len(cap.exchanges()) == 0
        assert {"alice", "lb:front", "lb:back"} < set(cap.connections().iloc[0].seen_at)


def stop_and_wait(cap: Recorder) -> None:
    cap.stop()
    time.sleep(5)  # it was quicker than the interrupt


def test_captures_that_are_kept_or_dropped_hold_no_descriptor(lab: Lab):
    with lab.capture("alice"):
        lab.alice.get("http://lb/")
    before = descriptors()
    kept = []
    for _ in range(10):
        with lab.capture("alice") as cap:
            lab.alice.get("http://lb/")
        kept.append(cap)
    assert descriptors() == before
    assert [len(cap.packets()) > 0 for cap in kept] == [True] * 10
    lab.capture("alice").start()  # nobody holds it, so it ends
    deadline = time.monotonic() + 5
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert descriptors() == before


def test_a_capture_without_a_descriptor_left_is_refused_in_words(lab: Lab):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null") as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
    try:
        with pytest.raises(CaptureError, match=r"Too many open files\. Let go of captures"):
            lab.capture("alice").start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with lab.capture("alice") as cap:
        lab.alice.get("http://lb/")
    assert len(cap.packets()) > 0


def test_what_a_dead_engine_knew_is_said_to_be_missing(lab: Lab, tmp_path):
    with lab.capture() as whole:
        lab.alice.get("http://lb/")
    assert whole.recording.lacks == ()
    with lab.capture() as cap:
        lab.alice.get("http://lb/")
        assert lab.lb.call(kill_by_name, "nftables.task") == 1
        deadline = time.monotonic() + 5
        while not lab.balancer._live.unsaid and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.warns(RuntimeWarning, match=r"L4 engine's task died \(ended by SIGKILL\) and was started again"):
            assert lab.balancer.mode == "l4"
        lab.alice.get("http://lb/")
    (lack,) = cap.recording.lacks
    assert "the engine's task ended (ended by SIGKILL)" in lack
    assert len(cap.decisions()) == 1, "of the connection after its death"
    assert cap.decisions().iloc[0].backend in lab.nodes
    assert "not in the file: the L4 decisions from" in repr(cap)
    assert Capture.load(cap.save(tmp_path / "cap.pcapng")).recording.lacks == cap.recording.lacks
    with lab.capture() as after:
        lab.alice.get("http://lb/")
    assert after.recording.lacks == ()


@pytest.mark.needs("nft")
def test_a_rule_added_by_hand_is_recorded_when_it_was_seen_and_not_before(lab: Lab):
    lab.balancer.l4(backends=["api1"])
    assert lab.lb.run(ANOTHER_RULE).returncode == 0
    with lab.capture() as cap:
        lab.alice.get("http://lb/")
        second = "nft add rule inet labkit prerouting tcp dport 82 counter"
        assert lab.lb.run(second).returncode == 0
        added_ns = time.time_ns()
    opening, later = cap.recording.of_kind("rules")
    assert "dport 81" in opening["text"]
    assert "dport 82" not in opening["text"]
    assert "dport 82" in later["text"]
    assert opening["time_ns"] < added_ns < later["time_ns"]
