"""Runs of enhanced packet blocks in a mapped pcapng file, found many at once.

A block says how long it is, so blocks are a chain that must be followed from its start. This follows it with numpy:
whatever looks like a packet block is a candidate, and from a true block on, candidates that begin where the one
before ends are true too. What only looks like a block (inside a payload) is never reached, as in a plain walk.

Stored offsets (docs/pcapng.md) spare the search. They are believed only as far as the file itself says the same.
"""

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import pcapng_format as pcapng

Positions = npt.NDArray[np.int64]
_SMALLEST_WINDOW: Final = 1 << 18  # bytes that are looked at in one go; more in a long file
_LARGEST_WINDOW: Final = 1 << 25
_AT_ONCE: Final = 1 << 15
_NONE: Final = np.zeros(0, np.int64)


class Chain:
    """The packet blocks of one section. *data*: the whole file, *size* bytes; *order*: "<" or ">"."""

    def __init__(self, data: Any, size: int, order: str) -> None:
        self._words: npt.NDArray[np.uint32] = np.frombuffer(data, order + "u4", size // 4)
        self._native: npt.NDArray[np.uint32] = np.frombuffer(data, np.uint32, size // 4)
        self._kind = struct.unpack("=I", struct.pack(order + "I", pcapng.PACKET))[0]
        self._end = size & ~3
        self._window = _SMALLEST_WINDOW
        self._from = self._to = 0  # what the candidates were looked for in
        self._found = self._next = _NONE
        self._breaks: Positions = _NONE
        self._stored: list[tuple[Positions, Positions]] = []

    def store(self, first: int, lengths: Positions) -> None:
        """Take a hint: packet blocks of these lengths (bytes) stand from *first* on."""
        if len(lengths) and first % 4 == 0:
            ends = first + np.cumsum(lengths)
            self._stored.append((ends - lengths, ends))

    def run(self, position: int) -> Positions:
        """Where the packet blocks stand that follow each other from *position* on, which must be a multiple of 4."""
        found, end = self._as_stored(position)
        parts = [found]
        while len(part := self._piece(end)):
            parts.append(part)
            end = int(self._next[np.searchsorted(self._found, part[-1])])
        return np.concatenate(parts)

    def _as_stored(self, position: int) -> tuple[Positions, int]:
        """The packets from *position* on that were told of and are there, and where they end."""
        for starts, ends in self._stored:
            place = int(np.searchsorted(starts, position))
            if place < len(starts) and starts[place] == position:
                at, end = starts[place:], ends[place:]
                sound = self._all_sound(at, end)
                good = len(at) if sound.all() else int(np.argmin(sound))
                return at[:good], int(end[good - 1]) if good else position
        return _NONE, position

    def _all_sound(self, at: Positions, end: Positions) -> npt.NDArray[np.bool_]:
        """`_sound` of very many, so many at a time that their columns stay in the processor's cache."""
        pieces = [slice(first, first + _AT_ONCE) for first in range(0, len(at), _AT_ONCE)]
        with ThreadPoolExecutor(2) as threads:  # numpy works without the interpreter's lock
            return np.concatenate(list(threads.map(lambda some: self._sound(at[some], end[some] - at[some]), pieces)))

    def _sound(self, at: Positions, length: Positions) -> npt.NDArray[np.bool_]:
        """Whether whole packet blocks of those lengths stand there, by both their length fields."""
        fits = (length >= pcapng.PACKET_OVERHEAD) & (length & 3 == 0) & (at + length <= self._end)
        at, end = np.where(fits, at, 0), np.where(fits, at + length, 4)
        begins = (self._native[at >> 2] == self._kind) & (self._words[(at >> 2) + 1] == length)
        return np.asarray(fits & begins & (self._words[(end >> 2) - 1] == length))

    def _piece(self, position: int) -> Positions:
        """The run from *position* as far as the window goes; empty if no packet block stands there."""
        if position + pcapng.PACKET_OVERHEAD > self._end or self._native[position >> 2] != self._kind:
            return _NONE
        if not self._from <= position < self._to:
            self._look(position)
        start = int(np.searchsorted(self._found, position))
        if start == len(self._found) or self._found[start] != position:
            return _NONE
        last = int(self._breaks[np.searchsorted(self._breaks, start)])
        return self._found[start : last + 1]

    def _look(self, position: int) -> None:
        """Find the candidates of a window that begins at *position*."""
        self._from, self._to = position, min(position + self._window, self._end)
        self._window = min(self._window * 4, _LARGEST_WINDOW)
        at = (np.flatnonzero(self._native[self._from >> 2 : self._to >> 2] == self._kind) << 2) + position
        at = at[at + pcapng.PACKET_OVERHEAD <= self._end]
        length = self._words[(at >> 2) + 1].astype(np.int64)
        sound = self._sound(at, length)
        self._found, self._next = at[sound], (at + length)[sound]
        follows = self._next[:-1] == self._found[1:]
        self._breaks = np.append(np.flatnonzero(~follows), max(0, len(self._found) - 1))
