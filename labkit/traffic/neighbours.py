"""The MAC address of a host on the link: from the kernel's table, or asked for by ARP (RFC 826) or ND (RFC 4861 §7.2).

Runs inside nodes. The kernel asks for itself alone, so what its table lacks is asked for here, in plain sight of any
capture, as the host would have asked.
"""

import socket
import struct
import threading
import time
from ipaddress import IPv4Address, IPv6Address

from labkit.traffic.failure import Failure
from labkit.traffic.routing import Address, neighbour

ARP, IPV6, ALL = 0x0806, 0x86DD, 0x0003
BROADCAST = b"\xff" * 6
_TRIES, _PATIENCE = 3, 0.4  # seconds a try
_KEPT = 60.0  # seconds that an answer is believed
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136

_known: dict[tuple[str, Address], tuple[float, bytes]] = {}
_lock = threading.Lock()


def mac_of(address: Address, interface: str, source: Address | None) -> bytes:
    """The MAC address to send to for *address* on *interface*. Failure "unreachable" if nobody answers for it."""
    if address.is_multicast:
        return multicast_mac(address)
    found = neighbour(address, interface)
    if found is not None:
        return found
    with _lock:
        when, mac = _known.get((interface, address), (0.0, b""))
        if not mac or time.monotonic() - when > _KEPT:
            mac = _ask(address, interface, source)
            _known[interface, address] = time.monotonic(), mac
    return mac


def multicast_mac(address: Address) -> bytes:
    """Where a multicast address lives on Ethernet (RFC 1112 §6.4, RFC 2464 §7)."""
    if address.version == 4:
        return b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]
    return b"\x33\x33" + address.packed[12:]


def _ask(address: Address, interface: str, source: Address | None) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((interface, ALL))
        own: bytes = sock.getsockname()[4]
        question = arp_request if address.version == 4 else solicitation
        frame = question(own, source or type(address)(0), address)
        for _ in range(_TRIES):
            sock.send(frame)
            deadline = time.monotonic() + _PATIENCE
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    heard = sock.recv(256)
                except TimeoutError:
                    break
                answer = answered(heard, address)
                if answer is not None:
                    return answer
    raise Failure("unreachable", f"nobody on the link at {interface} answers for {address}")


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


def answered(frame: bytes, wanted: Address) -> bytes | None:
    """The MAC address that *frame* tells for *wanted*, if it is an answer to that."""
    kind = struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else 0
    if wanted.version == 4:
        reply = kind == ARP and len(frame) >= 42 and frame[20:22] == b"\x00\x02"
        return frame[22:28] if reply and frame[28:32] == wanted.packed else None
    reply = kind == IPV6 and len(frame) >= 78 and frame[20] == _ICMPV6 and frame[54] == _ADVERTISEMENT
    if not reply or frame[62:78] != wanted.packed:
        return None
    return frame[80:86] if frame[78:80] == b"\x02\x01" and len(frame) >= 86 else frame[6:12]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
