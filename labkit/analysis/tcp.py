"""What TCP did in each sighting: its state, handshake, retransmissions and who closed it (RFC 9293).

The state is what an onlooker can tell: each sighting's telling events (first SYN, first FIN of each side …) are
found for all sightings at once, then walked through `TRANSITIONS`, the table.
"""

from dataclasses import dataclass

import numpy as np

from .frames import MISSING, Bools, Ints
from .index import ACK, FIN, RST, SYN, TCP, Index
from .sightings import Sightings

_SPACE = 1 << 32  # sequence numbers
_HALF = 1 << 31

# Events. "client" and "server" say who sent it; an "acked_" event: that side's FIN was acknowledged.
# Onlooker's states in the terms of RFC 9293 §3.3.2, "+": of the client, "-": of the server closing first.
TRANSITIONS: dict[tuple[str, str], str] = {
    ("unseen", "syn"): "syn_sent",
    ("unseen", "syn_ack"): "syn_received",
    ("unseen", "other"): "established",  # captured from the middle
    ("syn_sent", "syn_ack"): "syn_received",
    ("syn_sent", "went_on"): "established",  # the answer takes another way, or was missed
    ("syn_received", "ack"): "established",
    ("syn_received", "fin_client"): "half_closed+",
    ("syn_received", "fin_server"): "half_closed-",
    ("established", "fin_client"): "half_closed+",
    ("established", "fin_server"): "half_closed-",
    ("half_closed+", "acked_client"): "half_closed+acked",
    ("half_closed+", "fin_server"): "closing",
    ("half_closed+acked", "fin_server"): "last_ack-",
    ("half_closed-", "acked_server"): "half_closed-acked",
    ("half_closed-", "fin_client"): "closing",
    ("half_closed-acked", "fin_client"): "last_ack+",
    ("closing", "acked_client"): "last_ack-",
    ("closing", "acked_server"): "last_ack+",
    ("last_ack+", "acked_client"): "closed",
    ("last_ack-", "acked_server"): "closed",
    **{
        (state, "rst"): "reset"
        for state in (
            "unseen", "syn_sent", "syn_received", "established", "half_closed+", "half_closed+acked",
            "half_closed-", "half_closed-acked", "closing", "last_ack+", "last_ack-",
        )
    },
}  # fmt: skip
# The words of the `state` column, for the states that have others inside.
WORDS = {
    "half_closed+": "half_closed", "half_closed-": "half_closed",
    "half_closed+acked": "half_closed", "half_closed-acked": "half_closed",
    "last_ack+": "closing", "last_ack-": "closing",
}  # fmt: skip

_UDP_STATES = {True: "replied", False: "unreplied"}


def state_after(events: list[str]) -> str:
    """The state after *events* in order; an event that the table does not know in a state changes nothing."""
    state = "unseen"
    for event in events:
        state = TRANSITIONS.get((state, event), state)
    return WORDS.get(state, state)


@dataclass(frozen=True)
class Story:
    """One entry a sighting. handshake_ns: from the first SYN to the client's first ACK, -1 if not seen whole."""

    state: list[str | None]
    handshake_ns: Ints
    retransmissions: Ints
    closed_by: list[str | None]


def tell(index: Index, sightings: Sightings) -> Story:
    """The story of every sighting; UDP has "replied" or "unreplied" as its state, and nothing else to tell."""
    events = _events(index, sightings)
    syn, ack = events["syn"], events["ack"]
    whole = (syn >= 0) & (ack >= 0)
    handshake = np.where(whole, index.time_ns[ack] - index.time_ns[syn], MISSING) if len(index) else syn
    tcp = sightings.proto == TCP
    return Story(
        state=_states(events, tcp, _replied(sightings)),
        handshake_ns=handshake,
        retransmissions=retransmissions(index, sightings),
        closed_by=_closers(events),
    )


def _events(index: Index, sightings: Sightings) -> dict[str, Ints]:
    """For every event the row at which it first happened in each sighting, or -1."""
    rows = sightings.rows[index.flags[sightings.rows] >= 0]
    of, client = sightings.of_packet[rows], sightings.from_client[rows]
    flags, seq, ack = index.flags[rows], index.seq[rows], index.ack[rows]
    after = seq + index.payload_length[rows].clip(0) + (flags & SYN > 0) + (flags & FIN > 0)
    opening = flags & (SYN | ACK)

    def first(where: Bools) -> Ints:
        found = np.flatnonzero(where)[::-1]
        at = np.full(len(sightings), MISSING, dtype=np.int64)
        at[of[found]] = found
        return at

    def acknowledged(fin: Ints, by_client: bool) -> Ints:
        known = fin[of] >= 0
        reached = (ack - after[fin[of]]) % _SPACE < _HALF
        return first(known & reached & (np.arange(len(rows)) > fin[of]) & (client == by_client) & (flags & ACK > 0))

    fins = {side: first((flags & FIN > 0) & (client == (side == "client"))) for side in ("client", "server")}
    syn_ack = first(~client & (opening == SYN | ACK))
    answered = (syn_ack[of] >= 0) & (np.arange(len(rows)) > syn_ack[of])
    found = {
        "syn": first(client & (opening == SYN)),
        "syn_ack": syn_ack,
        "ack": first(client & answered & (opening == ACK) & ((ack - after[syn_ack[of]]) % _SPACE < _HALF)),
        "went_on": first(client & (opening == ACK) & (flags & RST == 0)),
        "other": first((opening & SYN == 0) & (flags & RST == 0)),
        "acked_client": acknowledged(fins["client"], by_client=False),
        "acked_server": acknowledged(fins["server"], by_client=True),
        "fin_client": fins["client"],
        "fin_server": fins["server"],
        "rst": first(flags & RST > 0),
        "rst_client": first((flags & RST > 0) & client),
    }
    return {name: np.where(at >= 0, rows[at], MISSING) if len(rows) else at for name, at in found.items()}


def _states(events: dict[str, Ints], tcp: Bools, replied: Bools) -> list[str | None]:
    """Walk the table; of the events of one packet an acknowledgement counts before a FIN (the order above)."""
    names = [name for name in events if name != "rst_client"]
    happened = np.stack([events[name] for name in names], axis=1) if len(tcp) else np.zeros((0, len(names)), np.int64)
    order = np.argsort(happened, axis=1, kind="stable")
    states: list[str | None] = []
    columns = (happened, order, tcp, replied)
    for at, turns, is_tcp, answer in zip(*(column.tolist() for column in columns), strict=True):
        walked = [names[turn] for turn in turns if at[turn] >= 0]
        states.append((state_after(walked) if walked else None) if is_tcp else _UDP_STATES[answer])
    return states


def _replied(sightings: Sightings) -> Bools:
    answers = ~sightings.from_client[sightings.rows]
    return np.bincount(sightings.of_packet[sightings.rows][answers], minlength=len(sightings)) > 0


def _closers(events: dict[str, Ints]) -> list[str | None]:
    """Who sent the first FIN or RST."""
    never = np.iinfo(np.int64).max

    def when(name: str) -> Ints:
        return np.where(events[name] >= 0, events[name], never)

    by_client = np.minimum(when("fin_client"), when("rst_client"))
    first = np.minimum(np.minimum(when("fin_client"), when("fin_server")), when("rst"))
    return [
        None if at == never else "client" if at == client else "server"
        for at, client in zip(first.tolist(), by_client.tolist(), strict=True)
    ]


def retransmissions(index: Index, sightings: Sightings) -> Ints:
    """Segments per sighting of which some byte (SYN and FIN count as one each) had been seen before, there.

    A segment that only fills a gap was seen for the first time here, so it is none, though it may be one at its sender.
    """
    rows = sightings.rows[index.flags[sightings.rows] >= 0]
    flags = index.flags[rows]
    length = index.payload_length[rows].clip(0) + (flags & SYN > 0) + (flags & FIN > 0)
    rows, length = rows[length > 0], length[length > 0]
    side = sightings.of_packet[rows] * 2 + sightings.from_client[rows]
    order = np.argsort(side, kind="stable")
    rows, length, side = rows[order], length[order], side[order]
    new = np.diff(side, prepend=-1) != 0
    group = np.cumsum(new) - 1
    step = (np.diff(index.seq[rows], prepend=0) + _HALF) % _SPACE - _HALF  # signed, so that the numbers may wrap
    step[new] = 0
    begin = np.cumsum(step)
    begin -= begin[new][group]  # relative to the side's first segment
    end = begin + length
    lane = group * (1 << 44)  # lanes so far apart that one running maximum serves all sides
    most = np.maximum.accumulate(end + lane)
    before = np.concatenate([[np.iinfo(np.int64).min], most[:-1]]) if len(rows) else most
    before = np.where(new, begin, before - lane)
    seen = begin < before
    bounds = np.append(np.flatnonzero(new), len(rows)).tolist()
    for number in np.unique(group[(begin > before) | (begin < 0)]).tolist():  # a gap: look closely
        where = slice(bounds[number], bounds[number + 1])
        seen[where] = _overlaps(begin[where].tolist(), end[where].tolist())
    return np.bincount(side[seen] // 2, minlength=len(sightings)).astype(np.int64)


def _overlaps(begins: list[int], ends: list[int]) -> list[bool]:
    """Whether each range shares a number with the union of those before it."""
    union: list[tuple[int, int]] = []  # disjoint, in order
    overlapping = []
    for begin, end in zip(begins, ends, strict=True):
        touching = [piece for piece in union if piece[0] <= end and begin <= piece[1]]
        overlapping.append(any(piece[0] < end and begin < piece[1] for piece in touching))
        merged = (min([begin, *(p[0] for p in touching)]), max([end, *(p[1] for p in touching)]))
        union = sorted([piece for piece in union if piece not in touching] + [merged])
    return overlapping
