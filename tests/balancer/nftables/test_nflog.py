"""What a logged packet says: which flow begins, and whose it is."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from labkit.balancer.nftables.conntrack import Endpoints
from labkit.balancer.nftables.netlink import FAMILY, HEADER, attribute, text
from labkit.balancer.nftables.nflog import PAYLOAD, PREFIX, TIMESTAMP, is_log, parse


def logged(packet: bytes, prefix: str, stamp: tuple[int, int] | None = None, kind: int = 4 << 8) -> bytes:
    body = attribute(PAYLOAD, packet) + text(PREFIX, prefix)
    if stamp:
        body += attribute(TIMESTAMP, struct.pack("!QQ", *stamp))
    return HEADER.pack(HEADER.size + FAMILY.size + len(body), kind, 0, 0, 0) + FAMILY.pack(0, 0, 80) + body


def test_a_syn_by_ipv4_with_options_and_the_kernels_time() -> None:
    packet = bytes(IP(src="10.0.1.11", dst="10.0.1.10", options=b"\1\1\1\1") / TCP(sport=40000, dport=80))
    seen = parse(logged(packet, "api1 10.0.2.11", (7, 5)), 99)
    assert seen is not None
    assert seen.original == Endpoints("TCP", "10.0.1.11", 40000, "10.0.1.10", 80)
    assert seen.reply == Endpoints("TCP", "10.0.2.11", 80, "10.0.1.11", 40000)
    assert seen.time_ns == 7_000_005_000


def test_a_datagram_by_ipv6_cut_short_without_a_time() -> None:
    packet = bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=53) / bytes(100))[:64]
    seen = parse(logged(packet, "api1 fd00::3"), 99)
    assert seen is not None
    assert seen.original == Endpoints("UDP", "fd00::1", 1, "fd00::2", 53)
    assert seen.time_ns == 99


@pytest.mark.parametrize(
    ("packet", "prefix"),
    [
        (bytes(IP() / ICMP()), "api1 10.0.2.11"),
        (bytes(IP() / TCP())[:20], "api1 10.0.2.11"),
        (bytes(IPv6() / TCP())[:42], "api1 10.0.2.11"),
        (b"", "api1 10.0.2.11"),
        (bytes(IP() / TCP()), "somebody's own log: "),
    ],
)
def test_what_tells_nothing_is_passed_over(packet: bytes, prefix: str) -> None:
    assert parse(logged(packet, prefix), 1) is None


def test_a_log_is_told_from_a_report_of_connection_tracking() -> None:
    assert is_log(logged(b"", ""))
    assert not is_log(logged(b"", "", kind=1 << 8))
