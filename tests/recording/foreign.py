"""Capture files as other programs write them, made byte by byte and without labkit's own code."""

import json
import struct
from pathlib import Path

from labkit.recording import Recording


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


def as_pcapng(recording: Recording, order: str) -> bytes:
    """A recording with its evidence as a pcapng file of either byte order."""
    pen = struct.pack(order + "I", 32473)
    places = {each.name: {"node": each.node, "interface": each.interface} for each in recording.vantages}
    said = [{"labkit": 1, "vantages": places, "lacks": []}, *({"labkit": 1, "event": e} for e in recording.events)]
    parts = [section(order)]
    for each in recording.vantages:
        options = option(order, 2, each.name.encode()) + option(order, 9, b"\x09") + option(order, 0, b"")
        parts.append(interface(order, options, each.link_type))
    parts += [block(order, 0x80007ED9, pen + json.dumps(value).encode()) for value in said]
    for number, row in enumerate(recording.packets, start=1):
        flags = option(order, 2, struct.pack(order + "I", int(row["direction"])))
        comment = recording.comments.get(number)
        options = (option(order, 1, comment.encode()) if comment else b"") + flags + option(order, 0, b"")
        parts.append(packet(order, int(row["time_ns"]), recording.frame(number), int(row["vantage"]), options))
    return b"".join(parts)


def as_pcap(recording: Recording, order: str) -> bytes:
    """The packets of a recording as a classic file of either byte order, with nanoseconds."""
    times = recording.packets["time_ns"].tolist()
    records = [(*divmod(time, 10**9), recording.frame(number)) for number, time in enumerate(times, start=1)]
    return classic(order, records, magic=0xA1B23C4D)


def block_kinds(content: bytes) -> dict[int, int]:
    """Where each block of a little-endian file ends, and its kind."""
    found = {}
    position = 0
    while position < len(content):
        kind, length = struct.unpack_from("<II", content, position)
        position += length
        found[position] = kind
    return found


def records(path: Path) -> list[bytes]:
    """The frames of a little-endian classic pcap file, in order."""
    content, at, found = path.read_bytes(), 24, []
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at + 8)
        found.append(content[at + 16 : at + 16 + length])
        at += 16 + length
    return found
