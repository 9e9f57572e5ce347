"""What came again, late, twice or not at all in each sighting: counted segment by segment (RFC 9293 §3.8, RFC 5681).

All figures are an onlooker's at that vantage point: a segment that was lost before it and sent again is, here, late
and not repeated.
"""

from dataclasses import dataclass

import numpy as np

from labkit.analysis.packets.frames import Bools, Ints
from labkit.analysis.packets.index import ACK, FIN, RST, SYN, Index

from .sightings import Sightings

_SPACE = 1 << 32  # sequence numbers
_HALF = 1 << 31
_LANE = 1 << 44  # between the numbers of different senders, so that one running maximum serves all


@dataclass(frozen=True)
class Troubles:
    """One entry a sighting, both directions together.

    retransmissions: segments of which some byte (SYN and FIN count as one each) had been seen before, there.
    out_of_order: segments that filled a gap. duplicate_acks: as RFC 5681 §2 has them. zero_windows: segments by which
    a side said that it takes no more for now.
    """

    retransmissions: Ints
    out_of_order: Ints
    duplicate_acks: Ints
    zero_windows: Ints


def troubles(index: Index, sightings: Sightings) -> Troubles:
    """Count them for every sighting; 0 where there is no TCP."""
    rows = sightings.rows[index.flags[sightings.rows] >= 0]
    flags, of = index.flags[rows], sightings.of_packet[rows]
    length = index.payload_length[rows].clip(0) + (flags & SYN > 0) + (flags & FIN > 0)
    side = of.astype(np.int64) * 2 + sightings.from_client[rows]
    carrying = np.flatnonzero(length > 0)
    begin, new, place = _unwrapped(index.seq[rows[carrying]], side[carrying])
    carrying = carrying[place]
    end = begin + length[carrying]
    seen, late = _repeated(begin, end, new)

    first = index.seq[rows[carrying]][new][np.cumsum(new) - 1]
    highest = _highest_of_other(side, carrying, end + first)
    ordered = side[carrying]
    opening = flags & (SYN | FIN | RST) > 0
    bare = (length == 0) & ~opening & (flags & ACK > 0)

    def counted(where: Bools, sides: Ints) -> Ints:
        return np.bincount(sides[where] // 2, minlength=len(sightings)).astype(np.int64)

    return Troubles(
        retransmissions=counted(seen, ordered),
        out_of_order=counted(late & ~seen, ordered),
        duplicate_acks=counted(_duplicate_acks(index, rows, side, highest, bare), side),
        zero_windows=counted((index.window[rows] == 0) & ~opening & (flags & ACK > 0), side),
    )


def _unwrapped(seq: Ints, side: Ints) -> tuple[Ints, Bools, Ints]:
    """Sequence numbers that no longer wrap around, relative to each side's first; sides together, in order of time.

    Also: where a side begins, and which of the arguments stands where.
    """
    place = np.argsort(side, kind="stable")
    side, seq = side[place], seq[place]
    new = np.diff(side, prepend=-1) != 0
    step = (np.diff(seq, prepend=0) + _HALF) % _SPACE - _HALF  # signed, so that the numbers may wrap
    step[new] = 0
    begin = np.cumsum(step)
    return begin - begin[new][np.cumsum(new) - 1], new, place


def _repeated(begin: Ints, end: Ints, new: Bools) -> tuple[Bools, Bools]:
    """For each segment: whether part of it had been seen, and whether it begins below the highest seen."""
    group = np.cumsum(new) - 1
    lane = group * _LANE
    most = np.maximum.accumulate(end + lane)
    before = np.concatenate([[np.iinfo(np.int64).min], most[:-1]]) if len(begin) else most
    before = np.where(new, begin, before - lane)
    seen = begin < before
    late = seen.copy()
    bounds = np.append(np.flatnonzero(new), len(begin)).tolist()
    for number in np.unique(group[(begin > before) | (begin < 0)]).tolist():  # a gap: look closely
        where = slice(bounds[number], bounds[number + 1])
        seen[where] = overlaps(begin[where].tolist(), end[where].tolist())
    return seen, late


def overlaps(begins: list[int], ends: list[int]) -> list[bool]:
    """Whether each range shares a number with the union of those before it."""
    union: list[tuple[int, int]] = []  # disjoint, in order
    overlapping = []
    for begin, end in zip(begins, ends, strict=True):
        touching = [piece for piece in union if piece[0] <= end and begin <= piece[1]]
        overlapping.append(any(piece[0] < end and begin < piece[1] for piece in touching))
        merged = (min([begin, *(p[0] for p in touching)]), max([end, *(p[1] for p in touching)]))
        union = sorted([piece for piece in union if piece not in touching] + [merged])
    return overlapping


def _duplicate_acks(index: Index, rows: Ints, side: Ints, highest: Ints, bare: Bools) -> Bools:
    """RFC 5681 §2: no payload, SYN or FIN; the sender's last number and window again; and the other's data is out.

    highest: what the other side had sent by then, as a sequence number; -1 for nothing.
    """
    place = np.argsort(side, kind="stable")
    ack, window, ordered = index.ack[rows[place]], index.window[rows[place]], side[place]
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = (ordered[1:] == ordered[:-1]) & (ack[1:] == ack[:-1]) & (window[1:] == window[:-1])
    found = np.zeros(len(rows), dtype=bool)
    found[place] = same
    beyond = (highest - index.ack[rows]) % _SPACE
    return np.asarray(found & bare & (highest >= 0) & (beyond > 0) & (beyond < _HALF))


def _highest_of_other(side: Ints, carrying: Ints, end: Ints) -> Ints:
    """For each segment, where the other side's numbers had got to (see `_duplicate_acks`).

    side: sighting * 2 + direction, in order of sightings and time. end: of the segments at *carrying*, unwrapped.
    """
    highest = np.full(len(side), -1, dtype=np.int64)
    lane = (side // 2) * _LANE
    for direction in (0, 1):
        ends = np.full(len(side), np.iinfo(np.int64).min)
        mine = side[carrying] % 2 == direction
        ends[carrying[mine]] = end[mine] + _HALF + lane[carrying[mine]]
        reached = np.maximum.accumulate(ends) - lane - _HALF
        other = (side % 2 != direction) & (reached >= -_HALF)
        highest[other] = reached[other] % _SPACE
    return highest
