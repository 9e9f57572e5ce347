"""How many requests each client sent in clear, counted in the captured bytes of many connections at once.

A stream that came whole and in order, of nothing but requests without a body, is counted as it lies there; every other
one is put together by `streams` and read by `http` or `http2`, which also say what counts.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from labkit.analysis.connections.runs import reordered
from labkit.analysis.connections.sightings import Sightings
from labkit.analysis.packets.frames import Bools, Ints
from labkit.analysis.packets.index import ACK, SYN, TCP, Index

from . import http, http2, streams

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Requests whose heads say nothing that makes the bytes after them something else than the next request
_LINE = rb"(?!(?i:connect) )%s [^ \r\n]++ HTTP/1\.[01]\r\n" % _TOKEN
_FIELD = rb"(?!(?i:content-length|transfer-encoding|upgrade):)%s:[^\r\n]*+\r\n" % _TOKEN
_PLAIN = re.compile(rb"(?:%s(?:%s)*+\r\n)++" % (_LINE, _FIELD))
_BEGINS = re.compile(rb"(?:\r\n)*%s [^ \r\n]+ HTTP/1\.[01]\r?\n" % _TOKEN)


def requests_sent(index: Index, sightings: Sightings, some: Sequence[int]) -> list[int]:
    """For each of *some* sightings the requests that its client sent, as `http` and `http2` count them."""
    chosen = np.array(some, dtype=np.int64)
    pieces, bounds, simple = _pieces(index, sightings, chosen)
    counts = []
    datagrams = (sightings.proto[chosen] != TCP).tolist()
    for place, (first, last) in enumerate(pairwise(bounds)):
        data = b"".join(
            pieces[first : min(first + 1, last) if datagrams[place] else last]
        )  # one datagram stands for all
        if simple[place] and _PLAIN.fullmatch(data):
            counts.append(data.count(b"\r\n\r\n"))
        elif (simple[place] or datagrams[place]) and _BEGINS.match(data) is None and not http2.spoken(data):
            counts.append(0)
        else:
            counts.append(_count(streams.sent(index, sightings, int(chosen[place])).data))
    return counts


def tls_begun(index: Index, sightings: Sightings) -> Bools:
    """Of each sighting, whether what its client sent first begins as TLS does: a handshake record (RFC 8446 §5.1)."""
    rows = sightings.rows[sightings.from_client[sightings.rows]]
    rows = rows[index.payload_length[rows] > 0]
    sighting = sightings.of_packet[rows]  # those of one sighting stand together
    first = np.flatnonzero(np.diff(sighting, prepend=-1))
    sighting = sighting[first]
    head = index.frames.take(rows[first]).read(index.payload[rows[first]].astype(np.int64), 2)
    begun = np.zeros(len(sightings), dtype=bool)
    begun[sighting] = head == 0x1603
    return np.asarray(begun & (sightings.proto == TCP))


def _count(data: bytes) -> int:
    """How many requests stand in clear in a client's stream."""
    return len(http2.by_client(data).messages) if http2.spoken(data) else sum(1 for _ in http.requests(data))


def _pieces(index: Index, sightings: Sightings, chosen: Ints) -> tuple[list[bytes], list[int], list[bool]]:
    """What the clients sent, packet by packet in order of time; where each sighting's begin; which are simple.

    Simple: TCP, captured whole, each segment beginning where the one before it ends, the first behind the SYN if there
    is one.
    """
    places, begin = reordered(sightings.begin, chosen)
    rows, place = sightings.rows[places], np.repeat(np.arange(len(chosen)), np.diff(begin))
    sent = sightings.from_client[rows]
    rows, place = rows[sent], place[sent]
    some = index.payload_length[rows] > 0
    carrying, of = rows[some], place[some]
    bounds = np.append(0, np.cumsum(np.bincount(of, minlength=len(chosen))))
    simple = sightings.proto[chosen] == TCP
    simple[of[_broken(index, rows, carrying, of, place, len(chosen))]] = False
    frames, payload = index.frames.take(carrying), index.payload[carrying].astype(np.int64)
    first, data = frames.start + payload, memoryview(index.frames.buffer)
    ends = (frames.start + np.minimum(payload + index.payload_length[carrying], frames.captured)).tolist()
    return [bytes(data[a:b]) for a, b in zip(first.tolist(), ends, strict=True)], bounds.tolist(), simple.tolist()


def _broken(index: Index, rows: Ints, carrying: Ints, place: Ints, place_of_row: Ints, count: int) -> Bools:
    """Which of the carrying packets do not go on where what was sent before them ends, or were cut."""
    seq, length = index.seq[carrying], index.payload_length[carrying].astype(np.int64)
    frames = index.frames.take(carrying)
    broken = index.payload[carrying] + length > frames.captured
    first = np.diff(place, prepend=-1) != 0
    broken[1:] |= ~first[1:] & (seq[1:] != (seq[:-1] + length[:-1]) % (1 << 32))
    opening = index.flags[rows] & (SYN | ACK) == SYN
    start = np.full(count, -1, dtype=np.int64)
    start[place_of_row[opening][::-1]] = (index.seq[rows[opening]][::-1] + 1) % (1 << 32)
    broken |= first & (start[place] >= 0) & (seq != start[place])
    return np.asarray(broken | (index.flags[carrying] & SYN > 0))
