"""Trajectories: the same packet, recognised wherever it was seen.

Packets are the same if IP ID, protocol, fragment offset, TCP seq, ack and flags, payload length and payload digest
are equal: nothing that address translation changes. Where that names several packets (retransmitted, duplicated,
without an ID), they are told apart by order in time, by a TTL that never rises and by the endpoints that stayed;
where even that leaves a choice, the trajectory says so (`certain` False). There is no vantage point on a switch.
"""

from dataclasses import dataclass, field

import numpy as np

from .frames import MISSING, Bools, Ints
from .index import TCP, Index

_OPEN_AT_MOST = 64  # identical packets in flight at once; older ones are taken to have arrived
_SAME, _FORWARDED, _UNRELATED, _SWITCHED = range(4)  # how well one observation follows another


@dataclass(frozen=True)
class Trajectories:
    """of_packet: trajectory of each packet, or -1 (not IP). Trajectories are numbered by their first packet.

    rows: all their packets, trajectory after trajectory, each in order of time; those of t are
    rows[begin[t]:begin[t + 1]]. previous: for each packet the one before it on its trajectory, or -1. same_flow: for
    each packet, whether that step surely stays within one connection, even where the packet itself is in doubt.
    """

    of_packet: Ints
    rows: Ints
    begin: Ints
    certain: Bools
    previous: Ints
    same_flow: Bools

    def __len__(self) -> int:
        return len(self.certain)

    @property
    def steps(self) -> tuple[Ints, Ints]:
        """Every step of every trajectory: the rows before, the rows after."""
        after = np.flatnonzero(self.previous >= 0)
        return self.previous[after], after

    def packets(self, trajectory: int) -> Ints:
        """Row numbers (0-based) of one trajectory's packets, in time order."""
        return self.rows[self.begin[trajectory] : self.begin[trajectory + 1]]


def join(index: Index) -> Trajectories:
    """Find the trajectories of all IP packets."""
    rows, group = _alike(index)
    count = int(group[-1]) + 1 if len(group) else 0
    rank = _rank(index, rows[:-1], rows[1:])
    step = group[1:] == group[:-1]
    clear = np.ones(count, dtype=bool)  # every vantage point once, and each step possible
    clear[group[1:][step & (rank == MISSING)]] = False
    clear[_visited_twice(index.vantage[rows], group)] = False
    certain = np.ones(len(rows), dtype=bool)  # of each packet; a trajectory is, if all of its packets are
    weak = (index.proto[rows] != TCP) & (index.ip_id[rows] <= 0)
    certain[1:][step & (rank == _UNRELATED) & weak[1:]] = False
    previous = np.full(len(rows), MISSING, dtype=np.int64)
    previous[1:][step] = rows[:-1][step]
    same_flow = certain.copy()
    label = group.copy()
    begin = np.append(np.flatnonzero(np.diff(group, prepend=-1)), len(rows))
    fresh = count
    for number in np.flatnonzero(~clear).tolist():
        where = slice(int(begin[number]), int(begin[number + 1]))
        told = _tell_apart(index, rows[where])
        label[where] = [fresh + turn for turn in told.turn]
        certain[where], previous[where], same_flow[where] = told.certain, told.previous, told.same_flow
        fresh += max(told.turn) + 1
    return _numbered(len(index), rows, label, certain, previous, same_flow)


def _alike(index: Index) -> tuple[Ints, Ints]:
    """Rows of the IP packets, those with equal keys together and in order of time; and the number of each one's key."""
    rows = np.flatnonzero(index.l4 >= 0)
    absent = {name: np.maximum(getattr(index, name)[rows], 0) for name in ("ip_id", "flags", "fragment", "seq", "ack")}
    length = index.payload_length[rows] + 1
    kind = (index.version[rows] == 6).astype(np.int64) << 8 | index.proto[rows]
    one = kind << 54 | absent["ip_id"] << 38 | absent["flags"] << 29 | absent["fragment"] << 16
    two = absent["seq"] << 32 | absent["ack"]
    keys = (index.digest[rows], two, length, one)
    order = np.lexsort((rows, -index.ttl[rows], index.time_ns[rows], *keys))
    new = np.zeros(len(rows), dtype=bool)
    new[:1] = True
    for key in keys:
        ordered = key[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return rows[order], np.cumsum(new) - 1


def _visited_twice(vantage: Ints, group: Ints) -> Ints:
    """Groups in which a vantage point occurs more than once."""
    order = np.lexsort((vantage, group))
    twice = (group[order][1:] == group[order][:-1]) & (vantage[order][1:] == vantage[order][:-1])
    return np.asarray(group[order][1:][twice])


def _rank(index: Index, before: Ints, after: Ints) -> Ints:
    """How well *after* follows *before*, for pairs of rows: 0 is best, -1 impossible."""
    from_same = (index.source[before] == index.source[after]) & (index.sport[before] == index.sport[after])
    to_same = (index.target[before] == index.target[after]) & (index.dport[before] == index.dport[after])
    step = np.sign(index.ttl[after] - index.ttl[before])
    tcp = (index.proto[before] == TCP).astype(np.int64)
    return np.asarray(_RANKS[from_same.astype(np.int64) + to_same, step + 1, tcp])


def _ranks() -> Ints:
    """The table of `_rank`: [endpoints kept, TTL step + 1, is it TCP]. A TTL never rises (RFC 791 §3.2).

    A router lowers the TTL and may change one endpoint, or both. Where the TTL stays, endpoints stay: that was one
    link; only TCP, whose sequence numbers leave no doubt, may have met a translator that keeps the TTL.
    """
    table = np.full((3, 3, 2), MISSING, dtype=np.int64)
    table[2, :2, :] = _SAME
    table[1, 0, :] = _FORWARDED
    table[0, 0, :] = _UNRELATED
    table[1, 1, 1] = _SWITCHED
    return table


_RANKS = _ranks()


@dataclass
class _Open:
    """A trajectory that may go on: its turn among its like, and its packets' positions and vantage points so far."""

    turn: int
    packets: list[int]
    seen: list[int]


@dataclass
class _Told:
    """The outcome for one group of like packets, one entry a packet."""

    turn: list[int] = field(default_factory=list)
    certain: list[bool] = field(default_factory=list)
    previous: list[int] = field(default_factory=list)
    same_flow: list[bool] = field(default_factory=list)


def _tell_apart(index: Index, rows: Ints) -> _Told:
    """Follow each of several like packets: first in, first out, among those that fit best and have come furthest."""
    told, doubtful, flows = _Told(), set[int](), _Flows(index, rows)
    running: list[_Open] = []
    begun = 0
    for position, vantage in enumerate(index.vantage[rows].tolist()):
        fits = [(rank, one) for one in running if vantage not in one.seen and (rank := flows.rank(one, position)) >= 0]
        if not fits:
            chosen, previous, sure = _Open(begun, [], []), MISSING, True
            begun += 1
            running = [*running[1 - _OPEN_AT_MOST :], chosen]
        else:
            best = min((rank, -len(one.seen)) for rank, one in fits)
            equals = [one for rank, one in fits if (rank, -len(one.seen)) == best]
            chosen, previous = equals[0], int(rows[equals[0].packets[-1]])
            sure = len({flows.tuple_of(one) for one in equals}) == 1 and best[0] != _UNRELATED
            if len(equals) > 1 or best[0] == _UNRELATED:
                doubtful.update(one.turn for one in equals)
        chosen.packets.append(position)
        chosen.seen.append(vantage)
        told.turn.append(chosen.turn)
        told.previous.append(previous)
        told.same_flow.append(sure)
    told.certain = [turn not in doubtful for turn in told.turn]
    return told


class _Flows:
    """Endpoints and TTL of one group's packets as plain numbers, and `_rank` for a pair of them."""

    def __init__(self, index: Index, rows: Ints) -> None:
        columns = (index.source, index.sport, index.target, index.dport)
        self.tuples = list(zip(*(column[rows].tolist() for column in columns), strict=True))
        self.ttl: list[int] = index.ttl[rows].tolist()
        tcp = int(index.proto[rows[0]] == TCP)
        self.ranks: list[list[int]] = _RANKS[:, :, tcp].tolist()

    def tuple_of(self, one: _Open) -> tuple[int, ...]:
        return self.tuples[one.packets[-1]]

    def rank(self, one: _Open, after: int) -> int:
        before = one.packets[-1]
        a, b = self.tuples[before], self.tuples[after]
        step = int(self.ttl[after] > self.ttl[before]) - int(self.ttl[after] < self.ttl[before])
        return self.ranks[int(a[:2] == b[:2]) + int(a[2:] == b[2:])][step + 1]


def _numbered(size: int, rows: Ints, label: Ints, certain: Bools, previous: Ints, same_flow: Bools) -> Trajectories:
    """Put the trajectories in order of their first packet."""
    order = np.argsort(label, kind="stable")  # within a label the order of time stays
    ordered = label[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    number = np.empty(len(starts), dtype=np.int64)
    number[np.argsort(rows[order][starts], kind="stable")] = np.arange(len(starts))
    of_row = number[np.cumsum(np.diff(ordered, prepend=-1) != 0) - 1]
    again = np.argsort(of_row, kind="stable")
    rows_out, of_row = rows[order][again], of_row[again]
    doubt = np.zeros(len(starts), dtype=bool)
    doubt[of_row[~certain[order][again]]] = True
    spread = {name: np.full(size, MISSING, dtype=np.int64) for name in ("of_packet", "previous")}
    spread["of_packet"][rows_out], spread["previous"][rows] = of_row, previous
    flow = np.zeros(size, dtype=bool)
    flow[rows] = same_flow
    begin = np.append(np.flatnonzero(np.diff(of_row, prepend=-1)), len(of_row)).astype(np.int64)
    return Trajectories(spread["of_packet"], rows_out, begin, ~doubt, spread["previous"], flow)
