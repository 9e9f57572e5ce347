"""Limits: what came first by time is kept, the same for all vantage points."""

import random

import numpy as np
import pytest

from labkit import Lab
from labkit.errors import CaptureError
from labkit.recording import PACKET_DTYPE
from labkit.taps import layout
from labkit.taps.limits import Limits, Tally

pytestmark = pytest.mark.measured

VANTAGES = ("alice", "lb:front", "lb:back", "api1")


def rows(times: list[int], sizes: list[int]) -> np.ndarray:
    made = np.zeros(len(times), PACKET_DTYPE)
    made["time_ns"], made["captured"] = times, sizes
    return made


@pytest.mark.parametrize(
    ("limits", "count", "last_ns", "why"),
    [
        (Limits(), 4, None, ""),
        (Limits(packets=9, bytes=999, seconds=9), 4, None, ""),
        (Limits(packets=3), 3, 30, "packets=3"),
        (Limits(packets=4), 4, 40, "packets=4"),
        (Limits(bytes=250), 2, 20, "bytes=250"),
        (Limits(bytes=50), 0, 0, "bytes=50"),
        (Limits(bytes=400), 4, 40, "bytes=400"),
        (Limits(seconds=25e-9), 2, 25, "seconds=2.5e-08"),
        (Limits(packets=3, seconds=25e-9), 2, 25, "seconds=2.5e-08"),
        (Limits(packets=1, seconds=25e-9), 1, 10, "packets=1"),
        (Limits(packets=3, bytes=100), 1, 10, "bytes=100"),
    ],
)
def test_the_first_that_are_within_all_limits(limits: Limits, count: int, last_ns: int | None, why: str) -> None:
    kept, until, reason = limits.first(rows([10, 20, 30, 40], [100] * 4), 0, 50)
    assert (kept, until) == (count, last_ns)
    assert why in reason
    assert bool(reason) == bool(why)


@pytest.mark.parametrize("seed", range(20))
def test_a_tally_never_counts_more_than_there_was(seed: int) -> None:
    dice = random.Random(seed)
    sizes = [dice.choice([0, 1, 60, 66, 1514]) for _ in range(dice.randrange(1, 200))]
    # as the kernel lays them out: each packet on 8 bytes, behind its header
    length = layout.BLOCK_HEADER + sum((82 + size + 7) // 8 * 8 for size in sizes)
    tally = Tally(Limits(packets=10**9, bytes=10**9))
    assert not tally.add(len(sizes), length, 7)
    assert tally.packets == len(sizes)
    assert tally.bytes <= sum(sizes)
    assert tally.newest_ns == 7
    assert Tally(Limits(packets=len(sizes))).add(len(sizes), length, 7)


@pytest.mark.parametrize("name", ["packets", "bytes", "seconds"])
@pytest.mark.parametrize("wrong", [0, -1, "1", True, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_limit(name: str, wrong: object) -> None:
    with pytest.raises(CaptureError, match=f"A capture's limit {name} is a"):
        Lab().capture(**{name: wrong})  # type: ignore[arg-type]


def test_live_captures_end_by_themselves_at_one_time_everywhere() -> None:
    with Lab() as lab:
        lab.balancer.l4(backends=["api1"])
        for limit in ({"packets": 1000}, {"bytes": 50_000}, {"seconds": 0.5}):
            with lab.capture(*VANTAGES, **limit) as cap:  # type: ignore[arg-type]
                lab.alice.load("http://lb/api/x", connections=4, seconds=1.5)
            recording = cap.recording
            (lack,) = recording.lacks
            ((name, most),) = limit.items()
            assert lack == f"everything after its first {len(recording)} packets: the limit {name}={most} was reached"
            assert lack in repr(cap)
            size, captured = len(recording), int(recording.packets["captured"].sum())
            spans = np.ptp(recording.packets["time_ns"]) / 1e9
            reached = {"packets": size, "bytes": captured, "seconds": spans}[name]
            assert reached <= most
            assert reached > (0 if name == "seconds" else most * 0.8)
            counts = np.bincount(recording.packets["vantage"], minlength=4)
            assert np.ptp(counts) <= 16, "only packets on their way at the end may be missing further on"
            last_ns = int(recording.packets["time_ns"][-1])
            decisions = [event["time_ns"] for event in recording.of_kind("decision")]
            assert decisions
            assert name == "seconds" or max(decisions) <= last_ns
        with lab.capture("alice", packets=10**6, bytes=10**9, seconds=100) as cap:
            lab.alice.get("http://lb/")
        assert cap.recording.lacks == ()
