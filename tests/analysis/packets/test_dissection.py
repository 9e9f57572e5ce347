"""Fields and their bytes, checked against the frame itself: what a field says stands in the bytes it names."""

import random

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from labkit import Capture
from labkit.analysis.packets.dissection import Dissection, Part, dissected
from labkit.analysis.packets.single import dissect
from tests.analysis.wire import l4_wire

MAC = "02:00:00:00:00:01"
SAMPLES = [
    Ether(src=MAC, dst=MAC) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=8080, options=[("MSS", 1400)]) / b"hi",
    Ether(src=MAC, dst=MAC) / Dot1Q(vlan=7, prio=3) / IP(dst="1.2.3.4", options=[]) / UDP() / DNS(qd=DNSQR(qname="x")),
    Ether(src=MAC, dst=MAC) / IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrHopByHop() / TCP(flags="SA"),
    Ether(src=MAC, dst=MAC) / ARP(pdst="10.0.0.9"),
    Ether(src=MAC, dst=MAC) / IP() / ICMP() / IP() / TCP(),
    IP(src="10.0.0.1") / UDP(dport=53) / b"\x1b[31m",
    Raw(b"nothing to dissect"),
]


def field(taken: Dissection, layer: str, name: str) -> Part:
    return next(part for one in taken.layers if one.name == layer for part in one.parts if part.name == name)


def assert_whole(taken: Dissection) -> None:
    """Layers follow one another without a gap, and fields cover every byte."""
    at = 0
    covered: set[int] = set()
    for layer in taken.layers:
        assert layer.begin == at
        at = layer.end
        for part in layer.parts:
            assert layer.begin <= part.begin <= part.end <= layer.end
            covered.update(range(part.begin, part.end))
    assert at == len(taken.frame)
    assert covered == set(range(len(taken.frame)))


@pytest.mark.parametrize("made", SAMPLES, ids=lambda made: made.summary()[:30])
def test_every_byte_is_in_a_field(made: Packet) -> None:
    taken = dissected(type(made)(bytes(made)))
    assert taken.frame == bytes(made)
    assert_whole(taken)
    assert dissected(made) == taken  # one made by hand is built first


def test_what_a_field_says_stands_in_its_bytes() -> None:
    taken = dissected(SAMPLES[0])
    dst, dport, version = field(taken, "IP", "dst"), field(taken, "TCP", "dport"), field(taken, "IP", "version")
    assert (dst.value, taken.frame[dst.begin : dst.end]) == ("10.0.0.2", bytes([10, 0, 0, 2]))
    assert int.from_bytes(taken.frame[dport.begin : dport.end]) == 8080
    assert (version.bits, taken.frame[version.begin : version.end], version.value) == (4, b"\x45", "4")
    tagged = dissected(SAMPLES[1])
    vlan = field(tagged, "802.1Q", "vlan")
    assert (vlan.value, vlan.bits, int.from_bytes(tagged.frame[vlan.begin : vlan.end]) & 0xFFF) == ("7", 12, 7)
    assert field(tagged, "UDP", "dport").value == "domain (53)"


def test_bits_of_a_layer_add_up() -> None:
    for made in SAMPLES:
        for layer in dissected(made).layers:
            bits = sum(part.bits or 8 * (part.end - part.begin) for part in layer.parts)
            assert bits == 8 * (layer.end - layer.begin)


@pytest.mark.parametrize("seed", range(60))
def test_cut_and_mangled_frames_are_still_whole(seed: int) -> None:
    generator = random.Random(seed)
    frame = bytearray(bytes(generator.choice(SAMPLES)))
    for _ in range(generator.randrange(6)):
        frame[generator.randrange(len(frame))] = generator.randrange(256)
    cut = bytes(frame[: generator.randrange(1, len(frame) + 1)])
    taken = dissected(dissect(cut, 1))
    assert taken.frame == cut
    assert_whole(taken)


def test_padding_and_what_was_cut_off_are_told() -> None:
    padded = dissected(Ether(bytes(SAMPLES[0]) + b"\0" * 6))
    assert (padded.layers[-1].name, padded.layers[-1].end - padded.layers[-1].begin) == ("Padding", 6)
    shown = Capture(l4_wire().recording()).packet(1)
    taken = dissected(shown)
    assert (taken.seen_at, taken.wire_length) == ("alice", len(taken.frame))


def test_one_that_cannot_be_built_says_why() -> None:
    taken = dissected(IP(ttl=1000))
    assert (taken.frame, taken.layers[0].name, taken.layers[0].parts[0].name) == (b"", "IP", "cannot be built")
    assert dissected(Raw(b"")).layers == ()
