"""What is remarkable about single packets of a connection: sent again, out of order, a reset, what a payload begins
with, and from which byte on it is ciphertext.

Judged at each vantage point from what was seen there before; what a connection is as a whole is said by
`connections.tcp`.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from labkit.analysis import tls
from labkit.analysis.messages import streams
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.index import FIN, RST, SYN, TCP, Index
from labkit.analysis.study import Study

_SPACE, _HALF = 1 << 32, 1 << 31
_HANDSHAKE, _CHANGE_CIPHER, _DATA = 22, 20, 23
_HELLOS = {1: "ClientHello", 2: "ServerHello"}
_MESSAGE = re.compile(rb"(?:([A-Z]{3,10} [^\r\n ]{1,200}) HTTP/1\.[01]|HTTP/1\.[01] (\d{3}[^\r\n]{0,60}))\r?\n")
_STARTS = {int.from_bytes(word) for word in (b"HTTP", b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC",
                                             b"CONN", b"TRAC")}  # fmt: skip

Hidden = dict[tuple[int, bool], Callable[[int], bool]]


def mark(study: Study, connections: Sequence[int]) -> dict[int, list[str]]:
    """row -> "retransmission", "out_of_order", "zero_window", "reset"; rows without any are left out."""
    found: dict[int, list[str]] = {}
    index, sightings = study.index, study.sightings
    for sighting in (one for number in connections for one in study.connections.members[number - 1]):
        rows = sightings.packets(sighting)
        if int(sightings.proto[sighting]) != TCP:
            continue
        for side in (True, False):
            mine = rows[np.asarray(sightings.from_client[rows]) == side]
            _mark_side(index, mine[index.flags[mine] >= 0], found)
    return found


def _mark_side(index: Index, rows: Ints, found: dict[int, list[str]]) -> None:
    flags = index.flags[rows].astype(np.int64)
    length = index.payload_length[rows].clip(0).astype(np.int64) + (flags & SYN > 0) + (flags & FIN > 0)
    for row in rows[flags & RST > 0].tolist():
        found.setdefault(row, []).append("reset")
    for row in rows[(index.window[rows] == 0) & (flags & (RST | SYN) == 0)].tolist():
        found.setdefault(row, []).append("zero_window")
    carrying = length > 0
    seq, length = index.seq[rows[carrying]].astype(np.int64), length[carrying]
    rows = rows[carrying]
    begins = np.cumsum((np.diff(seq, prepend=seq[:1]) + _HALF) % _SPACE - _HALF)  # the numbers may wrap
    ends = begins + length
    top = np.maximum.accumulate(ends)
    late = np.flatnonzero(begins[1:] < top[:-1]) + 1
    if not len(late):
        return
    holes = _holes(begins.tolist(), ends.tolist())
    for place in late.tolist():
        found.setdefault(int(rows[place]), []).append("out_of_order" if place in holes else "retransmission")


def _holes(begins: list[int], ends: list[int]) -> set[int]:
    """Places of segments that bring nothing but bytes not seen yet, though later ones were."""
    filling: set[int] = set()
    gaps: list[tuple[int, int]] = []
    top = ends[0]
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if begin > top:
            gaps.append((top, begin))
        elif place and begin < top and any(low <= begin and end <= high for low, high in gaps):
            filling.add(place)
            gaps = [piece for low, high in gaps for piece in ((low, min(high, begin)), (max(low, end), high))
                    if piece[0] < piece[1]]  # fmt: skip
        top = max(top, end)
    return filling


def says(index: Index, rows: Ints) -> list[str]:
    """What each packet's payload begins with, where that is a message a person knows: a request line, a hello."""
    frames, at = index.frames.take(rows), index.payload[rows]
    told = [""] * len(rows)
    lead = np.where(index.payload_length[rows] > 0, frames.read(at, 4), -1)
    for place in np.flatnonzero(np.isin(lead, [*_STARTS])).tolist():
        line = _MESSAGE.match(index.bytes_of(int(rows[place]))[:400])
        told[place] = (line[1] or line[2]).decode("latin-1") if line else ""
    kind = frames.read(np.where(lead >> 8 == _HANDSHAKE << 16 | 0x0300 | lead >> 8 & 0xFF, at + 5, -1), 1)
    for place in np.flatnonzero(np.isin(kind, [*_HELLOS])).tolist():
        told[place] = _hello(index.bytes_of(int(rows[place])), int(kind[place]))
    return told


def _hello(data: bytes, kind: int) -> str:
    hello = tls.client_hello(data) if kind == 1 else None
    name = f" for {hello.server_name}" if hello and hello.server_name else ""
    return _HELLOS[kind] + name


def end_of(index: Index, row: int) -> int:
    """The sequence number after a packet's payload (RFC 9293 §3.4: a SYN comes before it and counts)."""
    opening = int(index.flags[row]) & SYN > 0
    return (int(index.seq[row]) + opening + max(0, int(index.payload_length[row]))) % _SPACE


def hidden_from(study: Study, connections: Sequence[int]) -> Hidden:
    """For each TLS connection and side (True: the client's) whether what ends at a sequence number is ciphertext.

    RFC 8446 §5: everything after the first change_cipher_spec, and every record of application data.
    """
    hidden: Hidden = {}
    index, sightings = study.index, study.sightings
    for number in connections:
        home = study.connections.home(number)
        if int(sightings.proto[home]) != TCP:
            continue
        for side in (True, False):
            stream = streams.sent(index, sightings, home, by_client=side)
            if tls.is_tls(stream.data):
                hidden[number, side] = _beyond(stream.number + _clear(stream.data))
    return hidden


def _beyond(limit: int) -> Callable[[int], bool]:
    return lambda end: 0 < (end - limit) % _SPACE < _HALF


def _clear(data: bytes) -> int:
    """How many bytes at the start of one side's stream are in clear."""
    at = 0
    records: list[tuple[int, int]] = []
    while at + 5 <= len(data) and (not records or records[-1][1] != _DATA) and len(records) < 64:
        records.append((at, data[at]))
        at += 5 + int.from_bytes(data[at + 3 : at + 5])
    for (begin, kind), (after, _) in pairwise([*records, (at, -1)]):
        if kind == _DATA:
            return begin
        if kind == _CHANGE_CIPHER:
            return after
    return at
