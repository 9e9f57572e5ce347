"""Nothing is lost in silence: what is recorded and what is reported as dropped is what the kernel counted."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from labkit import Lab
from labkit.recording import Recording
from labkit.taps.collector import Taps
from labkit.taps.ring import RingSize
from tests.taps.jobs import packets_on

PATH = ("alice", "lb:front", "lb:back", "api1")
PLACES = (("alice", "front"), ("lb", "front"), ("lb", "back"), ("api1", "back"))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.balancer.l4(backends=["api1"])
        lab.balancer.health.off()  # checks are on the interfaces' counters, and left out of the capture
        yield lab


def at_rest(lab: Lab) -> tuple[np.ndarray, int]:
    """The kernel's counters, and a time at which they stood still."""
    for _ in range(100):
        first = [lab.nodes[node].call(packets_on, interface) for node, interface in PLACES]
        time.sleep(0.05)
        still_ns = time.time_ns()
        time.sleep(0.05)
        if first == [lab.nodes[node].call(packets_on, interface) for node, interface in PLACES]:
            return np.array(first), still_ns
    raise AssertionError("the interfaces do not come to rest")


def counted_and_recorded(lab: Lab, taps: Taps, work: Callable[[], object]) -> tuple[np.ndarray, np.ndarray, Recording]:
    """How many packets the kernel counted during *work* at each vantage point, and how many were recorded."""
    taps.start()
    before, since_ns = at_rest(lab)
    work()
    after, until_ns = at_rest(lab)
    recording = taps.stop()
    rows = recording.packets
    rows = rows[(rows["time_ns"] > since_ns) & (rows["time_ns"] < until_ns)]
    return after - before, np.bincount(rows["vantage"], minlength=len(PATH)), recording


def taps_of(lab: Lab, ring: RingSize | None = None) -> Taps:
    return Taps({name: lab._node(name) for name in lab.nodes}, lab.topology, PATH, ring=ring)


def asked(lab: Lab, requests: int) -> Callable[[], object]:
    def ask() -> None:
        report = lab.alice.load("http://lb/api/x", connections=16, seconds=300, requests=requests)
        assert (report.requests, report.failed) == (requests, 0)

    return ask


def test_every_packet_on_the_interfaces_is_recorded(lab: Lab) -> None:
    counted, recorded, recording = counted_and_recorded(lab, taps_of(lab), asked(lab, 500))
    assert recorded.tolist() == counted.tolist()
    assert recorded.min() >= 500 * 8, "a connection takes more than that"
    assert {loss.dropped for loss in recording.loss.values()} == {0}
    assert recording.of_kind("loss") == []


def test_what_a_small_ring_drops_is_counted_and_dated(lab: Lab) -> None:
    counted, recorded, recording = counted_and_recorded(lab, taps_of(lab, RingSize(2, 4096, 1)), asked(lab, 1000))
    dropped = np.array([recording.loss[name].dropped for name in PATH])
    assert dropped.sum() > 0
    assert (recorded + dropped).tolist() == counted.tolist()
    told = dict.fromkeys(PATH, 0)
    for event in recording.of_kind("loss"):
        told[event["vantage"]] += event["dropped"]
        assert event["since_ns"] < event["time_ns"]
    for name in PATH:  # those of the last moment have no block after them that would date them
        assert told[name] <= recording.loss[name].dropped
    assert sum(told.values()) > 0


@pytest.mark.slow
def test_tens_of_thousands_of_requests_without_a_drop(lab: Lab) -> None:
    counted, recorded, recording = counted_and_recorded(lab, taps_of(lab), asked(lab, 20_000))
    dropped = np.array([recording.loss[name].dropped for name in PATH])
    assert (recorded + dropped).tolist() == counted.tolist()
    assert recording.lacks == ()
