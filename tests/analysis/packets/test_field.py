"""What `Fixed` and `Region` read, against the bytes at their places; and the two ways of reading agree."""

import random
from dataclasses import replace

import numpy as np

from labkit.analysis.packets.field import Fixed, Region, Rows, where
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.headers import FIELDS
from labkit.analysis.packets.index import Index, build
from tests.analysis.wire import Wire

from .anyframe import any_frame


def index_of(*frames: bytes) -> Index:
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame)
    return build(wire.recording())


def test_where_there_is_none_it_is_minus_one() -> None:
    condition = np.array([True, False, True])
    assert where(condition, np.array([5, 6, 7])).tolist() == [5, -1, 7]
    assert where(condition, 9).tolist() == [9, -1, 9]
    assert where(condition, np.array([1, 2, 3], dtype=np.int16)).dtype == np.int64


def test_bits_of_bytes_at_a_place() -> None:
    """Even packets have a header, at byte 4; of two bytes from its second on, bits 4 to 11 count, by sixteens."""
    dice = random.Random(3)
    frames = [dice.randbytes(dice.randrange(0, 20)) for _ in range(200)]

    def base(at: Rows) -> Ints:
        return where(at.rows % 2 == 0, 4)

    field = Fixed(
        "Any", "any.bits", base, offset=1, width=2, write=lambda value: f"<{value}>", shift=4, mask=0xFF, unit=16
    )
    rows = np.array([dice.randrange(200) for _ in range(400)])
    wanted = [
        ((int.from_bytes(frames[row][5:7]) >> 4) & 0xFF) * 16 if row % 2 == 0 and len(frames[row]) >= 7 else -1
        for row in rows.tolist()
    ]
    index = index_of(*frames)
    assert field.codes(index, rows).tolist() == wanted
    assert field.codes_of(Rows(index, rows)).tolist() == wanted
    assert field.shown(index, rows) == [None if value < 0 else f"<{value}>" for value in wanted]


def test_a_region_of_any_length() -> None:
    """From byte 2 to byte 2 + (first byte modulo 7), in packets whose first byte is not 0."""
    dice = random.Random(4)
    frames = [bytes([dice.randrange(20)]) + dice.choice((b"abcdef", b"ABCDEF", b"abcXYZ")) for _ in range(300)]

    def span(at: Rows) -> tuple[Ints, Ints]:
        first = at.frames.read(0, 1)
        return where(first > 0, 2), where(first > 0, 2 + first % 7)

    region = Region("Any", "any.region", span)
    rows = np.arange(300)
    index = index_of(*frames)
    pieces = [frame[2 : 2 + frame[0] % 7] if frame[0] else b"" for frame in frames]
    assert region.shown(index, rows) == [piece.hex() or None for piece in pieces]
    codes = region.codes(index, rows).tolist()
    assert len(set(zip(codes, pieces, strict=True))) == len(set(codes)) == len(set(pieces))
    assert all((code == 0) is (piece == b"") for code, piece in zip(codes, pieces, strict=True))
    assert replace(region, write=len).shown(index, rows) == [len(piece) or None for piece in pieces]


def test_codes_are_equal_exactly_where_what_is_shown_is() -> None:
    dice = random.Random(5)
    index = index_of(*(any_frame(dice) for _ in range(300)))
    rows = np.arange(300)
    for field in FIELDS:
        codes = field.codes(index, rows).tolist()
        shown = field.shown(index, rows)
        assert len(set(zip(codes, shown, strict=True))) == len(set(codes)) == len(set(shown)), field.name
