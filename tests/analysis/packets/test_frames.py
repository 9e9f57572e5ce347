import random

import numpy as np
import pytest

from labkit.analysis.packets.frames import Frames, buffer_of


def frames_of(*pieces: bytes, gap: bytes = b"") -> Frames:
    starts, data = [], b""
    for piece in pieces:
        data += gap
        starts.append(len(data))
        data += piece
    lengths = [len(piece) for piece in pieces]
    return Frames(buffer_of(data), np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64))


def digests(*pieces: bytes, gap: bytes = b"") -> list[int]:
    frames = frames_of(*pieces, gap=gap)
    return frames.digest(np.zeros(len(pieces), dtype=np.int64), frames.captured).tolist()


@pytest.mark.parametrize(
    ("at", "width", "value"), [(0, 1, 0x01), (1, 2, 0x0203), (0, 4, 0x01020304), (2, 6, -1), (4, 1, -1), (-1, 1, -1)]
)
def test_reads_big_endian_and_says_what_was_not_captured(at: int, width: int, value: int) -> None:
    assert frames_of(b"\x01\x02\x03\x04").read(at, width).tolist() == [value]


def test_a_packet_never_borrows_bytes_of_the_next() -> None:
    frames = frames_of(b"\x01", b"\x02\x03")
    assert frames.read(0, 2).tolist() == [-1, 0x0203]
    assert frames.read(np.array([0, 1]), 1).tolist() == [1, 3]
    assert frames.slice(0, 0, 100) == b"\x01"
    assert frames.slice(1, 5, 1) == frames.slice(1, -1, 2) == b""


def test_equal_bytes_have_equal_digests_wherever_they_lie() -> None:
    generator = random.Random(3)
    for length in [*range(1, 40), 1448, 65_000, 200_000]:
        piece = generator.randbytes(length)
        for gap in (b"", b"x", b"xyz"):
            one, two, other = digests(piece, piece, piece[:-1] + bytes([piece[-1] ^ 0x80]), gap=gap)
            assert one == two != other
            assert one == digests(piece)[0]


def test_different_bytes_have_different_digests() -> None:
    generator = random.Random(5)
    base = generator.randbytes(64)
    flipped = [
        bytes(b ^ (1 << bit) if i == at else b for i, b in enumerate(base)) for at in range(64) for bit in range(8)
    ]
    swapped = base[8:16] + base[:8] + base[16:]
    twice = bytes(b ^ 0x80 if i in (7, 15) else b for i, b in enumerate(base))  # the two highest bits of two words
    short = [base[:n] for n in range(1, 64)] + [bytes(n) for n in range(1, 40)]
    every = [base, *flipped, swapped, twice, *short]
    assert len(set(digests(*every))) == len(set(every))


def test_no_bytes_have_the_digest_zero() -> None:
    frames = frames_of(b"abc", b"")
    assert frames.digest(np.array([-1, 0]), np.array([3, 0])).tolist() == [0, 0]
