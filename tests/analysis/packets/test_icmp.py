"""ICMP errors through NAT: one packet at all vantage points, about the connection whose packet it carries."""

import random
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from labkit import Capture, Lab
from labkit.analysis.packets import icmp
from labkit.analysis.packets.index import Index, build
from labkit.analysis.study import Study
from labkit.errors import TrafficError
from tests.analysis.wire import ALICE, API1, MACS, VIP, Nat, Wire, udp

E = Ether(src=MACS["alice"], dst=MACS["lb:front"])  # without them scapy asks the network for one
FOUR = ("api1", "lb:back", "lb:front", "alice")


def unreachable(
    sport: int, sent_id: int, ip_id: int, *, full: bool = False, tcp: bool = False
) -> list[tuple[str, Packet]]:
    """What api1 answers to a packet from alice that came through NAT, on its way back to her."""

    def error(source: str, ttl: int, inner_target: str, ports: tuple[int, int], macs: tuple[str, str]) -> Packet:
        kind = (
            TCP(sport=ports[0], dport=ports[1], seq=7) if tcp else UDP(sport=ports[0], dport=ports[1]) / Raw(b"hello")
        )
        inner = IP(src=ALICE, dst=inner_target, id=sent_id, ttl=63 if inner_target == API1 else 64) / kind
        carried = bytes(inner)[: 28 if tcp else None]
        outer = IP(src=source, dst=ALICE, id=ip_id, ttl=ttl) / ICMP(type=3, code=3) / Raw(carried)
        return Ether(bytes(Ether(src=MACS[macs[0]], dst=MACS[macs[1]]) / outer))

    back = error(API1, 64, API1, (sport, 53), ("api1", "lb:back"))
    front = error(VIP, 63, VIP, (sport, 5353), ("lb:front", "alice"))
    return list(zip(FOUR, (back, back, front, front), strict=True))


def exchanged(*, tcp: bool = False) -> Wire:
    wire = Wire()
    for turn in range(3):
        nat = Nat(sport=5000 + turn, dport=5353, backend_port=53)
        wire.carry(nat.out(TCP(flags="S", seq=7) if tcp else udp(b"hello"), 100 + turn))
        wire.carry(unreachable(5000 + turn, 100 + turn, 9, tcp=tcp))
    return wire


@pytest.mark.parametrize("tcp", [False, True])
def test_an_error_is_one_packet_at_all_vantage_points_and_belongs_to_what_it_is_about(tcp: bool) -> None:
    wire = exchanged(tcp=tcp)
    study = Study(wire.recording())
    pairs = set(zip(study.trajectories.of_packet.tolist(), wire.truth, strict=True))
    assert len(pairs) == len({t for t, _ in pairs}) == len({truth for _, truth in pairs}) == 6
    assert study.trajectories.certain.all()
    table = study.trajectories_table()
    assert [path for path in table["path"] if path[0] == "api1"] == [FOUR] * 3
    assert table["connection"].tolist() == [1, 1, 2, 2, 3, 3]
    assert study.connections_table()["packets_in"].tolist() == [0, 0, 0]  # it is about the connection, not on it


def test_what_is_translated_inside_an_error_is_told() -> None:
    table = Study(exchanged().recording()).trajectories_table()
    error = next(row for row in table.itertuples() if row.path[0] == "api1")
    change = error.rewritten[1]
    assert change["ip.src"] == (API1, VIP)
    assert change["icmp.ip.dst"] == (API1, VIP)
    assert change["icmp.dport"] == (53, 5353)
    assert change["icmp.ip.ttl"] == (63, 64)
    assert {"ip.ttl", "ip.checksum", "icmp.ip.checksum", "icmp.checksum"} <= set(change)
    assert not {"icmp.type", "icmp.code", "icmp.ip.src", "icmp.sport", "icmp.ip.first", "icmp.ip.proto"} & set(change)
    assert error.rewritten[0] == error.rewritten[2] == {}


def test_errors_about_different_packets_are_never_one() -> None:
    wire = Wire()
    for hop in range(4):
        for turn in range(3):  # on the way at once, with one IP ID
            wire.sent = turn
            wire.wait()
            wire.see(*unreachable(5000 + turn, 100 + turn, 0)[hop])
    study = Study(wire.recording())
    assert len(set(zip(study.trajectories.of_packet.tolist(), wire.truth, strict=True))) == 3


def test_the_packet_inside_is_read_as_scapy_reads_it() -> None:
    four = E / IP(src=VIP, dst=ALICE) / ICMP(type=11) / IP(src=ALICE, dst=VIP, id=5) / TCP(sport=1, dport=2, seq=3)
    six = E / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6DestUnreach() / IPv6(src="fd00::2", dst="fd00::1")
    frames = [four, six / UDP(sport=8, dport=9), E / IP() / ICMP(), E / IPv6() / ICMPv6EchoRequest()]
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame)
    index = build(wire.recording())
    found = icmp.embedded(index)
    assert found.rows.tolist() == [0, 1]
    names = [*index.addresses, None]
    inner = [Ether(bytes(four))[IPerror], Ether(bytes(six / UDP(sport=8, dport=9)))[UDPerror]]
    assert (names[found.source[0]], names[found.target[0]]) == (inner[0].src, inner[0].dst)
    assert (found.seq.tolist(), found.ip_id.tolist()) == ([Ether(bytes(four))[TCPerror].seq, -1], [5, -1])
    assert (found.sport.tolist(), found.dport.tolist()) == ([1, inner[1].sport], [2, inner[1].dport])
    assert [names[number] for number in (found.source[1], found.target[1])] == ["fd00::2", "fd00::1"]


def index_of(*frames: Packet | bytes) -> Index:
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame)
    return build(wire.recording())


def test_which_types_are_errors() -> None:
    """RFC 792 (4: RFC 6633, 5 and 12 there too) and RFC 4443 §2.1; no number of another protocol is one."""
    four = [E / IP(src=VIP, dst=ALICE) / ICMP(type=kind) for kind in range(256)]
    six = [bytes(E / IPv6(src="fd00::1", dst="fd00::2", nh=58) / Raw(bytes([kind, *bytes(7)]))) for kind in range(256)]
    others = [
        E / IP() / UDP(sport=0x0303),
        E / IP(proto=200) / Raw(b"\3\3"),
        E / IP(frag=9) / ICMP(type=3),
    ]
    found = icmp.is_error(index_of(*four, *six, *others), np.arange(515))
    assert np.flatnonzero(found[:256]).tolist() == [3, 4, 5, 11, 12]
    assert np.flatnonzero(found[256:512]).tolist() == [1, 2, 3, 4]
    assert not found[512:].any()


TCP_IN = TCP(sport=1000, dport=80, seq=7, ack=9, flags="A", window=5)
UDP_IN = UDP(sport=1000, dport=53) / Raw(b"question")
IN4, IN6 = IP(src=ALICE, dst=VIP, id=5), IPv6(src="fd00::1", dst="fd00::2")
OUT4, OUT6 = E / IP(src=VIP, dst=ALICE), E / IPv6(src="fd00::2", dst="fd00::1")


def places(*ranges: tuple[int, int]) -> set[int]:
    return {place for first, end in ranges for place in range(first, end)}


@pytest.mark.parametrize(
    ("frame", "begin", "translated", "kept"),
    [  # places counted from the ICMP header
        (OUT4 / ICMP(type=8, id=1, seq=2) / Raw(b"ping"), 34, places((2, 6)), places((0, 2), (6, 12))),
        (OUT4 / ICMP(type=0, id=1, seq=2) / Raw(b"ping"), 34, places((2, 6)), places((0, 2), (6, 12))),
        (OUT6 / ICMPv6EchoRequest(id=1, data=b"ping"), 54, places((2, 6)), places((0, 2), (6, 12))),
        (OUT4 / ICMP(type=13) / Raw(bytes(12)), 34, places((2, 4)), places((0, 2), (4, 20))),  # a timestamp
        (
            OUT4 / ICMP(type=3, code=3) / IN4 / TCP_IN, 34,
            places((2, 4), (18, 32), (44, 46)),
            places((0, 2), (4, 8), (12, 14), (15, 16), (17, 18), (32, 44), (46, 48)),
        ),
        (
            OUT4 / ICMP(type=11) / IN4 / UDP_IN, 34,
            places((2, 4), (18, 32), (34, 36)),
            places((0, 2), (4, 8), (12, 14), (17, 18), (32, 34), (36, 44)),
        ),
        (
            OUT6 / ICMPv6DestUnreach() / IN6 / TCP_IN, 54,
            places((2, 4), (16, 52), (64, 66)),
            places((0, 2), (4, 8), (14, 15), (52, 64), (66, 68)),
        ),
    ],
)  # fmt: skip
def test_what_address_translation_leaves_alone(
    frame: Packet, begin: int, translated: set[int], kept: set[int]
) -> None:  # fmt: skip
    """RFC 5508 §3 and §4, byte by byte: a change where translation writes is none, any other is one."""
    raw = bytes(frame)

    def changed(place: int) -> bytes:
        return raw[: begin + place] + bytes([raw[begin + place] ^ 0x41]) + raw[begin + place + 1 :]

    digests = icmp.kept_digest(
        index_of(raw, *map(changed, sorted(translated | kept))), np.arange(1 + len(translated | kept))
    )
    same = {place for place, digest in zip(sorted(translated | kept), digests[1:], strict=True) if digest == digests[0]}
    assert same == translated


def test_an_error_cut_anywhere_never_raises() -> None:
    wire = Wire(("alice", "lb:front"))
    whole = bytes(unreachable(5000, 1, 2)[0][1])
    for cut in range(len(whole) + 1):
        wire.wait()
        wire.see("alice", whole, cut=cut)
    study = Study(wire.recording())
    assert len(study.trajectories_table()) > 0
    assert len(icmp.embedded(study.index)) == len(whole) + 1 - (14 + 20 + 1)


def test_garbage_inside_an_error_never_raises() -> None:
    dice = random.Random(5)
    wire = Wire(("alice", "lb:front"))
    for _ in range(300):
        wire.wait()
        frame = E / IP(src=ALICE, dst=VIP) / ICMP(type=3) / Raw(dice.choice((b"\x45", b"\x60")) + dice.randbytes(40))
        wire.see(dice.choice(("alice", "lb:front")), frame)
    study = Study(wire.recording())
    assert set(np.unique(study.connections.of_packet)) == {-1}
    assert study.trajectories_table()["certain"].notna().all()


@pytest.fixture(scope="module")
def refused() -> Iterator[Capture]:
    """A datagram to a backend whose server is dead."""
    with Lab() as lab:
        lab.balancer.l4(backends=["api1"])
        lab.api1.kill()
        with lab.capture() as cap, lab.alice.udp("lb", 7) as conn:
            for number in range(3):
                with suppress(TrafficError):  # alice's kernel believes the error and refuses the next one
                    conn.send(b"is there anybody? %d" % number)
        yield cap


@pytest.mark.needs("netns")
def test_a_kernels_own_error_comes_back_through_nat(refused: Capture) -> None:
    packets = refused.packets()
    errors = packets[packets["proto"] == "ICMP"]
    assert len(errors) == 4 * len({*errors["ip_id"]}) > 0
    table = refused.trajectories()
    ways = [row for row in table.itertuples() if row.packets[0] in set(errors["number"])]
    assert {row.path for row in ways} == {FOUR}
    assert all(row.certain for row in ways)
    (connection,) = set(packets[packets["proto"] == "UDP"]["connection"].dropna())
    assert {row.connection for row in ways} == {connection}
    assert {row.rewritten[1]["icmp.ip.dst"] for row in ways} == {(API1, VIP)}
