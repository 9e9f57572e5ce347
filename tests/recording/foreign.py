"""Capture files as other programs write them, made byte by byte and without labkit's own code."""

import struct


def block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, options: bytes = b"", link_type: int = 1, snap: int = 0) -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link_type, 0, snap) + options)


def packet(
    order: str, ticks: int, frame: bytes, index: int = 0, options: bytes = b"", claimed: int | None = None
) -> bytes:
    captured = len(frame) if claimed is None else claimed
    head = struct.pack(order + "IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, captured, captured)
    return block(order, 6, head + frame + b"\0" * (-len(frame) % 4) + options)


def old_packet(order: str, ticks: int, frame: bytes, index: int = 0, drops: int = 9) -> bytes:
    head = struct.pack(order + "HHIIII", index, drops, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 2, head + frame)


def simple_packet(order: str, original: int, frame: bytes) -> bytes:
    return block(order, 3, struct.pack(order + "I", original) + frame)


def classic(order: str, records: list[tuple[int, int, bytes]], magic: int = 0xA1B2C3D4, link_type: int = 1) -> bytes:
    """*records*: seconds, fraction (of the magic's unit), frame."""
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)]
    for seconds, fraction, frame in records:
        parts.append(struct.pack(order + "IIII", seconds, fraction, len(frame), len(frame) + 2) + frame)
    return b"".join(parts)


def block_kinds(content: bytes) -> dict[int, int]:
    """Where each block of a little-endian file ends, and its kind."""
    found = {}
    position = 0
    while position < len(content):
        kind, length = struct.unpack_from("<II", content, position)
        position += length
        found[position] = kind
    return found
