"""Who is a stranger on the lab's links: nobody whose MAC address or IP address is a host's."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from labkit.analysis.events.strangers import Strangers
from labkit.analysis.study import Study
from tests.analysis import ladders as made
from tests.analysis import wire as w

FOREIGN, MINE = made.BRIDGE, w.MACS["lb:front"]


def heard(*packets: Packet) -> Strangers:
    wire = w.Wire()
    wire.events.append(made.telling_macs())
    for packet in packets:
        wire.see("alice", packet, at=wire.wait())
    return Study(wire.recording()).strangers


def test_a_bridge() -> None:
    found = Study(made.beside_a_bridge().recording()).strangers
    assert found.called == "Docker's bridge"
    assert dict(found.protocols) == {"ICMPv6": 4, "IGMP": 2, "UDP": 2}
    assert found.addresses == {"0.0.0.0", made.BRIDGES_ADDRESS}
    assert len(found.rows) == 8


def test_on_another_runtime_it_has_no_name() -> None:
    assert Study(made.beside_a_bridge("netns").recording()).strangers.called == "a stranger on the link"


def test_without_mac_addresses_nothing_is_known() -> None:
    found = Study(made.beside_a_bridge(tells_macs=False).recording()).strangers
    assert (len(found.rows), found.addresses, dict(found.protocols)) == (0, frozenset(), {})


@pytest.mark.parametrize(
    ("mac", "inside", "strange"),
    [
        (FOREIGN, IPv6(src="fe80::1", dst="ff02::fb") / UDP() / Raw(b"?"), True),
        (FOREIGN, ARP(psrc="0.0.0.0", pdst=w.ALICE), True),
        (FOREIGN, IP(src="192.0.2.1", dst=w.ALICE) / UDP(), True),
        (FOREIGN, IP(src=w.BOB, dst=w.ALICE) / UDP(), False),  # a host's own, whatever MAC address it came from
        (MINE, IPv6(src="fe80::1", dst="ff02::fb") / UDP() / Raw(b"?"), False),  # a host's link-local address
        (MINE, ARP(psrc=w.VIP, pdst=w.ALICE), False),
        (MINE, IP(src="192.0.2.1", dst=w.ALICE) / UDP(), False),  # crafted by a host
    ],
)
def test_a_stranger_has_neither_a_hosts_mac_nor_its_address(mac: str, inside: Packet, strange: bool) -> None:
    frame = Ether(bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / inside))
    assert len(heard(frame).rows) == int(strange)
