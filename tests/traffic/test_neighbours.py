"""The questions that find a neighbour, held against scapy's own packets."""

from ipaddress import ip_address

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from labkit.traffic.neighbours import answer, arp_request, checksum, multicast_mac, solicitation

OWN, OTHER = "02:00:0a:00:01:0b", "02:00:0a:00:01:0a"
RAW = bytes.fromhex(OWN.replace(":", ""))
BACK = bytes.fromhex(OTHER.replace(":", ""))


def test_an_arp_request_is_what_scapy_makes_of_it():
    wanted = Ether(src=OWN, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=OWN, psrc="10.0.1.11", pdst="10.0.1.10")
    assert arp_request(RAW, ip_address("10.0.1.11"), ip_address("10.0.1.10")) == bytes(wanted)


def test_a_solicitation_is_what_scapy_makes_of_it():
    source, target = "fd00:10:0:1::11", "fd00:10:0:1::10"
    wanted = (
        Ether(src=OWN, dst="33:33:ff:00:00:10")
        / IPv6(src=source, dst="ff02::1:ff00:10", hlim=255)
        / ICMPv6ND_NS(tgt=target)
        / ICMPv6NDOptSrcLLAddr(lladdr=OWN)
    )
    assert solicitation(RAW, ip_address(source), ip_address(target)) == bytes(wanted)


def test_answers_are_read_and_other_frames_passed_over():
    reply = bytes(Ether(src=OTHER, dst=OWN) / ARP(op=2, hwsrc=OTHER, psrc="10.0.1.10", hwdst=OWN, pdst="10.0.1.11"))
    assert answer(reply) == (ip_address("10.0.1.10"), BACK)
    six = Ether(src=OTHER, dst=OWN) / IPv6(src="fd00::10", dst="fd00::11", hlim=255)
    told = six / ICMPv6ND_NA(tgt="fd00::10") / ICMPv6NDOptDstLLAddr(lladdr=OTHER)
    for advertisement in (told, six / ICMPv6ND_NA(tgt="fd00::10")):  # the option may be left out
        assert answer(bytes(advertisement)) == (ip_address("fd00::10"), BACK)
    asked = arp_request(RAW, ip_address("10.0.1.11"), ip_address("10.0.1.10"))
    for frame in (b"", reply[:41], bytes(told)[:77], asked, bytes(six / ICMPv6ND_NS(tgt="fd00::10"))):
        assert answer(frame) is None


def test_multicast_lives_at_addresses_of_its_own():
    assert multicast_mac(ip_address("224.129.1.2")).hex(":") == "01:00:5e:01:01:02"
    assert multicast_mac(ip_address("ff02::1:ff00:10")).hex(":") == "33:33:ff:00:00:10"


def test_the_checksum_of_an_odd_number_of_bytes():
    assert checksum(b"\x01\x02\x03") == 0xFFFF - (0x0102 + 0x0300)
