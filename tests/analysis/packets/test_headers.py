import random

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from labkit.analysis.packets import headers
from labkit.analysis.packets.index import build
from labkit.analysis.study import Study
from tests.analysis.wire import API1, BOB, LB_BACK, MACS, VIP, Nat, Talk, Wire, get

from .anyframe import any_frame

E = Ether(src=MACS["alice"], dst=MACS["lb:front"])
V4, V6 = IP(src="10.0.1.11", dst="10.0.1.10", id=5), IPv6(src="fd00::1", dst="fd00::2")


def changes(before: bytes, after: bytes) -> dict[str, tuple[object, object]]:
    wire = Wire(("alice",))
    for frame in (before, after):
        wire.wait()
        wire.see("alice", frame)
    return headers.rewritten(build(wire.recording()), np.array([0]), np.array([1]))[0]


@pytest.mark.parametrize(
    ("frame", "length"),
    [
        (E / V4 / TCP(options=[("MSS", 1460), ("WScale", 7), ("NOP", None)]) / Raw(b"data"), 14 + 20 + 28),
        (E / IP(src="1.1.1.1", dst="2.2.2.2", options=[IPOption_RR()]) / UDP() / Raw(b"data"), 14 + 24 + 8),
        (E / Dot1Q(vlan=3) / V4 / UDP() / Raw(b"data"), 18 + 20 + 8),
        (E / V6 / TCP() / Raw(b"data"), 14 + 40 + 20),
        (E / V6 / IPv6ExtHdrHopByHop() / UDP() / Raw(b"data"), 14 + 40 + 8 + 8),
    ],
)
def test_no_changed_header_byte_escapes(frame: Packet, length: int) -> None:
    raw, wire = bytes(frame), Wire(("alice",))
    wire.see("alice", raw)
    for place in range(length):
        for bit in (0x01, 0x80):
            wire.wait()
            wire.see("alice", bytes(byte ^ bit if at == place else byte for at, byte in enumerate(raw)))
    rows = np.arange(len(wire.seen))
    found = headers.rewritten(build(wire.recording()), np.zeros_like(rows), rows)
    assert found[0] == {}
    assert [1 + place // 2 for place, change in enumerate(found[1:]) if not change] == []


def test_nat_rewrites_these_bytes_and_no_others() -> None:
    wire = Wire()
    Talk(wire, Nat("bob", "api1", 4000, 80, 8080)).open().ask(get()).close()
    study = Study(wire.recording())
    table = study.trajectories_table()
    there = [row["rewritten"][1] for _, row in table.iterrows() if row["path"][0] == "bob"]
    for hop in there:
        assert list(hop) == ["eth.src", "eth.dst", "ip.dst", "ip.ttl", "ip.checksum", "tcp.dport", "tcp.checksum"]
        assert hop["eth.src"] == (MACS["bob"], MACS["lb:back"])
        assert hop["eth.dst"] == (MACS["lb:front"], MACS["api1"])
        assert (hop["ip.dst"], hop["ip.ttl"], hop["tcp.dport"]) == ((VIP, API1), (64, 63), (80, 8080))
    answers = [row["rewritten"][1] for _, row in table.iterrows() if row["path"][0] == "api1"]
    assert {name for hop in answers for name in hop} == {
        "eth.src", "eth.dst", "ip.src", "ip.ttl", "ip.checksum", "tcp.sport", "tcp.checksum",
    }  # fmt: skip
    assert answers[0]["ip.src"] == (API1, VIP)
    assert all(hop == {} for row in table["rewritten"] for hop in (row[0], row[2]))


def test_the_checksums_shown_are_the_bytes_on_the_wire() -> None:
    wire = Wire()
    wire.carry(Nat(full=True).out(TCP(flags="S", seq=1), 7))
    study = Study(wire.recording())
    change = study.trajectories_table()["rewritten"][0][1]
    frames = [Ether(wire.recording().frame(number)) for number in (2, 3)]
    for name, layer in (("ip.checksum", IP), ("tcp.checksum", TCP)):
        assert change[name] == tuple(f"0x{frame[layer].chksum:04x}" for frame in frames)
    assert change["ip.src"] == ("10.0.1.11", LB_BACK)


def test_values_are_written_as_people_read_them() -> None:
    raw = bytes(
        E / Dot1Q(vlan=3) / IP(src=BOB, dst=VIP, options=[IPOption_RR()]) / TCP(flags="SA", options=[("MSS", 1460)])
    )
    wire = Wire(("alice",))
    wire.see("alice", raw)
    index = build(wire.recording())
    shown = {field.name: field.shown(index, np.array([0]))[0] for field in headers.FIELDS}
    assert (shown["eth.src"], shown["eth.type"], shown["eth.vlan"]) == (MACS["alice"], "0x0800", "81000003")
    assert (shown["ip.src"], shown["ip.header_length"], shown["ip.options"]) == (BOB, 24, "07030400")
    assert (shown["tcp.flags"], shown["tcp.header_length"], shown["tcp.options"]) == ("SA", 24, "020405b4")
    assert shown["udp.sport"] is shown["ip6.src"] is shown["ip6.hlim"] is None


def test_random_pairs_differ_exactly_where_their_fields_differ() -> None:
    generator = random.Random(9)
    for _ in range(20):
        ports = [generator.randrange(3) for _ in range(4)]
        one = bytes(E / V4 / TCP(sport=ports[0], dport=ports[1], chksum=7))
        two = bytes(E / V4 / TCP(sport=ports[2], dport=ports[3], chksum=7))
        wanted = {"tcp.sport": (ports[0], ports[2]), "tcp.dport": (ports[1], ports[3])}
        assert changes(one, two) == {name: pair for name, pair in wanted.items() if pair[0] != pair[1]}


def test_the_names_that_differ_somewhere_are_those_of_all_pairs_together() -> None:
    dice = random.Random(10)
    wire = Wire(("alice",))
    for _ in range(60):
        wire.wait()
        wire.see("alice", any_frame(dice))
    index = build(wire.recording())
    for _ in range(20):
        count = dice.randrange(4)
        before, after = (np.array([dice.randrange(60) for _ in range(count)], dtype=np.int64) for _ in range(2))
        each = {name for change in headers.rewritten(index, before, after) for name in change}
        assert headers.names_rewritten(index, before, after) == sorted(each, key=headers.RANK.__getitem__)
    assert headers.names_rewritten(index, np.arange(60), np.arange(60)) == []
