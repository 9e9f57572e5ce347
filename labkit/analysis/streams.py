"""The bytes that one side of a connection sent, put together from the captured segments (RFC 9293 §3.4).

What was lost ends the stream there; what came twice is taken once. A datagram protocol has no stream: its first
payload stands for it.
"""

from dataclasses import dataclass

import numpy as np

from .index import SYN, TCP, Index
from .sightings import Sightings

_SPACE = 1 << 32
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Stream:
    """data: in order and without gaps. from_start: it begins where the connection began."""

    data: bytes
    from_start: bool


def sent(index: Index, sightings: Sightings, sighting: int, *, by_client: bool = True) -> Stream:
    """What one side sent, as seen at one vantage point."""
    rows = sightings.packets(sighting)
    rows = rows[np.asarray(sightings.from_client[rows]) == by_client]
    if int(sightings.proto[sighting]) != TCP:
        some = rows[index.payload_length[rows] > 0]
        return Stream(index.bytes_of(int(some[0])) if len(some) else b"", True)
    rows = rows[index.seq[rows] >= 0]
    syn = rows[index.flag(SYN, rows)]
    carrying = rows[index.payload_length[rows] > 0]
    if not len(carrying):
        return Stream(b"", bool(len(syn)))
    start = int(index.seq[syn[0]]) + 1 if len(syn) else int(index.seq[carrying[0]])
    at = (index.seq[carrying] + index.flag(SYN, carrying) - start + _HALF) % _SPACE - _HALF
    data = bytearray()
    for place in np.argsort(at, kind="stable").tolist():
        begin = int(at[place])
        piece = index.bytes_of(int(carrying[place]))
        if begin > len(data):
            break
        data += piece[len(data) - begin :]
        if len(piece) < int(index.payload_length[carrying[place]]) and begin + len(piece) >= len(data):
            break  # the capture cut this packet short
    return Stream(bytes(data), bool(len(syn)))
