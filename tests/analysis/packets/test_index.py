"""The columns, held against scapy (single packets) and tshark (whole files)."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)  # fmt: skip
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from labkit.analysis.packets import index
from labkit.analysis.packets.index import Index
from labkit.analysis.study import Study
from labkit.recording.pcapng import write_pcapng
from tests.analysis.wire import Wire, l4_wire, l7_wire

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4, V6 = IP(src="10.0.1.11", dst="10.0.1.10", id=77, ttl=9), IPv6(src="fd00::1", dst="fd00::2", hlim=8)
T = TCP(sport=1234, dport=80, seq=0xFFFFFFFE, ack=5, flags="PA", window=99, options=[("MSS", 1460), ("NOP", None)])
U = UDP(sport=53, dport=5353)
FRAMES: dict[str, Packet] = {
    "tcp": E / V4 / T / Raw(b"hello"),
    "tcp, no payload": E / V4 / TCP(sport=1, dport=65535, flags="S"),
    "tcp, ethernet padding": Ether(bytes(E / V4 / TCP(flags="A")) + bytes(6)),
    "udp": E / V4 / U / Raw(b"x" * 9),
    "icmp": E / V4 / ICMP() / Raw(b"ping"),
    "ip options": E / IP(src="1.2.3.4", dst="5.6.7.8", options=[IPOption_RR()]) / T / Raw(b"hi"),
    "one tag": E / Dot1Q(vlan=5) / V4 / T / Raw(b"hello"),
    "two tags": E / Dot1AD(vlan=5) / Dot1Q(vlan=6) / V4 / U / Raw(b"hello"),
    "ipv6 tcp": E / V6 / T / Raw(b"hello"),
    "ipv6 udp": E / V6 / U / Raw(b"hello"),
    "ipv6 icmp": E / V6 / ICMPv6EchoRequest(data=b"abc"),
    "ipv6 extensions": E
    / V6
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrRouting(addresses=["fd00::9"])
    / IPv6ExtHdrDestOpt()
    / T
    / Raw(b"q"),
    "ipv6 first fragment": E / V6 / IPv6ExtHdrFragment(offset=0, m=1, id=4) / U / Raw(b"12345678"),
}


def index_of(*frames: Packet | bytes, link_type: int = 1, cut: int | None = None) -> Index:
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame, cut=cut)
    return index.build(wire.recording(link_types={"alice": link_type}))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_columns_are_what_scapy_dissects(frame: Packet) -> None:
    got, packet = index_of(frame), Ether(bytes(frame))
    ip = packet[IP] if IP in packet else packet[IPv6]
    assert (got.addresses[got.source[0]], got.addresses[got.target[0]]) == (ip.src, ip.dst)
    assert got.ttl[0] == (ip.ttl if IP in packet else ip.hlim)
    assert got.ip_id[0] == (ip.id if IP in packet else -1)
    assert got.frame_length[0] == len(bytes(frame))
    layer = next((packet[kind] for kind in (TCP, UDP) if kind in packet), None)
    wanted = (layer.sport, layer.dport) if layer else (-1, -1)
    assert (got.sport[0], got.dport[0]) == wanted
    if TCP in packet:
        tcp = packet[TCP]
        assert (got.seq[0], got.ack[0], got.window[0], got.flags[0]) == (tcp.seq, tcp.ack, tcp.window, int(tcp.flags))
        assert index.flag_names(int(got.flags[0])) == str(tcp.flags)
        assert got.bytes_of(0) == (bytes(tcp.payload) if "padding" not in str(frame) and Raw in packet else b"")
        assert got.payload_length[0] == len(got.bytes_of(0))
    if UDP in packet:
        assert got.bytes_of(0) == bytes(packet[UDP].payload)


def test_later_fragments_have_no_ports_but_keep_their_protocol() -> None:
    pieces = fragment(IP(src="10.0.1.11", dst="10.0.1.10", id=9) / UDP(sport=1, dport=2) / Raw(b"z" * 60), fragsize=32)
    got = index_of(*(E / piece for piece in pieces))
    assert got.sport.tolist() == [1, -1, -1]
    assert set(got.proto.tolist()) == {17}
    assert got.fragment.tolist() == [0, 4, 8]
    assert got.payload_length.tolist() == [24, 32, 4]
    later6 = E / V6 / IPv6ExtHdrFragment(offset=6, m=0, id=4, nh=6) / Raw(b"x" * 30)
    assert (index_of(later6).sport[0], index_of(later6).proto[0], index_of(later6).fragment[0]) == (-1, 6, 6)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_short_packet_keeps_its_row_and_loses_only_what_is_missing(frame: Packet) -> None:
    raw, wire = bytes(frame), Wire(("alice",))
    for cut in range(len(raw) + 1):
        wire.wait()
        wire.see("alice", raw, cut=cut)
    got = index.build(wire.recording())
    assert got.frame_length.tolist() == [len(raw)] * (len(raw) + 1)
    for name in ("ttl", "ip_id", "sport", "dport", "seq", "ack", "flags", "window", "source", "target"):
        column = getattr(got, name)
        there = column >= 0
        assert set(column[there].tolist()) <= {column[-1]}  # what is there is right,
        assert (np.diff(there.astype(int)) >= 0).all()  # and once there it stays
    assert set(got.proto.tolist()) <= {-1, int(got.proto[-1])} | _OUTER


_OUTER = {index.ETHERTYPE + number for number in (0x0800, 0x86DD)} | {0, 43, 44, 60}  # what is known before the rest


def test_garbage_never_raises() -> None:
    generator = random.Random(11)
    garbage = [generator.randbytes(generator.randrange(120)) for _ in range(2000)]
    starts = [bytes(frame)[:14] for frame in FRAMES.values()]
    mixed = [generator.choice(starts) + generator.choice((b"\x45", b"\x60", b"\x4f", b"")) + piece for piece in garbage]
    wire = Wire(("alice",))
    for piece in garbage + mixed:
        wire.wait()
        wire.see("alice", piece)
    table = Study(wire.recording()).packets_table()
    assert len(table) == 4000
    assert table["number"].tolist() == list(range(1, 4001))


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (E / ARP(), "ARP"), (Ether(dst="02:00:00:00:00:02", type=0x88B5) / Raw(b"x"), "0x88b5"), (b"\x00" * 9, None),
        (Ether(dst="02:00:00:00:00:02", type=0x26) / Raw(b"x" * 38), "LLC"),
        (Ether(dst="02:00:00:00:00:02", type=0x0800) / Raw(b"\x61\x00"), "IPv4"),
        (E / IP(proto=200) / Raw(b"x"), "IP 200"), (E / V4 / ICMP(), "ICMP"),
    ],
)  # fmt: skip
def test_every_packet_has_the_name_of_the_protocol_that_is_known(frame: Packet | bytes, name: str | None) -> None:
    assert index.protocol_name(int(index_of(frame).proto[0])) == name


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (101, bytes(V4 / T)),
        (101, bytes(V6 / T)),
        (228, bytes(V4 / T)),
        (113, bytes(CookedLinux(proto=0x0800) / V4 / T)),
    ],
)
def test_other_link_layers(link_type: int, frame: bytes) -> None:
    got = index_of(frame, link_type=link_type)
    assert (got.sport[0], got.dport[0], got.seq[0]) == (1234, 80, 0xFFFFFFFE)


def test_a_foreign_link_layer_is_listed_without_fields() -> None:
    got = index_of(bytes(V4 / T), link_type=147)
    assert (got.proto[0], got.source[0], got.frame_length[0]) == (-1, -1, len(bytes(V4 / T)))


def test_a_datagram_shorter_than_its_packet_ends_where_it_says() -> None:
    assert index_of(E / V4 / UDP(len=8 + 3) / Raw(b"abc padding")).bytes_of(0) == b"abc"
    assert (
        index_of(E / V4 / UDP(len=999) / Raw(b"abc")).payload_length[0] == 3
    )  # an impossible length counts for nothing


def test_impossible_lengths_give_no_payload() -> None:
    header = bytes(E / V4 / T)
    assert index_of(header[:14] + b"\x43" + header[15:]).payload_length[0] == -1  # IHL of 12 bytes
    offset = bytearray(header)
    offset[14 + 20 + 12] = 0x10  # TCP header of 4 bytes
    assert (index_of(bytes(offset)).payload_length[0], index_of(bytes(offset)).sport[0]) == (-1, 1234)
    offset[14 + 20 + 12] = 0xF0  # TCP header longer than the packet
    assert index_of(bytes(offset)).payload_length[0] == -1


def test_a_packet_that_the_card_would_have_cut_up_has_its_real_length() -> None:
    big = bytearray(bytes(E / V4 / T / Raw(b"y" * 100)))
    big[16:18] = b"\x00\x00"  # total length 0: segmentation is left to the hardware
    assert index_of(bytes(big)).payload_length[0] == 100


def test_an_empty_recording_has_empty_columns() -> None:
    assert len(index_of()) == 0
    table = Study(Wire(()).recording()).packets_table()
    assert list(table.columns)[:4] == ["number", "time", "vantage", "connection"]
    assert len(table) == 0


@pytest.mark.needs("tshark")
def test_tshark_reads_the_same_fields(tmp_path: Path) -> None:
    wire = l4_wire(3)
    for name, frame in FRAMES.items():
        if "fragment" not in name:  # which tshark leaves alone until it has all of them
            wire.wait()
            wire.see("alice", frame)
    wire.seen += l7_wire(2).seen
    recording = wire.recording()
    path = write_pcapng(recording, tmp_path / "x.pcapng")
    fields = [
        "frame.number",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.window_size_value",
        "tcp.len",
        "udp.srcport",
    ]
    ask = [
        "tshark",
        "-r",
        str(path),
        "-o",
        "ip.defragment:FALSE",
        "-T",
        "fields",
        *(word for name in fields for word in ("-e", name)),
    ]
    lines = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.splitlines()
    got = index.build(recording)
    columns = (np.arange(len(got)) + 1, got.sport, got.dport, got.seq, got.ack, got.window, got.payload_length)
    tcp, udp = got.seq >= 0, got.proto == 17
    for row, line in enumerate(lines):
        said = [int(word) if word else -1 for word in line.split("\t")]
        assert said[0] == row + 1
        if tcp[row]:
            assert said[:7] == [int(column[row]) for column in columns]
        elif udp[row]:
            assert said[7] == got.sport[row]
    assert len(lines) == len(got)
