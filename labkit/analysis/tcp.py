"""What TCP did in each sighting: its state, handshake, who closed it, and what went wrong (RFC 9293).

The state is what an onlooker can tell: each sighting's telling events (first SYN, first FIN of each side …) are
found for all sightings at once, then walked through the table of `states`. `segments` counts what came again.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .frames import MISSING, Bools, Ints
from .index import ACK, FIN, RST, SYN, TCP, Index
from .segments import Troubles, troubles
from .sightings import Sightings
from .states import EVENTS, states_after

_SPACE = 1 << 32  # sequence numbers
_HALF = 1 << 31
_UDP_STATES = {True: "replied", False: "unreplied"}


@dataclass(frozen=True)
class Story:
    """One entry a sighting. handshake_ns: from the first SYN to the client's first ACK, -1 if not seen whole.

    opened_ns, established_ns: when the first SYN was sent and the handshake over, -1 if not seen; ended_ns: when it
    was closed or reset, -1 if it was not.
    """

    state: list[str | None]
    handshake_ns: Ints
    closed_by: list[str | None]
    opened_ns: Ints
    established_ns: Ints
    ended_ns: Ints
    index: Index = field(repr=False)
    sightings: Sightings = field(repr=False)

    @cached_property
    def troubles(self) -> Troubles:
        """What came again, late or not at all; counted when first asked for."""
        return troubles(self.index, self.sightings)

    @property
    def retransmissions(self) -> Ints:
        return self.troubles.retransmissions


def tell(index: Index, sightings: Sightings) -> Story:
    """The story of every sighting; UDP has "replied" or "unreplied" as its state, and nothing else to tell."""
    events = _events(index, sightings)
    syn, ack = events["syn"], events["ack"]
    whole = (syn >= 0) & (ack >= 0)
    state = _states(events, sightings)
    over = np.array([word in ("closed", "reset") for word in state], dtype=bool)
    ends = [np.where(events[name] >= 0, events[name], MISSING) for name in ("rst", "acked_client", "acked_server")]
    last = np.maximum.reduce(ends) if len(index) else syn
    return Story(
        state=state,
        handshake_ns=np.where(whole, _time(index, ack) - _time(index, syn), MISSING),
        closed_by=_closers(events),
        opened_ns=_time(index, syn),
        established_ns=np.where(whole, _time(index, ack), MISSING),
        ended_ns=np.where(over, _time(index, last), MISSING),
        index=index,
        sightings=sightings,
    )


def _time(index: Index, rows: Ints) -> Ints:
    """When the packets at *rows* were seen; -1 for row -1."""
    return np.where(rows >= 0, index.time_ns[rows], MISSING) if len(index) else np.zeros(len(rows), dtype=np.int64)


def _states(events: dict[str, Ints], sightings: Sightings) -> list[str | None]:
    states = states_after(np.stack([events[name] for name in EVENTS], axis=1))
    answered = _replied(sightings)
    for place in np.flatnonzero(sightings.proto != TCP).tolist():
        states[place] = _UDP_STATES[bool(answered[place])]
    return states


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


def _replied(sightings: Sightings) -> Bools:
    answers = ~sightings.from_client[sightings.rows]
    return np.bincount(sightings.of_packet[sightings.rows][answers], minlength=len(sightings)) > 0


def _closers(events: dict[str, Ints]) -> list[str | None]:
    """Who sent the first FIN or RST."""
    never = np.iinfo(np.int64).max

    def when(name: str) -> Ints:
        return np.where(events[name] >= 0, events[name].astype(np.int64), never)

    by_client = np.minimum(when("fin_client"), when("rst_client"))
    first = np.minimum(np.minimum(when("fin_client"), when("fin_server")), when("rst"))
    who = np.where(first == never, 0, np.where(first == by_client, 1, 2))
    return list(np.array([None, "client", "server"], dtype=object)[who])
