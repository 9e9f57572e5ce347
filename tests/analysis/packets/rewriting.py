"""Rewriting recorded in words, put back into bytes; and checksums worked out anew, by the book alone.

Independent of labkit: fields by their fixed places in an Ethernet frame with an IPv4 header of 20 bytes.
"""

import ipaddress
import struct

PLACES = {  # field -> (first byte, width)
    "eth.dst": (0, 6), "eth.src": (6, 6), "ip.ttl": (22, 1), "ip.checksum": (24, 2), "ip.src": (26, 4),
    "ip.dst": (30, 4), "tcp.sport": (34, 2), "tcp.dport": (36, 2), "tcp.checksum": (50, 2), "udp.sport": (34, 2),
    "udp.dport": (36, 2), "udp.checksum": (40, 2),
}  # fmt: skip
TCP, UDP = 6, 17


def written(name: str, value: object) -> bytes:
    """A field's value, as shown, in bytes."""
    text, width = str(value), PLACES[name][1]
    if name.startswith("eth."):
        return bytes.fromhex(text.replace(":", ""))
    if name in ("ip.src", "ip.dst"):
        return ipaddress.IPv4Address(text).packed
    return int(text, 0).to_bytes(width, "big")


def rewritten(frame: bytes, changes: dict[str, tuple[object, object]]) -> bytes:
    """*frame* after *changes*, each of which must have been there before."""
    out = bytearray(frame)
    for name, (before, after) in changes.items():
        first, width = PLACES[name]
        assert out[first : first + width] == written(name, before), name
        out[first : first + width] = written(name, after)
    return bytes(out)


def ones(data: bytes) -> int:
    """The one's complement sum of *data* in 16-bit words (RFC 1071), 0xffff being 0 too."""
    padded = data + b"\0" * (len(data) % 2)
    return sum(struct.unpack(f">{len(padded) // 2}H", padded)) % 0xFFFF


def sums_are_right(frame: bytes) -> bool:
    """Whether the IPv4 header checksum and that of TCP or UDP fit the bytes (of UDP also 0, which means none)."""
    total = struct.unpack_from(">H", frame, 16)[0]
    segment = frame[34 : 14 + total]
    proto = frame[23]
    pseudo = frame[26:34] + struct.pack(">HH", proto, len(segment))
    none = proto == UDP and segment[6:8] == b"\0\0"
    return ones(frame[14:34]) == 0 and (none or ones(pseudo + segment) == 0)


def translated(frame: bytes, source: bytes, target: bytes) -> bytes:
    """What a router that translates makes of *frame*, its MACs aside: new addresses, TTL one less, sums by RFC 1624."""
    out = bytearray(frame)
    out[26:30], out[30:34], out[22] = source, target, frame[22] - 1
    at = {TCP: 50, UDP: 40}[frame[23]]
    moved = ones(bytes(out[26:34])) - ones(frame[26:34])
    step = moved + (out[22] - frame[22]) * 256
    for place, by in ((24, step), (at, moved)):
        (old,) = struct.unpack_from(">H", frame, place)
        if place == at == 40 and old == 0:
            continue
        new = 0xFFFF - (0xFFFF - old + by) % 0xFFFF  # eqn. 3: HC' = ~(~HC + ~m + m')
        struct.pack_into(">H", out, place, new)
    return bytes(out)


def alike(one: bytes, other: bytes) -> bool:
    """Whether two frames are the same behind their MACs, the two zeros of a checksum (RFC 1624 §3) being one."""
    blank = []
    for frame in (one, other):
        out = bytearray(frame[12:])
        for place in (24, {TCP: 50, UDP: 40}[frame[23]]):
            (value,) = struct.unpack_from(">H", frame, place)
            struct.pack_into(">H", out, place - 12, value % 0xFFFF)
        blank.append(bytes(out))
    return blank[0] == blank[1]
