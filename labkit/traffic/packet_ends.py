"""Who a raw packet is from and to: addresses and ports read from its bytes. Pure; malformed bytes have no ends.

Just enough to hold the right ports, and to tell a likely answer from other traffic. Meaning is for scapy, which sees
the packets in the notebook.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from labkit.traffic.routing import Address

TCP, UDP = 6, 17
IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100
_EXTENSIONS = {0, 43, 60}  # hop by hop, routing, destination options (RFC 8200 §4)
_FRAGMENT = 44


@dataclass(frozen=True, slots=True)
class Ends:
    """sport, dport: of TCP or UDP; None for other protocols and for fragments after the first."""

    source: Address
    target: Address
    proto: int
    sport: int | None = None
    dport: int | None = None


def of_frame(frame: bytes) -> Ends | None:
    """The ends of an Ethernet frame's IP packet; None if it carries none."""
    return ends(frame[payload_at(frame) :]) if ether_type(frame) in (IPV4, IPV6) else None


def payload_at(frame: bytes) -> int:
    return 18 if frame[12:14] == struct.pack("!H", VLAN) else 14


def ether_type(frame: bytes) -> int:
    at = payload_at(frame) - 2
    return int.from_bytes(frame[at : at + 2]) if len(frame) >= at + 2 else 0


def ends(packet: bytes) -> Ends | None:
    """The ends of an IPv4 or IPv6 packet; None if it is too short to have any."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        offset = int.from_bytes(packet[6:8]) & 0x1FFF
        at = (packet[0] & 15) * 4
        return _with_ports(packet, at, IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), packet[9], offset)
    if version == 6 and len(packet) >= 40:
        proto, at, offset = _upper(packet)
        return _with_ports(packet, at, IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), proto, offset)
    return None


def _upper(packet: bytes) -> tuple[int, int, int]:
    """The protocol above the extension headers of an IPv6 packet, where it begins, and the fragment's offset."""
    proto, at, offset = packet[6], 40, 0
    while (proto in _EXTENSIONS or proto == _FRAGMENT) and at + 8 <= len(packet):
        if proto == _FRAGMENT:
            offset = int.from_bytes(packet[at + 2 : at + 4]) >> 3
        size = 8 if proto == _FRAGMENT else (packet[at + 1] + 1) * 8
        proto, at = packet[at], at + size
    return proto, at, offset


def _with_ports(packet: bytes, at: int, source: Address, target: Address, proto: int, offset: int) -> Ends:
    if proto not in (TCP, UDP) or offset or len(packet) < at + 4:
        return Ends(source, target, proto)
    return Ends(source, target, proto, *struct.unpack_from("!HH", packet, at))


class Interest:
    """Which received frames may be answers to what was sent: those for its sources, and to its ports if it had any.

    Of frames that carry no IP, those of the same type are of interest.
    """

    def __init__(self, sent: Iterable[bytes]) -> None:
        frames = list(sent)
        known = [(ether_type(frame), of_frame(frame)) for frame in frames]
        told = [one for _, one in known if one is not None]
        self._types = {kind for kind, one in known if one is None}
        self._sources = {one.source for one in told}
        self._ports = {(one.proto, one.sport) for one in told if one.sport is not None}
        self._whole = {one.proto for one in told} - {proto for proto, _ in self._ports}

    def __call__(self, frame: bytes) -> bool:
        one = of_frame(frame)
        if one is None:
            return ether_type(frame) in self._types
        if one.target not in self._sources:
            return False
        return one.dport is None or one.proto in self._whole or (one.proto, one.dport) in self._ports
