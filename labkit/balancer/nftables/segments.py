"""TCP segments without data, made by hand: what a cut says to the ends of connections that are not lb's own. Pure."""

import socket
import struct

RST, ACK = 0x04, 0x10
TCP, TTL = 6, 64


def segment(
    source: str,
    source_port: int,
    target: str,
    target_port: int,
    *,
    flags: int,
    sequence: int = 0,
    acknowledged: int = 0,
) -> bytes:
    """A whole IP packet, of the family that the addresses are of."""
    six = ":" in target
    family = socket.AF_INET6 if six else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    head = struct.pack("!HHIIBBHHH", source_port, target_port, sequence, acknowledged, 5 << 4, flags, 0, 0, 0)
    pseudo = ends + (struct.pack("!II", len(head), TCP) if six else struct.pack("!HH", TCP, len(head)))
    head = head[:16] + checksum(pseudo + head) + head[18:]
    if six:
        return struct.pack("!IHBB", 6 << 28, len(head), TCP, TTL) + ends + head
    before = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(head), 0, 0, TTL, TCP)
    return before + checksum(before + ends) + ends + head


def checksum(data: bytes) -> bytes:
    """RFC 1071 of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


def send(source: str, source_port: int, target: str, target_port: int) -> None:
    """To *target* an ACK out of nowhere, as from *source*, which may be anybody's address."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sender:
        try:
            sender.sendto(segment(source, source_port, target, target_port, flags=ACK), (target, 0))
        except OSError:
            return  # no way there: whoever is not there needs no telling
