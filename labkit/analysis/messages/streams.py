"""The bytes that one side of a connection sent, put together from the captured segments (RFC 9293 §3.4).

What was lost ends the stream there, and is told; what came twice is taken once. A datagram protocol has no stream:
its first payload stands for it in `sent`, and `datagrams` gives all of them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from labkit.analysis.connections.sightings import Sightings
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.index import ACK, FIN, SYN, TCP, Index

_SPACE = 1 << 32
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Stream:
    """data: in order and without gaps. from_start: it begins where the connection began.

    starts, rows: the byte at starts[i], and those after it up to the next start, came in the packet at rows[i]; in
    several packets together, if a start stands there several times.
    missing: what follows and was not captured, in words; None if nothing is known to be missing.
    datagrams: whether each start begins a datagram, rather than going on with a stream.
    number: TCP's sequence number of the first byte, -1 if there is none.
    """

    data: bytes
    from_start: bool
    starts: Sequence[int] = field(default=(), compare=False)
    rows: Sequence[int] = field(default=(), compare=False)
    missing: str | None = field(default=None, compare=False)
    datagrams: bool = field(default=False, compare=False)
    number: int = field(default=-1, compare=False)

    def rows_of(self, begin: int, end: int) -> tuple[int, ...]:
        """The packets (rows from 0) that carried the bytes [begin, end), in stream order, each once."""
        if end <= begin or not self.starts:
            return ()
        first = bisect_left(self.starts, self.starts[max(0, bisect_right(self.starts, begin) - 1)])
        last = bisect_right(self.starts, end - 1)
        return tuple(dict.fromkeys(self.rows[first:last]))


def sent(index: Index, sightings: Sightings, sighting: int, *, by_client: bool = True) -> Stream:
    """What one side sent, as seen at one vantage point."""
    every = sightings.packets(sighting)
    mine = np.asarray(sightings.from_client[every]) == by_client
    rows = every[mine]
    if int(sightings.proto[sighting]) != TCP:
        some = rows[index.payload_length[rows] > 0]
        if not len(some):
            return Stream(b"", True)
        return Stream(index.bytes_of(int(some[0])), True, (0,), (int(some[0]),))
    rows = rows[index.seq[rows] >= 0]
    syn = rows[index.flag(SYN, rows)]
    carrying = rows[index.payload_length[rows] > 0]
    start = int(index.seq[syn[0]]) + 1 if len(syn) else int(index.seq[carrying[0]]) if len(carrying) else None
    stream = _put_together(index, carrying, start or 0, bool(len(syn)))
    if stream.missing is None and start is not None:
        return _with_end(index, stream, rows, every[~mine], start)
    return stream


def datagrams(index: Index, sightings: Sightings, sighting: int, *, by_client: bool = True) -> Stream:
    """The payloads of all UDP datagrams that one side sent, in order of time, as seen at one vantage point.

    Of one that came in fragments (RFC 791 §3.2) the first is taken: the others have no ports.
    """
    every = sightings.packets(sighting)
    mine = every[np.asarray(sightings.from_client[every]) == by_client]
    rows = mine[index.payload_length[mine] > 0]
    pieces = [index.bytes_of(row) for row in rows.tolist()]
    whole = index.frames.take(rows).read(index.l4[rows].astype(np.int64) + 4, 2) - 8
    short = [
        f"{more:,} bytes of the datagram in packet {row + 1} are missing: it was cut short, or came in fragments"
        for row, piece, length in zip(rows.tolist(), pieces, whole.tolist(), strict=True)
        if (more := length - len(piece)) > 0
    ]
    more = f" (and of {len(short) - 1:,} others)" if len(short) > 1 else ""
    starts = np.cumsum([0, *map(len, pieces)])[:-1].tolist()
    return Stream(b"".join(pieces), True, starts, rows.tolist(), f"{short[0]}{more}" if short else None, datagrams=True)


def _put_together(index: Index, carrying: Ints, start: int, from_start: bool) -> Stream:
    at = (index.seq[carrying] + index.flag(SYN, carrying) - start + _HALF) % _SPACE - _HALF
    data, starts, rows, missing = bytearray(), [], [], None
    for place in np.argsort(at, kind="stable").tolist():
        begin, row = int(at[place]), int(carrying[place])
        if begin > len(data):
            missing = f"{begin - len(data):,} bytes before packet {row + 1} were not captured"
            break
        piece = index.bytes_of(row)
        new = piece[len(data) - begin :]
        if new:
            starts.append(len(data))
            rows.append(row)
            data += new
        if len(piece) < int(index.payload_length[row]) and begin + len(piece) >= len(data):
            missing = f"packet {row + 1} was cut short when it was captured"
            break
    return Stream(bytes(data), from_start, starts, rows, missing, number=start % _SPACE if data else -1)


def _with_end(index: Index, stream: Stream, mine: Ints, others: Ints, start: int) -> Stream:
    """The stream, and whether its sender closed it or its receiver acknowledged it further on than it goes."""
    fin = mine[index.flag(FIN, mine)]
    closed = index.seq[fin] + index.flag(SYN, fin) + np.maximum(index.payload_length[fin], 0)
    acked = index.ack[others[index.flag(ACK, others)]] - (1 if len(fin) else 0)
    ends = (np.concatenate([closed, acked]) - start + _HALF) % _SPACE - _HALF
    lost = int(ends.max(initial=0)) - len(stream.data)
    if lost <= (0 if len(fin) else 1):  # without a FIN: what is acknowledged beyond may be one that was not captured
        return stream
    return replace(stream, missing=f"the last {lost:,} bytes were not captured")
