"""A real ring on real interfaces, in a network namespace of the test's own."""

import os
import socket
import time
from collections import Counter

import numpy as np
import pytest

from labkit.errors import CaptureError
from labkit.taps import blocks
from labkit.taps.blocks import Chunk
from labkit.taps.ring import Ring, RingSize, now_ns
from tests.taps.namespace import in_namespace, set_up

TAG = b"labkit-tap-"
TINY = RingSize(blocks=2, block_bytes=4096, retire_ms=1)
PORT = 9999


def decode(chunks: list[bytes]) -> tuple[np.ndarray, bytes]:
    kept, data = [], b""
    for chunk in chunks:
        kept.append(Chunk(0, len(data), len(chunk)))
        data += chunk
    copy = np.frombuffer(bytearray(data), np.uint8)
    rows = blocks.rows(copy, kept)
    return rows, copy.tobytes()


def frames(chunks: list[bytes]) -> list[bytes]:
    rows, data = decode(chunks)
    return [data[int(row["offset"]) :][: int(row["captured"])] for row in rows]


def drain(ring: Ring) -> list[bytes]:
    """Everything captured so far."""
    chunks = list(ring.chunks())
    while ring.pending():
        ring.wait(1.0)
        chunks += ring.chunks()
    return chunks


def sink() -> socket.socket:
    """Takes datagrams, so that no ICMP errors mix with them."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", PORT))
    return receiver


def send(count: int, size: int = 0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(TAG + b"%08d" % number + b"x" * size, ("127.0.0.1", PORT))


def numbers_of(found: list[bytes]) -> list[int]:
    tails = (frame[frame.index(TAG) + len(TAG) :] for frame in found if TAG in frame)
    return [int(tail[:8]) for tail in tails]


def _all_on_loopback() -> tuple[list[int], np.ndarray, tuple[int, int], tuple[int, int]]:
    with sink():
        ring = Ring("lo")
        begun = now_ns()
        send(2000)
        chunks = drain(ring)
        ended = now_ns()
        statistics = ring.statistics()
        ring.close()
    rows, _ = decode(chunks)
    return numbers_of(frames(chunks)), rows, statistics, (begun, ended)


def test_every_packet_once_in_each_direction() -> None:
    numbers, rows, statistics, (begun, ended) = in_namespace(_all_on_loopback)
    assert Counter(numbers) == dict.fromkeys(range(2000), 2), "loopback shows each packet going out and coming in"
    assert statistics == (4000, 0)
    assert rows["direction"].tolist() == [2, 1] * 2000
    times = rows["time_ns"]
    assert (np.diff(times) >= 0).all()
    assert begun <= times[0]
    assert times[-1] <= ended
    assert len(set((times % 1000).tolist())) > 100, "times are finer than microseconds"
    assert (rows["captured"] == rows["original"]).all()
    assert set(rows["captured"].tolist()) == {14 + 20 + 8 + len(TAG) + 8}


def _stop_at_once() -> list[int]:
    counts = []
    with sink():
        for _ in range(20):
            ring = Ring("lo")
            send(300)
            found = numbers_of(frames(drain(ring)))
            ring.close()
            counts.append(len(found))
            assert sorted(found) == sorted([*range(300)] * 2)
    return counts


def test_draining_loses_nothing() -> None:
    assert in_namespace(_stop_at_once) == [600] * 20


def _overrun() -> tuple[int, tuple[int, int], tuple[int, int], int]:
    with sink():
        ring = Ring("lo", TINY)
        send(500)
        kept = len(frames(drain(ring)))
        first = ring.statistics()
        send(3)
        later = len(frames(drain(ring)))
        second = ring.statistics()
        ring.close()
        ring.close()
    return kept, first, second, later


def test_what_does_not_fit_is_counted() -> None:
    kept, (captured, dropped), second, later = in_namespace(_overrun)
    assert 0 < kept < 1000
    assert (captured, dropped) == (kept, 1000 - kept)
    assert later == 6, "a ring that was full goes on when it is read"
    assert second == (captured + 6, dropped)


def _trickle(size: RingSize) -> tuple[int, tuple[int, int]]:
    sent, ended = 0, time.monotonic() + 1.0
    with sink():
        ring = Ring("lo", size)
        while time.monotonic() < ended:
            send(1)
            sent += 1
            time.sleep(0.001)
        statistics = ring.statistics()
        ring.close()
    return 2 * sent, statistics


@pytest.mark.parametrize(
    "size",
    [RingSize(), RingSize.for_taps(8), RingSize.for_taps(1000), RingSize.for_taps(1000).for_link(125_000)],
    ids=["as it comes", "of eight", "of a thousand", "on a slow link"],
)
def test_few_packets_are_held_for_a_second_by_any_ring_though_nobody_reads_it(size: RingSize) -> None:
    """Each may stand in a block of its own. A reader that a busy machine does not let run for so long loses nothing."""
    sent, statistics = in_namespace(_trickle, size)
    assert statistics == (sent, 0)


def _large() -> list[tuple[int, int]]:
    with sink():
        ring = Ring("lo", TINY)
        send(1, size=20_000)
        rows, _ = decode(drain(ring))
        ring.close()
    return [(int(row["captured"]), int(row["original"])) for row in rows]


def test_a_packet_larger_than_a_block_is_cut_and_says_so() -> None:
    for captured, original in in_namespace(_large):
        assert original == 14 + 20 + 8 + len(TAG) + 8 + 20_000
        assert 3000 < captured < 4096


def cable() -> None:
    """Interfaces "one" and "two", joined, once the kernel lets packets through."""
    from labkit.runtime.network.netlink import IPRoute

    with IPRoute() as route:
        route.link("add", ifname="one", peer={"ifname": "two"}, kind="veth")
        for name in ("one", "two"):
            set_up(name)
        for name in ("one", "two"):
            while route.link("get", ifname=name)[0].get("operstate") != "UP":
                time.sleep(0.002)


def _veth() -> tuple[list[int], list[int], set[int], set[int], str | None]:
    cable()
    one, two = Ring("one"), Ring("two")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("one", 0))
        for number in range(100):
            sender.send(b"\xff" * 6 + b"\2" * 6 + b"\x88\xb5" + TAG + b"%08d" % number)
    at_one, at_two = drain(one), drain(two)
    tagged = []
    for chunks in (at_one, at_two):
        rows, data = decode(chunks)
        ours = [TAG in data[int(row["offset"]) :][: int(row["captured"])] for row in rows]
        tagged.append(set(rows["direction"][ours].tolist()))
    assert one.trouble() is None
    set_up("one", up=False)
    one.wait(1.0)
    return numbers_of(frames(at_one)), numbers_of(frames(at_two)), tagged[0], tagged[1], one.trouble()


def test_both_ends_of_a_cable() -> None:
    out, into, sent, received, trouble = in_namespace(_veth)
    assert out == into == list(range(100))
    assert sent == {2}
    assert received == {1}
    assert trouble == "its interface went down during the capture"


def _tagged() -> list[bytes]:
    cable()
    ring = Ring("two")
    plain = b"\xff" * 6 + b"\2" * 6 + b"\x88\xb5" + TAG + b"%08d" % 1
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("one", 0))
        sender.send(plain[:12] + b"\x81\x00\x20\x07" + plain[12:])
        sender.send(plain)
    return [frame for frame in frames(drain(ring)) if TAG in frame]


def test_a_vlan_tag_stands_where_the_wire_had_it() -> None:
    tagged, plain = in_namespace(_tagged)
    assert tagged[:18] == b"\xff" * 6 + b"\2" * 6 + b"\x81\x00\x20\x07\x88\xb5"
    assert tagged[18:] == plain[14:]


def _refused() -> list[str]:
    messages = []
    for interface, size in (("nowhere", TINY), ("lo", RingSize(blocks=1 << 20, block_bytes=1 << 20)), ("lo", TINY)):
        if len(messages) == 2:
            os.unshare(os.CLONE_NEWUSER)  # the privilege now is one over another namespace than the network's
        try:
            Ring(interface, size)
        except CaptureError as error:
            messages.append(str(error))
    return messages


def test_refusals_say_what_to_do() -> None:
    missing, too_large, unprivileged = in_namespace(_refused)
    assert "'nowhere' cannot be captured: it does not exist; there are: lo" in missing
    assert "smaller RingSize" in too_large
    assert "CAP_NET_RAW" in unprivileged


@pytest.mark.parametrize("size", [{"blocks": 1}, {"retire_ms": 0}, {"block_bytes": 1000}, {"block_bytes": 2 << 20}])
def test_sizes_that_cannot_be(size: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"a ring needs|must be a multiple"):
        RingSize(**size)


@pytest.mark.parametrize(
    ("megabits", "blocks"), [(None, 128), (100_000, 128), (10_000, 128), (100, 97), (10, 27), (1, 27)]
)
def test_a_slow_link_gets_a_smaller_ring(megabits: int | None, blocks: int) -> None:
    size = RingSize(blocks=128).for_link(None if megabits is None else megabits * 125_000)
    assert size.blocks == blocks
    assert size.block_bytes == RingSize().block_bytes
    assert TINY.for_link(125_000) == TINY, "never larger than asked for"
