"""What belongs to health checks: all that is from, to or about the address that they come from."""

from dataclasses import replace

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from labkit.analysis.events.probes import kept, without_probes
from labkit.recording import Recording
from tests.analysis.wire import Wire

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
LB, API1, SOURCE = "10.0.2.10", "10.0.2.11", "10.0.2.254"
CHECK = E / IP(src=SOURCE, dst=API1) / TCP(sport=700, dport=80, flags="S")
CHECKS = [
    CHECK,
    E / IP(src=API1, dst=SOURCE) / TCP(sport=80, dport=700, flags="SA"),
    *fragment(E / IP(src=API1, dst=SOURCE) / UDP(sport=7, dport=700) / Raw(bytes(2000)), 1480),
    E / IP(src=API1, dst=SOURCE) / ICMP(type=3, code=3) / CHECK[IP],
    E / ARP(op=1, psrc=API1, pdst=SOURCE),
    E / ARP(op=2, psrc=SOURCE, pdst=API1),
]
OTHERS = [
    E / IP(src=LB, dst=API1) / TCP(sport=700, dport=80, flags="S"),
    E / IP(src=API1, dst=LB) / TCP(sport=80, dport=700, flags="SA"),
    E / ARP(op=1, psrc=API1, pdst=LB),
    E / bytes(40),
]


def recording(*frames: Packet, **event: object) -> Recording:
    wire = Wire(("lb:back",))
    for frame in frames:
        wire.wait()
        wire.see("lb:back", frame)
    wire.events.append({"kind": "probes", "time_ns": wire.now, "addresses": [SOURCE], **event})
    return wire.recording()


def test_all_of_a_check_is_left_out_and_nothing_else() -> None:
    mixed = [frame for pair in zip(CHECKS, [*OTHERS, *OTHERS], strict=False) for frame in pair]
    found = recording(*mixed, kept=True)
    left = without_probes(found)
    assert kept(found)
    assert [left.frame(number) for number in range(1, len(left) + 1)] == [
        bytes(frame) for frame in mixed if frame not in CHECKS
    ]


def test_where_none_was_kept_none_is_looked_for() -> None:
    found = recording(CHECK, kept=False)
    assert without_probes(found) is found
    assert kept(replace(found, events=())) is None
