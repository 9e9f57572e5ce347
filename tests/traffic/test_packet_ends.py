"""Ends and interest, checked on packets that scapy builds."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether

from labkit.traffic.packet_ends import Ends, Interest, ends, of_frame

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
FOUR = {"src": "10.0.1.11", "dst": "10.0.1.10"}
SIX = {"src": "fd00::11", "dst": "fd00::10"}


def pieces():
    return fragment(IP(**FOUR, id=7) / UDP(sport=1000, dport=7) / (b"x" * 600), fragsize=256)


@pytest.mark.parametrize(
    ("packet", "proto", "ports"),
    [
        (IP(**FOUR) / TCP(sport=40000, dport=80), 6, (40000, 80)),
        (IP(**FOUR, options=[b"\x01\x01\x01\x00"]) / UDP(sport=53, dport=5353), 17, (53, 5353)),
        (IP(**FOUR) / ICMP(), 1, (None, None)),
        (pieces()[0], 17, (1000, 7)),
        (pieces()[1], 17, (None, None)),
        (IPv6(**SIX) / TCP(sport=1, dport=2), 6, (1, 2)),
        (IPv6(**SIX) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=3, dport=4), 17, (3, 4)),
        (IPv6(**SIX) / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=3, dport=4), 17, (3, 4)),
        (IPv6(**SIX) / IPv6ExtHdrFragment(offset=9, nh=17) / b"abcdefgh", 17, (None, None)),
        (IP(**FOUR, proto=6) / b"ab", 6, (None, None)),
    ],
    ids=str,
)
def test_the_ends_of_a_packet(packet, proto, ports):
    found = ends(bytes(packet))
    assert (str(found.source), str(found.target)) == (packet.src, packet.dst)
    assert (found.proto, (found.sport, found.dport)) == (proto, ports)
    tagged = Ether(**MACS) / Dot1Q(vlan=5) / packet
    assert of_frame(bytes(Ether(**MACS) / packet)) == of_frame(bytes(tagged)) == found


def test_what_is_no_packet_has_no_ends():
    assert [ends(data) for data in (b"", b"\x45", b"\x60" * 39, b"\x10" * 60)] == [None] * 4
    assert of_frame(bytes(Ether(**MACS) / ARP(psrc="10.0.1.11", hwsrc=MACS["src"], pdst="10.0.1.10"))) is None
    assert [of_frame(data) for data in (b"", b"x" * 13)] == [None, None]


def test_no_bytes_break_it():
    chance = random.Random(3)
    whole = bytes(IPv6(**SIX) / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / TCP())
    for _ in range(3000):
        data = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        found = ends(bytes(data))
        assert found is None or isinstance(found, Ends)


def frame(packet):
    return bytes(Ether(**MACS) / packet)


def test_answers_are_of_interest_and_other_traffic_is_not():
    wanted = Interest([frame(IP(**FOUR) / TCP(sport=40000, dport=80))])
    back = {"src": FOUR["dst"], "dst": FOUR["src"]}
    assert wanted(frame(IP(**back) / TCP(sport=80, dport=40000)))
    assert wanted(frame(IP(src="10.0.2.1", dst=FOUR["src"]) / ICMP(type=3)))  # an error from a router
    assert not wanted(frame(IP(**back) / TCP(sport=80, dport=40001)))
    assert not wanted(frame(IP(**back) / UDP(sport=80, dport=40000)))
    assert not wanted(frame(IP(src=FOUR["dst"], dst="10.0.1.12") / TCP(sport=80, dport=40000)))
    assert not wanted(frame(ARP(op=2, psrc="10.0.1.10", hwsrc=MACS["src"], pdst="10.0.1.11")))


def test_frames_without_ip_are_answered_by_their_like():
    wanted = Interest([frame(ARP(psrc="10.0.1.11", hwsrc=MACS["src"], pdst="10.0.1.10"))])
    assert wanted(frame(ARP(op=2, psrc="10.0.1.10", hwsrc=MACS["src"], pdst="10.0.1.11")))
    assert not wanted(frame(IP(src=FOUR["dst"], dst=FOUR["src"]) / TCP(sport=80, dport=40000)))
