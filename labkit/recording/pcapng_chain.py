"""Runs of enhanced packet blocks in a mapped pcapng file, found many at once.

A block says how long it is, so blocks are a chain that must be followed from its start. This follows it with numpy:
whatever looks like a packet block is a candidate, and from a true block on, candidates that begin where the one
before ends are true too. What only looks like a block (inside a payload) is never reached, as in a plain walk.

Stored offsets (docs/pcapng.md) spare the search. Whether the file itself says the same is found out when the packets
are read (`pcapng_columns`): looking at every block twice would take longer than all the rest.
"""

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import pcapng_format as pcapng

Positions = npt.NDArray[np.int64]
Run = tuple[Positions, Positions]  # where packet blocks begin, and where they end
_SMALLEST_WINDOW: Final = 1 << 18  # bytes that are looked at in one go; more in a long file
_LARGEST_WINDOW: Final = 1 << 25
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
        self._stored: list[Run] = []

    def store(self, first: int, lengths: Positions) -> None:
        """Take a hint: packet blocks of these lengths (bytes) stand from *first* on."""
        if len(lengths) and first % 4 == 0:
            ends = first + np.cumsum(lengths)
            self._stored.append((ends - lengths, ends))

    def run(self, position: int) -> Run:
        """The packet blocks that follow each other from *position* on, which must be a multiple of 4.

        Those that were told of by `store` are not looked at: only that they could be there.
        """
        parts = [self._as_stored(position)]
        end = int(parts[0][1][-1]) if len(parts[0][1]) else position
        while len((part := self._piece(end))[0]):
            parts.append(part)
            end = int(part[1][-1])
        starts, ends = zip(*parts, strict=True)
        return np.concatenate(starts), np.concatenate(ends)

    def _as_stored(self, position: int) -> Run:
        """The packets from *position* on that were told of, as far as they can be packets of this file."""
        for starts, ends in self._stored:
            place = int(np.searchsorted(starts, position))
            if place < len(starts) and starts[place] == position:
                at, end = starts[place:], ends[place:]
                possible = self._possible(end - at, end)
                good = len(at) if possible.all() else int(np.argmin(possible))
                return at[:good], end[:good]
        return _NONE, _NONE

    def _possible(self, length: Positions, end: Positions) -> npt.NDArray[np.bool_]:
        return np.asarray((length >= pcapng.PACKET_OVERHEAD) & (length & 3 == 0) & (end <= self._end))

    def _sound(self, at: Positions, length: Positions) -> npt.NDArray[np.bool_]:
        """Whether whole packet blocks of those lengths stand there, by both their length fields."""
        fits = self._possible(length, at + length)
        at, end = np.where(fits, at, 0), np.where(fits, at + length, 4)
        begins = (self._native[at >> 2] == self._kind) & (self._words[(at >> 2) + 1] == length)
        return np.asarray(fits & begins & (self._words[(end >> 2) - 1] == length))

    def _piece(self, position: int) -> Run:
        """The run from *position* as far as the window goes; empty if no packet block stands there."""
        if position + pcapng.PACKET_OVERHEAD > self._end or self._native[position >> 2] != self._kind:
            return _NONE, _NONE
        if not self._from <= position < self._to:
            self._look(position)
        start = int(np.searchsorted(self._found, position))
        if start == len(self._found) or self._found[start] != position:
            return _NONE, _NONE
        last = int(self._breaks[np.searchsorted(self._breaks, start)])
        return self._found[start : last + 1], self._next[start : last + 1]

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
