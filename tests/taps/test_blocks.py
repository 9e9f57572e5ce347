"""Chunks as a kernel writes them, and chunks as nobody should."""

import random
import struct

import numpy as np
import pytest

from labkit.errors import CaptureError
from labkit.taps import blocks
from labkit.taps.blocks import Chunk


def chunk_of(frames: list[bytes], time_ns: int, kind: int = 0) -> bytes:
    """One retired block, packets a nanosecond apart."""
    body = b""
    for number, frame in enumerate(frames):
        size = 82 + len(frame) + 7 & ~7
        following = 0 if number == len(frames) - 1 else size
        seconds, rest = divmod(time_ns + number, 10**9)
        head = struct.pack("6I2H", following, seconds, rest, len(frame), len(frame) + 1, 1, 82, 96)
        address = struct.pack("HHiHBB8s", 17, 8, 1, 1, kind, 6, b"")
        body += (head.ljust(48, b"\0") + address).ljust(82, b"\0") + frame.ljust(size - 82, b"\0")
    times = struct.pack("4I", *divmod(time_ns, 10**9), *divmod(time_ns + len(frames) - 1, 10**9))
    return struct.pack("5IIQ", 2, 48, 1, len(frames), 48, 48 + len(body), 1) + times + body


def rows_of(parts: list[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    chunks, data = [], b""
    for vantage, part in parts:
        chunks.append(Chunk(vantage, len(data), len(part)))
        data += part
    array = np.frombuffer(bytearray(data), np.uint8)
    return blocks.rows(array, chunks), array


def test_chains_of_different_lengths_come_out_in_order() -> None:
    dice = random.Random(4)
    expected, parts = [], []
    for number in range(40):
        frames = [dice.randbytes(dice.randrange(1, 90)) for _ in range(dice.choice([1, 2, 30]))]
        kind = dice.choice([0, 3, 4])
        parts.append((number % 5, chunk_of(frames, number * 10**9 + 999_999_990, kind)))
        for index, frame in enumerate(frames):
            time_ns = number * 10**9 + 999_999_990 + index
            expected.append((time_ns, number % 5, len(frame), len(frame) + 1, 2 if kind == 4 else 1, frame))
    rows, data = rows_of(parts)
    found = [
        (*(int(row[name]) for name in ("time_ns", "vantage", "captured", "original", "direction")),
         data[int(row["offset"]) :][: int(row["captured"])].tobytes())
        for row in rows
    ]  # fmt: skip
    assert found == expected


def test_nothing_at_all() -> None:
    rows, _ = rows_of([])
    assert len(rows) == 0


def test_chunks_that_contradict_themselves_are_refused() -> None:
    sound = chunk_of([b"x" * 60, b"y" * 60, b"z" * 60], 5)
    for offset, value in [(12, 2**31), (12, 50), (16, 2**31), (48, 2**32 - 1), (48, 2), (60, 2**32 - 1), (72, 65535)]:
        broken = bytearray(sound)
        struct.pack_into("I", broken, offset, value)
        with pytest.raises(CaptureError, match="contradicts itself"):
            rows_of([(0, sound), (1, bytes(broken))])


def test_mutants_never_point_outside() -> None:
    dice = random.Random(1)
    sound = chunk_of([b"x" * 60, b"y" * 60, b"z" * 60], 5)
    for _ in range(2000):
        broken = bytearray(sound)
        broken[dice.randrange(len(broken))] = dice.randrange(256)
        try:
            rows, data = rows_of([(0, bytes(broken))])
        except CaptureError:
            continue
        assert (rows["offset"] + rows["captured"] <= len(data)).all()


def test_a_tag_without_room_or_addresses_stays_out() -> None:
    frame = bytes(range(12)) + b"\x08\x00rest"
    chunk = bytearray(chunk_of([frame], 5))
    struct.pack_into("I", chunk, 48 + 20, 1 | 1 << 4)
    struct.pack_into("I", chunk, 48 + 32, 0x2007)
    rows, data = rows_of([(0, bytes(chunk))])
    row = rows[0]
    assert data[int(row["offset"]) :][: int(row["captured"])].tobytes() == frame[:12] + b"\x81\x00\x20\x07" + frame[12:]
    struct.pack_into("I", chunk, 48 + 12, 11)
    rows, _ = rows_of([(0, bytes(chunk))])
    assert rows["captured"].tolist() == [11]
