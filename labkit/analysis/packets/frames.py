"""Header bytes of many packets at once: gathered from the recording's buffer by offset, never packet by packet.

Every reader takes a position inside the packet (one number, or one per packet) and answers -1 where the
packet was not captured that far. What the bytes mean is `index`'s business.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.recording import Recording

Ints = npt.NDArray[np.signedinteger[Any]]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

MISSING = -1
_CHUNK_WORDS = 1 << 20  # payload words hashed at a time: bounds the memory, keeps the caches warm
_WORDS_AT_MOST = 1 << 14  # positions with a weight of their own; longer payloads reuse them, mixed with their turn


def buffer_of(data: Any) -> npt.NDArray[np.uint8]:
    """The recording's bytes as one uint8 array, without a copy (at least 16 long, so that reads have a place to go)."""
    array = np.frombuffer(data, dtype=np.uint8) if len(data) else np.zeros(0, dtype=np.uint8)
    if len(array) < 16:
        array = np.concatenate([array, np.zeros(16 - len(array), dtype=np.uint8)])
    return array


def layout(size: int, **fields: tuple[int, str]) -> npt.DTypeLike:
    """The shape of a header of *size* bytes: name=(offset, format), for `Frames.header`."""
    offsets, formats = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "offsets": offsets, "formats": formats, "itemsize": size})


class Frames:
    """Where the packets' bytes are. start: in the buffer; captured: how many there are; one per packet.

    Both are kept as they are given, so that those of a whole recording cost no memory beyond its own.
    """

    def __init__(self, buffer: npt.NDArray[np.uint8], start: npt.NDArray[Any], captured: npt.NDArray[Any]) -> None:
        self.buffer = buffer
        self._start = start
        self._captured = captured

    @classmethod
    def of(cls, recording: Recording) -> "Frames":
        packets = recording.packets
        return cls(buffer_of(recording.data), packets["offset"], packets["captured"])

    @property
    def start(self) -> Ints:
        return self._start.astype(np.int64, copy=False)

    @property
    def captured(self) -> Ints:
        return self._captured.astype(np.int64, copy=False)

    def __len__(self) -> int:
        return len(self._start)

    def take(self, rows: Ints | slice) -> "Frames":
        """The packets at *rows* (0-based), in that order."""
        return Frames(self.buffer, self._start[rows].astype(np.int64), self._captured[rows].astype(np.int64))

    def whole(self, shape: npt.DTypeLike) -> npt.NDArray[np.void]:
        """The headers at the frames' beginning, as they are; of frames that are shorter, anything."""
        dtype = np.dtype(shape)
        most = len(self.buffer) - dtype.itemsize
        if most < 0:
            return np.zeros(len(self), dtype=dtype)
        every = np.ndarray((most + 1,), f"V{dtype.itemsize}", buffer=self.buffer, strides=(1,))
        return every[np.minimum(self.start, most)].view(dtype)

    def long(self, size: int) -> Bools:
        """Of which frames at least *size* bytes were captured."""
        return np.asarray(self._captured >= size)

    def header(self, at: Ints | int, shape: npt.DTypeLike) -> dict[str, Ints]:
        """The fields of a header at position *at*, gathered in one go: unsigned, -1 where not captured or at < 0."""
        dtype = np.dtype(shape)
        position = np.broadcast_to(np.asarray(at, dtype=np.int64), (len(self),))
        begin, captured = self.start + position, self.captured
        whole = (position >= 0) & (position + dtype.itemsize <= captured)
        complete = bool(whole.all())
        most = len(self.buffer) - dtype.itemsize
        if most < 0:
            return {name: np.full(len(self), MISSING, dtype=np.int64) for name in dtype.names or ()}
        every = np.ndarray((most + 1,), f"V{dtype.itemsize}", buffer=self.buffer, strides=(1,))
        values = every[begin if complete else np.where(whole, begin, 0)].view(dtype)
        fields = {name: values[name].astype(np.int64) for name in dtype.names or ()}
        if not complete:
            short = np.flatnonzero(~whole)
            some = Frames(self.buffer, self.start[short], captured[short])
            for name, (kind, offset) in ((name, dtype.fields[name][:2]) for name in dtype.names or ()):  # type: ignore[index]
                where = position[short]
                fields[name][short] = some.read(np.where(where >= 0, where + offset, MISSING), kind.itemsize)
        return fields

    def read(self, at: Ints | int, width: int) -> Ints:
        """Big-endian unsigned integers of *width* bytes (1 to 6) at position *at*; -1 where not captured or at < 0."""
        position = np.broadcast_to(np.asarray(at, dtype=np.int64), (len(self),))
        there = (position >= 0) & (position + width <= self.captured)
        where = np.where(there, self.start + position, 0)
        value = np.zeros(len(self), dtype=np.int64)
        for i in range(width):
            value = (value << 8) | self.buffer[where + i]
        value[~there] = MISSING
        return value

    def slice(self, row: int, at: int, length: int) -> bytes:
        """Bytes [at, at + length) of the packet at *row*, as far as captured."""
        if at < 0:
            return b""
        start, captured = int(self._start[row]), int(self._captured[row])
        return self.buffer[start + at : start + min(at + length, captured)].tobytes() if at < captured else b""

    def digest(self, at: Ints, length: Ints) -> Words:
        """A 64-bit digest of *length* bytes from *at* of each packet (0 for none). Equal bytes give equal digests."""
        out = np.zeros(len(self), dtype=np.uint64)
        at, length = at.astype(np.int64, copy=False), length.astype(np.int64, copy=False)
        some = np.flatnonzero((length > 0) & (at >= 0))
        counts = (length[some] + 7) // 8
        start = self.start
        for rows, words in _chunks(some, counts):
            out[rows] = _digest(self.buffer, start[rows] + at[rows], length[rows], words)
        return out


def _chunks(rows: Ints, counts: Ints) -> Sequence[tuple[Ints, Ints]]:
    """Rows cut into runs of about `_CHUNK_WORDS` payload words."""
    if not len(rows):
        return []
    turn = np.cumsum(counts) // _CHUNK_WORDS
    cuts = np.flatnonzero(np.diff(turn)) + 1
    return list(zip(np.split(rows, cuts), np.split(counts, cuts), strict=True))


def _weights() -> Words:
    """Odd 64-bit weights, one a position; fixed, so that digests are the same in every process."""
    generator = np.random.Generator(np.random.PCG64(0x1AB))
    return generator.integers(0, 1 << 63, _WORDS_AT_MOST, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _mixed(words: Words) -> Words:
    """A bijection of 64-bit words that spreads every bit over the others."""
    mixed: Words = words ^ (words >> np.uint64(32))
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _digest(buffer: npt.NDArray[np.uint8], begin: Ints, length: Ints, counts: Ints) -> Words:
    """Weighted sum (mod 2^64) of the mixed 8-byte words of each run of bytes, and of its length."""
    firsts = np.cumsum(counts) - counts
    turn = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(firsts, counts)
    position = np.repeat(begin, counts) + 8 * turn
    left = np.repeat(begin + length, counts) - position
    every = np.lib.stride_tricks.as_strided(
        buffer[:8].view("<u8"), shape=(len(buffer) - 7,), strides=(1,), writeable=False
    )
    safe = np.minimum(position, len(buffer) - 8)
    words = every[safe].astype(np.uint64) >> (8 * (position - safe)).astype(np.uint64)
    kept = np.minimum(left, 8)
    words &= np.uint64(0xFFFFFFFFFFFFFFFF) >> (8 * (8 - kept)).astype(np.uint64)
    weights = _weights()
    words = _mixed(words + (turn // _WORDS_AT_MOST).astype(np.uint64) + weights[turn % _WORDS_AT_MOST])
    return _mixed(np.add.reduceat(words * weights[turn % _WORDS_AT_MOST], firsts) + length.astype(np.uint64))
