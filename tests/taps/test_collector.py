"""Captures in a real lab: complete, consistent, and gone when they end."""

import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import CaptureError
from labkit.recording import Recording, read_pcapng, write_pcapng
from labkit.runtime import Runtime, candidates
from labkit.taps import PRELOAD, blocks, collector
from labkit.taps.collector import Taps
from labkit.taps.ring import RingSize
from labkit.topology import default
from tests.interrupt import strike
from tests.taps.jobs import TAG

JOBS = "tests.taps.jobs:"
API1 = "10.0.2.11"
PATH = ("alice", "lb:front", "lb:back", "api1")


def send(runtime: Runtime, count: int, size: int = 0) -> None:
    runtime.nodes["alice"].call(JOBS + "send", API1, count, size)


def tagged(recording: Recording, vantage: str) -> list[tuple[int, int, int]]:
    """(number, direction, time) of our datagrams at one vantage point, in order."""
    index = [each.name for each in recording.vantages].index(vantage)
    found = []
    for number in (np.flatnonzero(recording.packets["vantage"] == index) + 1).tolist():
        frame = recording.frame(number)
        if TAG in frame:
            row = recording.packets[number - 1]
            at = frame.index(TAG) + len(TAG)
            found.append((int(frame[at : at + 8]), int(row["direction"]), int(row["time_ns"])))
    return found


def await_arrival(taps: Taps, count: int) -> None:
    """Until so many of our (empty) datagrams have come from every tap."""
    store = taps._store
    assert store
    for _ in range(1000):
        rows = blocks.rows(store.data(), list(store.chunks))
        ours = rows["vantage"][rows["captured"] == 14 + 20 + 8 + len(TAG) + 8]
        if np.bincount(ours, minlength=len(PATH)).min() >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the datagrams did not arrive")


def taps_left(runtime: Runtime) -> int:
    """Packet sockets open in the lab, after those of ended tasks had a moment to be closed by the kernel."""
    deadline = time.monotonic() + 5
    while True:
        left = sum(node.call(JOBS + "tap_sockets") for node in runtime.nodes.values())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def test_every_packet_once_at_every_vantage_point_of_its_way(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), PATH)
    taps.start()
    send(runtime, 1000)
    recording = taps.stop()
    assert [vantage.name for vantage in recording.vantages] == list(PATH)
    assert recording.vantages[1].node == "lb"
    assert recording.vantages[1].interface == "front"
    assert recording.vantages[3].description == "backend api1 on back, 10.0.2.11"
    seen = {vantage: tagged(recording, vantage) for vantage in PATH}
    for vantage, direction in zip(PATH, (2, 1, 2, 1), strict=True):
        assert [number for number, _, _ in seen[vantage]] == list(range(1000)), vantage
        assert {kind for _, kind, _ in seen[vantage]} == {direction}, vantage
    for hops in zip(*seen.values(), strict=True):
        times = [time_ns for _, _, time_ns in hops]
        assert times == sorted(times), "each hop sees a packet later than the one before"
    assert (np.diff(recording.packets["time_ns"]) >= 0).all()
    counts = Counter(recording.packets["vantage"].tolist())
    assert {name: loss.captured for name, loss in recording.loss.items()} == {
        name: counts[index] for index, name in enumerate(PATH)
    }
    assert {loss.dropped for loss in recording.loss.values()} == {0}
    assert recording.lacks == ()
    assert recording.source == "live"
    assert taps_left(runtime) == 0


def test_stopped_at_once_nothing_is_missing(runtime: Runtime) -> None:
    for _ in range(20):
        taps = Taps(runtime.nodes, default(), PATH)
        taps.start()
        send(runtime, 50)
        recording = taps.stop()
        for vantage in PATH:
            assert [number for number, _, _ in tagged(recording, vantage)] == list(range(50))


def test_a_live_capture_is_kept_whole_in_a_file(runtime: Runtime, tmp_path: Path) -> None:
    taps = Taps(runtime.nodes, default())
    taps.start()
    send(runtime, 20, size=1000)
    late, early = ({"kind": "mode", "time_ns": time_ns, "mode": "l4"} for time_ns in (9, 5))
    recording = taps.stop(lambda: [late, early])
    assert [vantage.name for vantage in recording.vantages] == list(default().vantages)
    read = read_pcapng(write_pcapng(recording, tmp_path / "live.pcapng"))
    assert read.vantages == recording.vantages
    assert read.loss == recording.loss
    assert read.events == (early, late)
    assert read.lacks == ()
    assert [read.frame(n) for n in range(1, len(read) + 1)] == [
        recording.frame(n) for n in range(1, len(recording) + 1)
    ]
    assert len(tagged(read, "api1")) == 20


def test_stop_gives_the_same_recording_again(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), ["alice"])
    taps.start()
    first = taps.stop([])
    assert taps.stop([{"kind": "mode", "time_ns": 1}]) is first
    taps.close()
    taps.close()
    assert len(first.data) >= 0


def test_continuous_traffic_does_not_put_off_the_end_for_ever(runtime: Runtime) -> None:
    task = runtime.nodes["alice"].start(JOBS + "chatter", address=API1)
    try:
        assert task.receive(5) == "begun"
        taps = Taps(runtime.nodes, default(), PATH)
        taps.start()
        recording = taps.stop()
        fence_ns = time.time_ns()
    finally:
        task.stop()
    assert len(recording) > 0
    assert recording.packets["time_ns"].max() < fence_ns
    counts = [len(tagged(recording, vantage)) for vantage in PATH]
    assert max(counts) - min(counts) <= 1, "one window for all: only a packet on its way when it closed may differ"
    assert recording.lacks == ()


def test_a_vantage_point_that_cannot_start_stops_the_others(runtime: Runtime) -> None:
    topology = default()
    broken = tuple(
        replace(node, interfaces=(replace(node.interfaces[0], link="nowhere"),)) if node.name == "api1" else node
        for node in topology.nodes
    )
    taps = Taps(runtime.nodes, replace(topology, nodes=broken))
    with pytest.raises(CaptureError, match=r"capture at api1 did not start: Interface 'nowhere' .* there are: "):
        taps.start()
    assert taps_left(runtime) == 0
    with pytest.raises(CaptureError, match="not running"):
        taps.stop()
    with pytest.raises(CaptureError, match="make another one"):
        taps.start()


def test_a_tap_that_is_never_ready(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "TASK", JOBS + "silent")
    monkeypatch.setattr(collector, "_START_SECONDS", 0.1)
    with pytest.raises(CaptureError, match="alice did not start: its tap was not ready within"):
        Taps(runtime.nodes, default(), ["alice"]).start()


def test_a_dead_tap_leaves_what_it_saw(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), PATH)
    taps.start()
    send(runtime, 30)
    await_arrival(taps, 30)
    assert runtime.nodes["api1"].call(JOBS + "kill_tap") == 1
    send(runtime, 30)
    recording = taps.stop()
    assert [len(tagged(recording, vantage)) for vantage in PATH] == [60, 60, 60, 30]
    (lack,) = recording.lacks
    assert lack == "the last packets at api1: its tap ended early (ended by SIGKILL)"
    assert recording.loss["api1"].dropped is None
    assert recording.loss["alice"].dropped == 0


def test_an_interface_that_went_down_is_reported(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), ["alice", "bob"])
    taps.start()
    runtime.nodes["bob"].call(JOBS + "interrupt_cable", "front")
    send(runtime, 10)
    recording = taps.stop()
    assert recording.lacks == ("perhaps packets at bob: its interface went down during the capture",)
    assert len(tagged(recording, "alice")) == 10


def test_drops_are_reported(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), ["alice", "api1"], ring=RingSize(2, 4096, 1))
    taps.start()
    send(runtime, 3000, size=1000)
    recording = taps.stop()
    alice = recording.loss["alice"]
    assert alice.dropped
    assert alice.captured == (recording.packets["vantage"] == 0).sum()
    assert alice.captured + alice.dropped >= 3000


def test_a_full_store_cuts_the_capture_short_everywhere_at_once(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), PATH, limit_bytes=3_000_000)
    taps.start()
    for _ in range(100):
        send(runtime, 20, size=1000)
    recording = taps.stop()
    assert len(recording.data) <= 3_000_000
    counts = [len(tagged(recording, vantage)) for vantage in PATH]
    assert 0 < max(counts) < 2000
    assert max(counts) - min(counts) <= 1
    (lack,) = recording.lacks
    used_up = "it has used up the memory for one capture, 3000000 bytes"
    assert lack == f"everything after its first {len(recording)} packets: {used_up}"
    assert taps_left(runtime) == 0


def test_no_room_left_cuts_it_short_too_and_keeps_what_was_written(runtime: Runtime) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    taps = Taps(runtime.nodes, default(), PATH)
    taps.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # the kernel itself refuses what is over
    try:
        for _ in range(100):
            send(runtime, 20, size=1000)
        recording = taps.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    counts = [len(tagged(recording, vantage)) for vantage in PATH]
    assert 0 < max(counts) < 2000
    assert max(counts) - min(counts) <= 1
    (lack,) = recording.lacks
    assert lack.startswith(
        f"everything after its first {len(recording)} packets: this machine has no memory left for it"
    )
    assert taps_left(runtime) == 0


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """KeyboardInterrupt in the main thread after a while, as from the notebook's stop button."""
    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals strike the main thread")
def test_an_interrupted_start_leaves_no_tap(runtime: Runtime) -> None:
    interrupted = 0
    for step in range(12):
        taps = Taps(runtime.nodes, default(), PATH)
        try:
            with interrupt_after(0.0002 * 1.5**step):
                taps.start()
        except KeyboardInterrupt:
            interrupted += 1
        taps.close()
        assert taps_left(runtime) == 0
    assert interrupted
    test_every_packet_once_at_every_vantage_point_of_its_way(runtime)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals strike the main thread")
def test_an_interrupted_stop_ends_the_taps_and_keeps_what_had_arrived(runtime: Runtime) -> None:
    taps = Taps(runtime.nodes, default(), PATH)
    taps.start()
    send(runtime, 30)
    await_arrival(taps, 30)
    with pytest.raises(KeyboardInterrupt), interrupt_after(0.005):
        taps.stop()
    assert taps_left(runtime) == 0
    recording = taps.stop()
    assert [len(tagged(recording, vantage)) for vantage in PATH] == [30] * 4
    assert [lack.split(":")[-1] for lack in recording.lacks] == [" its tap ended early (it was stopped)"] * 4


def test_taps_that_do_not_obey_the_fence_are_ended(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_FENCE_SECONDS", 0.0)
    taps = Taps(runtime.nodes, default(), ["alice"])
    taps.start()
    recording = taps.stop()
    assert recording.lacks == ("the last packets at alice: its tap ended early (it was stopped)",)
    assert taps_left(runtime) == 0


def test_a_lab_that_goes_leaves_what_was_captured(runtime: Runtime) -> None:
    other = next(candidates("netns"))
    other.start(default(), PRELOAD)
    try:
        other.nodes["api1"].call(JOBS + "listen")
        taps = Taps(other.nodes, default(), PATH)
        taps.start()
        send(other, 10)
        await_arrival(taps, 10)
    finally:
        other.stop()
    recording = taps.stop()
    assert {len(tagged(recording, vantage)) for vantage in ("alice", "lb:front")} == {10}
    assert len(recording.lacks) == 4
    assert {loss.dropped for loss in recording.loss.values()} == {None}
    again = Taps(other.nodes, default(), PATH)
    with pytest.raises(CaptureError, match="did not start"):
        again.start()


def test_nothing_is_kept_open_and_nothing_has_a_name(runtime: Runtime) -> None:
    def links() -> list[str]:
        paths = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        return [os.readlink(path) for path in paths if path.is_symlink() and "labkit-capture" in os.readlink(path)]

    def kept() -> int:
        return len(links())

    before = kept()
    taps = Taps(runtime.nodes, default(), ["alice"])
    taps.start()
    assert kept() == before + 1
    assert all(link.endswith("(deleted)") for link in links())
    taps.stop()
    assert kept() == before


def test_vantage_points_by_name() -> None:
    topology = default()
    assert Taps.choose(topology) == topology.vantages
    assert Taps.choose(topology, ("api1", "alice", "api1")) == ("alice", "api1")
    with pytest.raises(CaptureError, match=r"no vantage point 'lb'. lb has several: lb:front, lb:back"):
        Taps.choose(topology, ["lb"])
    with pytest.raises(CaptureError, match=r"no vantage point 'carol'. There are: alice, bob, lb:front"):
        Taps.choose(topology, "carol")
    with pytest.raises(CaptureError, match="never started"):
        Taps({name: None for name in ("alice",)}, topology, ["alice"]).stop()  # type: ignore[dict-item]
