"""Frames of every kind that the index reads, at random from a seed, made byte by byte and without labkit's own code."""

import random
import struct

from .rewriting import ones

HOSTS4 = [bytes([10, 0, link, host]) for link in (1, 2) for host in (10, 11, 12, 21)]
HOSTS6 = [bytes.fromhex("fd00001000000001") + bytes(7) + bytes([host]) for host in (10, 11, 12, 21)]


def any_frame(dice: random.Random) -> bytes:
    """One Ethernet frame."""
    macs = bytes([2, *dice.randbytes(5)]) + bytes([2, *dice.randbytes(5)])
    kind = dice.choices((0x0800, 0x86DD, 0x0806, 0x88B5), (55, 36, 5, 4))[0]
    body = {0x0800: _ipv4, 0x86DD: _ipv6, 0x0806: _arp, 0x88B5: lambda dice: dice.randbytes(40)}[kind](dice)
    tags = dice.choices(([], [0x8100], [0x88A8, 0x8100], [0x8100, 0x8100]), (70, 15, 10, 5))[0]
    head = macs + b"".join(struct.pack(">HH", tag, dice.getrandbits(16)) for tag in tags)
    frame = head + struct.pack(">H", kind) + body
    return frame + bytes(max(0, 60 - len(frame))) if dice.random() < 0.5 else frame  # padded, as on a wire


def _arp(dice: random.Random) -> bytes:
    macs = (bytes([2, *dice.randbytes(5)]) for _ in range(2))
    ends = (mac + dice.choice(HOSTS4) for mac in macs)
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, dice.choice((1, 2))) + b"".join(ends)


def _ipv4(dice: random.Random) -> bytes:
    source, target = dice.choice(HOSTS4), dice.choice(HOSTS4)
    options = dice.choice((b"", b"", b"", b"\x01\x01\x01\x00", b"\x07\x07\x04" + bytes(5), b"\x94\x04\x00\x00"))
    bits = dice.choices((0x4000, 0, 0x2000, dice.randrange(1, 180), 0x2000 | dice.randrange(1, 180)), (60, 25, 4, 5, 6))
    proto, segment = _above(dice, source + target, six=False)
    total = 20 + len(options) + len(segment)
    first = (5 + len(options) // 4) | 0x40
    head = struct.pack(
        ">BBHHHBBH", first, dice.getrandbits(8), total, dice.getrandbits(16), bits[0], dice.randrange(1, 256), proto, 0
    )
    head += source + target + options
    checksum = 0xFFFF - ones(head) if dice.random() < 0.9 else dice.getrandbits(16)
    return head[:10] + struct.pack(">H", checksum) + head[12:] + segment


def _ipv6(dice: random.Random) -> bytes:
    source, target = dice.choice(HOSTS6), dice.choice(HOSTS6)
    proto, segment = _above(dice, source + target, six=True)
    for kind in dice.choice(((), (), (), (0,), (60,), (0, 60), (44,), (60, 44), (0, 44))):
        proto, segment = kind, _extension(dice, kind, proto) + segment
    first = 6 << 28 | dice.getrandbits(28)
    return struct.pack(">IHBB", first, len(segment), proto, dice.randrange(1, 256)) + source + target + segment


def _extension(dice: random.Random, kind: int, then: int) -> bytes:
    if kind == 44:
        offset = dice.choice((0, dice.randrange(1, 180)))
        return struct.pack(">BBHI", then, 0, offset << 3 | dice.getrandbits(1), dice.getrandbits(32))
    length = dice.choice((0, 1))
    return struct.pack(">BBBB", then, length, 1, 4 + 8 * length) + bytes(4 + 8 * length)  # one PadN


def _above(dice: random.Random, ends: bytes, *, six: bool) -> tuple[int, bytes]:
    proto = dice.choices((6, 17, 58 if six else 1, 253), (55, 25, 15, 5))[0]
    made = {6: _tcp, 17: _udp, 1: _icmp, 58: _icmp6, 253: lambda dice: dice.randbytes(dice.randrange(30))}[proto](dice)
    at = {6: 16, 17: 6, 1: 2, 58: 2}.get(proto)
    if at is None or dice.random() < 0.1:
        return proto, made
    pseudo = b"" if proto == 1 else ends + struct.pack(">II", len(made), proto)
    checksum = 0xFFFF - ones(pseudo + made[:at] + b"\0\0" + made[at + 2 :])
    return proto, made[:at] + struct.pack(">H", checksum) + made[at + 2 :]


def _tcp(dice: random.Random) -> bytes:
    options = b"".join(dice.sample(_options(dice), dice.randrange(4)))[:40]
    options += b"\x00" * (-len(options) % 4)
    bits = (
        (5 + len(options) // 4) << 12 | dice.getrandbits(9) | (dice.getrandbits(3) << 9 if dice.random() < 0.1 else 0)
    )
    ports = (dice.randrange(20_000, 60_000), dice.randrange(20_000, 60_000))
    numbers = dice.choice(((0, 0), (0xFFFFFFFF, 1), (dice.getrandbits(32), dice.getrandbits(32))))
    head = struct.pack(">HHIIHHHH", *ports, *numbers, bits, dice.getrandbits(16), dice.getrandbits(16), 0)
    head = head[:18] + struct.pack(">H", dice.choice((0, dice.getrandbits(16))))
    return head + options + b"x" * dice.choice((0, 0, 1, dice.randrange(1200)))


def _options(dice: random.Random) -> list[bytes]:
    blocks = dice.randrange(1, 3)
    return [
        struct.pack(">BBH", 2, 4, dice.getrandbits(16)),
        struct.pack(">BBB", 3, 3, dice.randrange(15)),
        b"\x04\x02",
        struct.pack(">BB", 5, 2 + 8 * blocks) + dice.randbytes(8 * blocks),
        struct.pack(">BBII", 8, 10, dice.getrandbits(32), dice.getrandbits(32)),
        b"\x01",
        b"\x01\x01",
    ]


def _udp(dice: random.Random) -> bytes:
    payload = b"y" * dice.choice((0, 1, dice.randrange(900)))
    return struct.pack(">HHHH", *(dice.randrange(20_000, 60_000) for _ in range(2)), 8 + len(payload), 0) + payload


def _icmp(dice: random.Random) -> bytes:
    kind = dice.choice((0, 8, 3, 11))
    if kind in (0, 8):
        return struct.pack(">BBHHH", kind, 0, 0, dice.getrandbits(16), dice.getrandbits(16)) + dice.randbytes(20)
    return struct.pack(">BBHI", kind, dice.randrange(2), 0, 0) + _carried(dice, six=False)


def _icmp6(dice: random.Random) -> bytes:
    kind = dice.choice((128, 129, 1, 3))
    if kind in (128, 129):
        return struct.pack(">BBHHH", kind, 0, 0, dice.getrandbits(16), dice.getrandbits(16)) + dice.randbytes(20)
    return struct.pack(">BBHI", kind, dice.randrange(2), 0, 0) + _carried(dice, six=True)


def _carried(dice: random.Random, *, six: bool) -> bytes:
    """The packet that an error carries: a whole UDP datagram, or the beginning of a TCP segment."""
    proto = dice.choice((6, 17))
    segment = _udp(dice)[:60] if proto == 17 else _tcp(dice)[:20]
    if six:
        head = struct.pack(">IHBB", 6 << 28, len(segment), proto, 63)
        return head + dice.choice(HOSTS6) + dice.choice(HOSTS6) + segment
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), dice.getrandbits(16), 0x4000, 63, proto, 0)
    return head + dice.choice(HOSTS4) + dice.choice(HOSTS4) + segment
