"""The MAC address of a host on the link: from the kernel's table, or asked for by ARP (RFC 826) or ND (RFC 4861 §7.2).

Runs inside nodes. The kernel asks for itself alone, so what its table lacks is asked for here, in plain sight of any
capture, as the host would have asked.
"""

import socket
import struct
import threading
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from labkit.traffic.routing import Address, neighbour

ARP, IPV6, ALL = 0x0806, 0x86DD, 0x0003
BROADCAST = b"\xff" * 6
_TRIES, _PATIENCE = 3, 0.4  # seconds a try
_KEPT = 60.0  # seconds that an answer is believed
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136

_known: dict[tuple[str, Address], tuple[float, bytes]] = {}
_lock = threading.Lock()


def macs_of(wanted: Mapping[Address, Address | None], interface: str) -> dict[Address, bytes]:
    """The MAC addresses to send to for addresses on *interface*; those that nobody answers for are absent.

    wanted: address -> the one to ask from. Those not known are asked for all at once.
    """
    found: dict[Address, bytes] = {}
    with _lock:
        for address in wanted:
            known = multicast_mac(address) if address.is_multicast else neighbour(address, interface)
            when, mac = _known.get((interface, address), (0.0, b""))
            if known is not None or (mac and time.monotonic() - when < _KEPT):
                found[address] = known or mac
        missing = {address: source for address, source in wanted.items() if address not in found}
        if missing:
            heard = _ask(missing, interface)
            _known.update({(interface, address): (time.monotonic(), mac) for address, mac in heard.items()})
            found |= heard
    return found


def multicast_mac(address: Address) -> bytes:
    """Where a multicast address lives on Ethernet (RFC 1112 §6.4, RFC 2464 §7)."""
    if address.version == 4:
        return b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]
    return b"\x33\x33" + address.packed[12:]


def _ask(wanted: Mapping[Address, Address | None], interface: str) -> dict[Address, bytes]:
    found: dict[Address, bytes] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((interface, ALL))
        own: bytes = sock.getsockname()[4]
        for _ in range(_TRIES):
            for address, source in wanted.items():
                if address not in found:
                    question = arp_request if address.version == 4 else solicitation
                    sock.send(question(own, source or type(address)(0), address))
            deadline = time.monotonic() + _PATIENCE
            while len(found) < len(wanted) and (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    told = answer(sock.recv(256))
                except TimeoutError:
                    break
                if told is not None and told[0] in wanted:
                    found[told[0]] = told[1]
    return found


def arp_request(own: bytes, source: Address, wanted: Address) -> bytes:
    """An ARP request as a frame."""
    packed = source.packed if source.version == 4 else IPv4Address(0).packed
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return BROADCAST + own + struct.pack("!H", ARP) + head + own + packed + bytes(6) + wanted.packed


def solicitation(own: bytes, source: Address, wanted: Address) -> bytes:
    """A neighbour solicitation as a frame, to the solicited-node multicast address (RFC 4291 §2.7.1)."""
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + wanted.packed[13:])
    message = wanted.packed + b"\x01\x01" + own
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + message
    pseudo = source.packed + group.packed + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + source.packed + group.packed
    return multicast_mac(group) + own + struct.pack("!H", IPV6) + head + body


def answer(frame: bytes) -> tuple[Address, bytes] | None:
    """(address, its MAC address), if *frame* is an answer that tells one."""
    kind = struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else 0
    if kind == ARP and len(frame) >= 42 and frame[20:22] == b"\x00\x02":
        return IPv4Address(frame[28:32]), frame[22:28]
    if kind == IPV6 and len(frame) >= 78 and frame[20] == _ICMPV6 and frame[54] == _ADVERTISEMENT:
        told = frame[78:80] == b"\x02\x01" and len(frame) >= 86
        return IPv6Address(frame[62:78]), frame[80:86] if told else frame[6:12]
    return None


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
