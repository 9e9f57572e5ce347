"""What a header field is: bytes at a fixed place of a header, or a region of it; read for many packets at once.

Which fields there are stands in `headers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .frames import MISSING, Frames, Ints
from .index import Index

Base = Callable[["Rows"], Ints]
Span = Callable[["Rows"], tuple[Ints, Ints]]


class Rows:
    """Some packets of an index (by row), with what several fields need of them worked out once."""

    def __init__(self, index: Index, rows: Ints) -> None:
        self.index, self.rows = index, rows
        self.frames: Frames = index.frames.take(rows)
        self._bases: dict[Base, Ints] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def base(self, of: Base) -> Ints:
        """Where a header begins in each packet; -1 where there is none."""
        if of not in self._bases:
            self._bases[of] = of(self)
        return self._bases[of]


class Field(Protocol):
    """A header field: its layer's name, its own, its values."""

    @property
    def layer(self) -> str: ...

    @property
    def name(self) -> str: ...

    def codes_of(self, at: Rows) -> npt.NDArray[Any]: ...

    def codes(self, index: Index, rows: Ints) -> npt.NDArray[Any]:
        """One number per row, equal where the field's bytes are equal; -1 (0 of a digest) where there are none."""

    def shown(self, index: Index, rows: Ints) -> list[object]:
        """The values as a person reads them; None where the packet has no such field."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """*width* bytes at *offset* of the header at *base*, of which (value >> shift) & mask counts, *unit* times."""

    layer: str
    name: str
    base: Base
    offset: int
    width: int
    write: Callable[[int], object] = int
    shift: int = 0
    mask: int = -1
    unit: int = 1

    def codes_of(self, at: Rows) -> Ints:
        base = at.base(self.base)
        if not (base >= 0).any():
            return np.full(len(at), MISSING, dtype=np.int64)
        raw = at.frames.read(np.where(base >= 0, base + self.offset, MISSING), self.width)
        return np.where(raw >= 0, ((raw >> self.shift) & self.mask) * self.unit, MISSING)

    def codes(self, index: Index, rows: Ints) -> Ints:
        return self.codes_of(Rows(index, rows))

    def shown(self, index: Index, rows: Ints) -> list[object]:
        values, place = np.unique(self.codes(index, rows), return_inverse=True)
        texts = [self.write(value) if value >= 0 else None for value in values.tolist()]
        return [texts[i] for i in place.tolist()]


@dataclass(frozen=True, slots=True)
class Region:
    """Header bytes without a place or length of their own (options), or too long for a number (IPv6 addresses)."""

    layer: str
    name: str
    span: Span  # first and last + 1 position inside the packets
    write: Callable[[bytes], object] = bytes.hex

    def codes_of(self, at: Rows) -> npt.NDArray[Any]:
        begin, end = self.span(at)
        if not (begin >= 0).any():
            return np.zeros(len(at), dtype=np.uint64)
        return at.frames.digest(begin, np.minimum(end, at.frames.captured) - begin)

    def codes(self, index: Index, rows: Ints) -> npt.NDArray[Any]:
        return self.codes_of(Rows(index, rows))

    def shown(self, index: Index, rows: Ints) -> list[object]:
        begin, end = (bound.tolist() for bound in self.span(Rows(index, rows)))
        raw = (index.frames.slice(row, a, b - a) for row, a, b in zip(rows.tolist(), begin, end, strict=True))
        return [self.write(piece) if piece else None for piece in raw]


def where(condition: npt.NDArray[np.bool_], value: Ints | int) -> Ints:
    """*value* where *condition*, else -1."""
    return np.where(condition, value, MISSING).astype(np.int64)
