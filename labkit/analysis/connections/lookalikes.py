"""Packets that nothing distinguishes, told apart by time, TTL and the endpoints that stayed.

Where that leaves a choice, it is said.

`trajectories` asks for it where packets with equal keys were at one vantage point more than once, or where one cannot
be the other on its further way.
"""

from dataclasses import dataclass, field

import numpy as np

from labkit.analysis.packets.frames import MISSING, Ints
from labkit.analysis.packets.index import TCP, Index

_OPEN_AT_MOST = 64  # identical packets in flight at once; older ones are taken to have arrived
SAME, FORWARDED, UNRELATED, SWITCHED = range(4)  # how well one observation follows another


def _ranks() -> Ints:
    """How well an observation follows another: [endpoints kept, TTL step + 1, is it TCP]; -1 where it cannot.

    A TTL never rises (RFC 791 §3.2). A router lowers the TTL and may change one endpoint, or both. Where the TTL stays,
    endpoints stay: that was one link; only TCP, whose sequence numbers leave no doubt, may have met a translator that
    keeps the TTL.
    """
    table = np.full((3, 3, 2), MISSING, dtype=np.int8)
    table[2, :2, :] = SAME
    table[1, 0, :] = FORWARDED
    table[0, 0, :] = UNRELATED
    table[1, 1, 1] = SWITCHED
    return table


RANKS = _ranks()


@dataclass(slots=True)
class _Open:
    """A trajectory that may go on: its turn among its like, and its packets' positions and vantage points so far."""

    turn: int
    packets: list[int]
    seen: set[int]


@dataclass
class Told:
    """The outcome for one group of like packets, one entry a packet."""

    turn: list[int] = field(default_factory=list)
    certain: list[bool] = field(default_factory=list)
    previous: list[int] = field(default_factory=list)
    same_flow: list[bool] = field(default_factory=list)


def tell_apart(index: Index, rows: Ints) -> Told:
    """Follow each of several like packets: first in, first out, among those that fit best and have come furthest."""
    told, doubtful, flows = Told(), set[int](), _Flows(index, rows)
    running: list[_Open] = []
    begun = 0
    numbers = rows.tolist()
    for position, vantage in enumerate(index.vantage[rows].tolist()):
        fits = [(rank, one) for one in running if vantage not in one.seen and (rank := flows.rank(one, position)) >= 0]
        if not fits:
            chosen, previous, sure = _Open(begun, [], set()), MISSING, True
            begun += 1
            running = [*running[1 - _OPEN_AT_MOST :], chosen]
        else:
            best = min((rank, -len(one.seen)) for rank, one in fits)
            equals = [one for rank, one in fits if (rank, -len(one.seen)) == best]
            chosen, previous = equals[0], numbers[equals[0].packets[-1]]
            sure = len({flows.tuple_of(one) for one in equals}) == 1 and best[0] != UNRELATED
            if len(equals) > 1 or best[0] == UNRELATED:
                doubtful.update(one.turn for one in equals)
        chosen.packets.append(position)
        chosen.seen.add(vantage)
        told.turn.append(chosen.turn)
        told.previous.append(previous)
        told.same_flow.append(sure)
    told.certain = [turn not in doubtful for turn in told.turn]
    return told


class _Flows:
    """Endpoints and TTL of one group's packets as plain numbers, and the rank of a pair of them."""

    def __init__(self, index: Index, rows: Ints) -> None:
        columns = (index.source, index.sport, index.target, index.dport)
        self.tuples = list(zip(*(column[rows].tolist() for column in columns), strict=True))
        self.ttl: list[int] = index.ttl[rows].tolist()
        tcp = int(index.proto[rows[0]] == TCP)
        self.ranks: list[list[int]] = RANKS[:, :, tcp].tolist()

    def tuple_of(self, one: _Open) -> tuple[int, ...]:
        return self.tuples[one.packets[-1]]

    def rank(self, one: _Open, after: int) -> int:
        before = one.packets[-1]
        a, b = self.tuples[before], self.tuples[after]
        step = int(self.ttl[after] > self.ttl[before]) - int(self.ttl[after] < self.ttl[before])
        return self.ranks[int(a[:2] == b[:2]) + int(a[2:] == b[2:])][step + 1]
