"""Trajectories: the same packet, recognised wherever it was seen.

Packets are the same if IP ID, protocol, fragment offset, TCP seq, ack and flags, payload length and, where that leaves
any doubt, the payload's digest are equal: nothing that address translation changes. Of a protocol without sequence
numbers the digest always counts. Where all that names several packets (retransmitted, duplicated, without an ID), they
are told apart by `lookalikes`; where even that leaves a choice, the trajectory says so (`certain` False). There is no
vantage point on a switch.
"""

from dataclasses import dataclass

import numpy as np

from labkit.analysis.packets.frames import MISSING, Bools, Ints, Words
from labkit.analysis.packets.index import TCP, Index

from .invariants import payload_digest, translation_constant
from .lookalikes import RANKS, UNRELATED, tell_apart
from .runs import begins, first_rank, holds_twice, reordered, side_by_side, together


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
    rows = np.flatnonzero(index.l4 >= 0)
    words = _keys(index, rows)
    alike = _alike(index, rows, words)
    doubtful = alike.open | alike.differ
    if doubtful.any() and _by_payload(index, rows, words, alike, doubtful):
        alike = _alike(index, rows, words)
    return _assembled(index, alike)


@dataclass(frozen=True)
class _Alike:
    """IP packets, those with equal keys together and in order of time.

    order, rows: which packets, as positions among them and as rows. begin: of the groups. unsure: for each packet,
    whether the step to it is a guess. open: groups that are not one packet seen at each vantage point once, for
    certain. differ: groups whose checksums speak against equal payloads.
    """

    order: Ints
    rows: Ints
    begin: Ints
    unsure: Bools
    open: Bools
    differ: Bools

    @property
    def of(self) -> Ints:
        """The group of each packet."""
        return np.repeat(np.arange(len(self.begin) - 1), np.diff(self.begin))


def _keys(index: Index, rows: Ints) -> list[Words]:
    """What no address translation changes, as three words a packet; the third is the digest, at first without TCP's."""
    words = [np.empty(len(rows), dtype=np.int64) for _ in range(3)]
    whole = len(rows) == len(index)

    def fill(part: slice) -> None:
        some = part if whole else rows[part]

        def column(values: Ints) -> Ints:
            return np.maximum(values[some], 0).astype(np.int64)

        length = index.payload_length[some].astype(np.int64) + 1
        one = (index.version[some] == 6).astype(np.int64) << 63
        for values, place in ((index.proto, 55), (index.ip_id, 22), (index.flags, 13), (index.fragment, 0)):
            one |= column(values) << place
        np.bitwise_or(one, (length & 0x1FFFF) << 38, out=words[0][part])
        np.bitwise_or(column(index.seq) << 32, column(index.ack), out=words[1][part])
        words[2][part] = length >> 17

    side_by_side(fill, len(rows))
    found = [word.view(np.uint64) for word in words]
    other = np.flatnonzero(index.proto[rows] != TCP)
    if len(other):
        found[2][other] ^= payload_digest(index, rows[other])
    return found


def _alike(index: Index, rows: Ints, words: list[Words]) -> _Alike:
    order, new = together(words)
    ordered = rows[order]
    begin = begins(new)
    step = ~new[1:]
    time_ns = index.time_ns
    if len(time_ns) and (time_ns[1:] == time_ns[:-1]).any():
        _turn_round(index, order, ordered, begin)
    rank, constant = _judged(index, ordered)
    open_ = holds_twice(index.vantage[ordered], begin, int(index.vantage.max(initial=0)) + 1)
    differ = np.zeros(len(begin) - 1, dtype=bool)
    for groups, where in ((open_, rank == MISSING), (differ, constant[1:] != constant[:-1])):
        groups[np.searchsorted(begin, np.flatnonzero(step & where) + 1, side="right") - 1] = True
    unsure = np.zeros(len(ordered), dtype=bool)
    places = np.flatnonzero(step & (rank == UNRELATED)) + 1
    nameless = (index.proto[ordered[places]] != TCP) & (index.ip_id[ordered[places]] <= 0)
    unsure[places] = nameless & ~_same_label(index, ordered[places - 1], ordered[places])
    return _Alike(order, ordered, begin, unsure, open_, differ)


def _same_label(index: Index, before: Ints, after: Ints) -> Bools:
    """Whether they bear the same IPv6 flow label: no router changes it (RFC 6437 §3), and who sends anew sets one."""
    one, two = (_flow_label(index, rows) for rows in (before, after))
    return np.asarray((one == two) & (one > 0))


def _flow_label(index: Index, rows: Ints) -> Ints:
    """0 where there is none."""
    six = index.version[rows] == 6
    words = index.frames.take(rows).read(np.where(six, index.l3[rows].astype(np.int64), MISSING), 4)
    return np.where(words >= 0, words & 0xFFFFF, 0)


def _judged(index: Index, rows: Ints) -> tuple[Ints, Ints]:
    """How well each of *rows* but the first follows the one before it (`_rank`), and all their constants."""
    rank, constant = np.empty(max(0, len(rows) - 1), dtype=np.int8), np.empty(len(rows), dtype=np.int64)

    def judge(part: slice) -> None:
        constant[part] = translation_constant(index, rows[part])
        with_next = rows[part.start : part.stop + 1]
        rank[part.start : part.start + len(with_next) - 1] = _rank(index, with_next)

    side_by_side(judge, len(rows))
    return rank, constant


def _turn_round(index: Index, order: Ints, rows: Ints, begin: Ints) -> None:
    """Of packets of one group with the same time those with the higher TTL come first: *order* and *rows*, in place."""
    time_ns, ttl = index.time_ns, index.ttl
    tied = np.zeros(len(index), dtype=bool)
    tied[1:] = time_ns[1:] == time_ns[:-1]
    tied[:-1] |= tied[1:]
    after = np.flatnonzero(tied[rows])
    after = after[after > 0]
    wrong = after[(time_ns[rows[after]] == time_ns[rows[after - 1]]) & (ttl[rows[after]] > ttl[rows[after - 1]])]
    group = np.searchsorted(begin, wrong, side="right") - 1
    for number in np.unique(group[begin[group] != wrong]).tolist():
        where = slice(int(begin[number]), int(begin[number + 1]))
        turned = np.lexsort((rows[where], -ttl[rows[where]].astype(np.int64), time_ns[rows[where]]))
        order[where], rows[where] = order[where][turned], rows[where][turned]


def _by_payload(index: Index, rows: Ints, words: list[Words], alike: _Alike, doubtful: Bools) -> bool:
    """Make the payload digest a part of doubtful TCP packets' keys; whether that tells any of them apart."""
    places = np.flatnonzero(doubtful[alike.of])
    places = places[(index.proto[alike.rows[places]] == TCP) & (index.payload_length[alike.rows[places]] > 0)]
    if not len(places):
        return False
    digest = index.digest_of(alike.rows[places])
    words[2][alike.order[places]] ^= digest
    group = alike.of[places]
    return bool(((group[1:] == group[:-1]) & (digest[1:] != digest[:-1])).any())


def _assembled(index: Index, alike: _Alike) -> Trajectories:
    """Follow the packets of open groups one by one, then number everything."""
    rows, begin = alike.rows, alike.begin
    certain = ~alike.unsure  # of each packet; a trajectory is, if all of its packets are
    same_flow = certain.copy()
    previous = np.full(len(index), MISSING, dtype=np.int32)
    before = np.empty(len(rows), dtype=np.int32)
    before[1:] = rows[:-1]
    before[begin[:-1]] = MISSING
    previous[rows] = before
    cuts = [begin]
    for number in np.flatnonzero(alike.open).tolist():
        where = slice(int(begin[number]), int(begin[number + 1]))
        told = tell_apart(index, rows[where])
        previous[rows[where]] = told.previous
        turn = np.array(told.turn)
        order = np.argsort(turn, kind="stable")
        rows[where] = rows[where][order]
        certain[where], same_flow[where] = np.array(told.certain)[order], np.array(told.same_flow)[order]
        cuts.append(np.flatnonzero(np.diff(turn[order])) + 1 + where.start)
    return _numbered(len(index), rows, np.sort(np.concatenate(cuts)), certain, previous, same_flow)


def _numbered(size: int, rows: Ints, begin: Ints, certain: Bools, previous: Ints, same_flow: Bools) -> Trajectories:
    """Put the trajectories in order of their first packet."""
    flow = np.zeros(size, dtype=bool)
    flow[rows] = same_flow
    if (np.diff(rows[begin[:-1]]) < 0).any():  # some were told apart
        place, begin = reordered(begin, first_rank(rows, begin))
        rows, certain = rows[place], certain[place]
    sure = np.logical_and.reduceat(certain, begin[:-1]) if len(rows) else certain
    rows = rows.astype(np.int32)
    of_packet = np.full(size, MISSING, dtype=np.int32)
    of_packet[rows] = np.repeat(np.arange(len(begin) - 1, dtype=np.int32), np.diff(begin))
    return Trajectories(of_packet, rows, begin, sure, previous, flow)


def _kept(address: Ints, port: Ints) -> Bools:
    """Where an endpoint is that of the packet before."""
    port = np.maximum(port, 0)
    return np.asarray((address[1:] == address[:-1]) & (port[1:] == port[:-1]))


def _rank(index: Index, rows: Ints) -> Ints:
    """How well each of *rows* but the first follows the one before it: 0 is best, -1 impossible."""
    source, target = (_kept(address[rows], port[rows]) for address, port in (
        (index.source, index.sport), (index.target, index.dport),
    ))  # fmt: skip
    kept = source.astype(np.int8) + target
    ttl = index.ttl[rows]
    step = (ttl[1:] > ttl[:-1]).astype(np.int8) - (ttl[1:] < ttl[:-1])
    tcp = index.proto[rows[:-1]] == TCP
    return np.asarray(RANKS.ravel()[kept * np.int8(6) + (step + np.int8(1)) * np.int8(2) + tcp])
