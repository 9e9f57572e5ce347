"""Packets of a real lab through NAT: found at all vantage points, never mistaken, rewritten exactly as recorded.

Every payload carries a tag, of which labkit knows nothing: it says which packets are one.
"""

import ipaddress
import re
from collections import defaultdict
from pathlib import Path

import pytest

from labkit import Capture, Lab
from labkit.recording import Recording
from tests.analysis.packets import rewriting

from . import tagged

pytestmark = pytest.mark.needs("netns")
TAGS = re.compile(rb"tag (\d{%d})" % tagged.TAG)
# How many pieces each of alice and bob sends by UDP and TCP. Each is a packet, and so is its answer.
SIZES = [pytest.param(300, id="1,200 packets"), pytest.param(25_000, id="100,000 packets", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SIZES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Capture, int]:
    """A capture of tagged traffic, read back from its file; and how many tagged packets were sent."""
    count = request.param
    with Lab() as lab:
        lab.balancer.l4()
        with lab.capture() as cap:
            for place, (host, way) in enumerate(((lab.alice, "udp"), (lab.bob, "tcp"))):
                assert host.call(tagged.tagged, way, lab.vip, place * count, count, timeout=300) == count
        path: Path = tmp_path_factory.mktemp("nat") / "l4.pcapng"
        cap.save(path)
    cap = Capture.load(path)
    assert set(cap.loss()["dropped"]) == {0}
    return cap, 4 * count


def tags_of(recording: Recording) -> dict[int, tuple[bytes, bool]]:
    """For each packet with a tag, by number: the tag, and whether it was on its way to the backend."""
    found = {}
    for number in range(1, len(recording) + 1):
        frame = recording.frame(number)
        if frame[12:14] == b"\x08\x00" and (match := TAGS.search(frame)):
            found[number] = (match[1], frame[36:38] == b"\x00\x07")
    return found


def test_each_is_found_at_all_four_vantage_points_and_none_is_mistaken(seen: tuple[Capture, int]) -> None:
    cap, sent = seen
    tags = tags_of(cap.recording)
    at: dict[tuple[bytes, bool], set[int]] = defaultdict(set)
    for number, tag in tags.items():
        at[tag].add(number)
    repeated = {tag for tag, numbers in at.items() if len(numbers) != 4}  # sent again by a kernel that lost patience
    assert (len(at), len(repeated) <= sent // 1000) == (sent, True)

    table = cap.trajectories()
    whole, wrong, joined = 0, 0, set()
    for packets, path, certain in zip(table["packets"], table["path"], table["certain"], strict=True):
        carried = {tags[number] for number in packets if number in tags}
        if not carried:
            continue
        wrong += len(carried) > 1 or len(packets) != len([number for number in packets if number in tags])
        if len(packets) == 4 and len(set(path)) == 4 and certain:
            whole += 1
            joined |= set(packets)
    assert wrong == 0
    assert len(joined) >= 0.9999 * len(tags)
    assert whole >= 0.9999 * sent


def test_packets_without_payload_are_found_too(seen: tuple[Capture, int]) -> None:
    cap, _ = seen
    table = cap.trajectories()
    tcp = table[[len(packets) > 0 for packets in table["packets"]]].dropna(subset="connection")
    assert (tcp["path"].map(len) == 4).mean() >= 0.9999
    assert tcp["certain"].all()


def test_what_is_recorded_as_rewritten_makes_the_bytes_of_one_vantage_point_those_of_the_next(
    seen: tuple[Capture, int],
) -> None:
    cap, sent = seen
    frame = cap.recording.frame
    table = cap.trajectories().dropna(subset="connection")
    checked = 0
    for packets, hops in zip(table["packets"], table["rewritten"], strict=True):
        now = frame(packets[0])
        assert rewriting.sums_are_right(now)
        for number, changes in zip(packets[1:], hops, strict=True):
            now = rewriting.rewritten(now, changes)
            assert now == frame(number)
        assert rewriting.sums_are_right(now)
        checked += 1
    assert checked > sent


def test_a_router_that_translates_by_the_book_makes_the_same_bytes(seen: tuple[Capture, int]) -> None:
    """Not from the record: from the packet at the sender, the new addresses, and RFC 1624."""
    cap, sent = seen
    frame, topology = cap.recording.frame, cap.recording.of_kind("topology")[0]
    address = {
        node["name"]: ipaddress.IPv4Address(node["addresses"][0].partition("/")[0]).packed for node in topology["nodes"]
    }
    vip = ipaddress.IPv4Address(topology["vip"][0]).packed
    table = cap.trajectories().dropna(subset="connection")
    checked = 0
    for packets, path in zip(table["packets"], table["path"], strict=True):
        if len(packets) != 4:
            continue
        first, last = frame(packets[0]), frame(packets[-1])
        towards = path[0] in ("alice", "bob")
        ends = (address[path[0]], address[path[-1]]) if towards else (vip, address[path[-1]])
        assert rewriting.alike(rewriting.translated(first, *ends), last)
        checked += 1
    assert checked > 0.9999 * sent
