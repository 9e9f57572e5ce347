"""Columns by name. Against tshark, for frames of every kind: `test_tshark`; here against scapy and by hand."""

import random

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from labkit.analysis.packets import columns
from labkit.analysis.packets.index import Index, build
from tests.analysis.wire import Wire

from .anyframe import any_frame

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OPTIONS = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (5, 2**32 - 1))]


def index_of(*frames: Packet | bytes, cut: int | None = None) -> Index:
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame, cut=cut)
    return build(wire.recording())


def read(frame: Packet | bytes, *names: str) -> list[int]:
    index = index_of(frame)
    return [columns.column(index, name).tolist()[0] for name in names]


def test_the_common_options_of_tcp() -> None:
    frame = E / IP() / TCP(flags="S", options=OPTIONS)
    names = ("tcp.mss", "tcp.window_scale", "tcp.sack_permitted", "tcp.timestamp", "tcp.timestamp_echo")
    assert read(frame, *names) == [1460, 7, 1, 5, 2**32 - 1]
    assert read(frame, "tcp.sack_left", "tcp.sack_blocks") == [-1, -1]
    sack = E / IP() / TCP(options=[("SAck", (1, 2, 3, 4))])
    assert read(sack, "tcp.sack_left", "tcp.sack_right", "tcp.sack_blocks") == [1, 2, 2]
    assert read(E / IP() / TCP(), *names) == [-1] * 5


@pytest.mark.parametrize(
    ("options", "mss"),
    [
        (b"\x00\x02\x04\x05\xb4\x00\x00\x00", -1),  # behind the end of the list
        (b"\x01\x01\x01\x01\x02\x04\x05\xb4", 0x5B4),
        (b"\x02\x03\x05\xb4", -1),  # of a wrong length
        (b"\x02\x00\x05\xb4\x02\x04\x05\xb4", -1),  # a length of 0 ends the list
        (b"\xfd\x06abcd\x02\x04\x05\xb4\x01\x01", 0x5B4),  # behind an unknown one
        (b"\x01\x01\x02\x04", -1),  # over the header's end
        (b"\x02\x04\x00\x01\x02\x04\x00\x02", 1),  # the first counts
    ],
)
def test_options_that_are_not_as_they_should_be(options: bytes, mss: int) -> None:
    raw = bytearray(bytes(E / IP() / TCP() / Raw(options)))
    raw[14 + 20 + 12] = (5 + len(options) // 4) << 4
    assert read(bytes(raw), "tcp.mss") == [mss]


def test_tags_outer_and_inner() -> None:
    names = ("eth.vlan.id", "eth.vlan.priority", "eth.vlan.inner.id", "eth.vlan.inner.priority")
    assert read(E / Dot1AD(vlan=5, prio=3) / Dot1Q(vlan=4095, prio=7) / IP(), *names) == [5, 3, 4095, 7]
    assert read(E / Dot1Q(vlan=6) / IP(), *names) == [6, 0, -1, -1]
    assert read(E / IP(), *names) == [-1] * 4


def test_arp_with_and_without_a_tag() -> None:
    arp = ARP(op=2, hwsrc="02:00:00:00:00:09", psrc="10.0.1.11", hwdst="02:00:00:00:00:08", pdst="10.0.1.10")
    for frame in (E / arp, E / Dot1Q(vlan=4) / arp):
        assert read(frame, "arp.operation", "arp.src.mac", "arp.src.ip", "arp.dst.mac", "arp.dst.ip") == [
            2, 0x020000000009, 0x0A00010B, 0x020000000008, 0x0A00010A,
        ]  # fmt: skip
    assert read(E / ARP(hwlen=4), "arp.operation") == [-1]


def test_a_fragment_of_ipv6_behind_other_extensions() -> None:
    frame = E / IPv6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(offset=9, m=1, id=77) / Raw(b"x" * 16)
    assert read(frame, "ip6.fragment", "ip6.fragment.more", "ip6.fragment.id") == [9, 1, 77]
    assert read(E / IPv6() / TCP(), "ip6.fragment", "ip6.fragment.id") == [-1, -1]


def test_an_unknown_name_is_refused() -> None:
    index = index_of(E / IP())
    for name in ("tcp.nonsense", "ip.options"):  # one of bytes has no number
        with pytest.raises(KeyError):
            columns.column(index, name)


def test_some_rows_are_those_of_the_whole_and_cut_packets_say_less_never_otherwise() -> None:
    dice = random.Random(8)
    frames = [any_frame(dice) for _ in range(300)]
    whole = index_of(*frames)
    rows = np.array([5, 5, 299, 0, 17])
    for name in columns.names():
        every = columns.column(whole, name)
        assert columns.column(whole, name, rows).tolist() == every[rows].tolist()
        assert (every >= 0).any(), name
        for cut in (0, 13, 20, 37, 53, 70):
            some = columns.column(index_of(*frames, cut=cut), name)
            assert set(some[some != every].tolist()) <= {-1}, (name, cut)
