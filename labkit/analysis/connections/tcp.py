"""What TCP did in each sighting: its state, handshake, who closed it, and what went wrong (RFC 9293).

The state is what an onlooker can tell: each sighting's telling events (first SYN, first FIN of each side …) are
found for all sightings at once, then walked through the table of `states`. `segments` counts what came again.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from labkit.analysis.packets.frames import MISSING, Bools, Ints
from labkit.analysis.packets.index import ACK, FIN, RST, SYN, TCP, Index

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
    walk = _Walk(index, sightings)
    flags, client, server, opening = walk.flags, walk.client, walk.server, walk.flags & (SYN | ACK)
    fin, rst, ack = (flags & bit > 0 for bit in (FIN, RST, ACK))
    syn_ack = walk.first(server & (opening == SYN | ACK))
    fins = walk.first(client & fin), walk.first(server & fin)
    found = {
        "syn": walk.first(client & (opening == SYN)),
        "syn_ack": syn_ack,
        "ack": walk.acknowledged(syn_ack, client & (opening == ACK)),
        "went_on": walk.first(client & (opening == ACK) & ~rst),
        "other": walk.first((client | server) & (opening & SYN == 0) & ~rst),
        "acked_client": walk.acknowledged(fins[0], server & ack),
        "acked_server": walk.acknowledged(fins[1], client & ack),
        "fin_client": fins[0],
        "fin_server": fins[1],
        "rst": walk.first(rst),
        "rst_client": walk.first(rst & client),
    }
    return {name: walk.rows_at(places) for name, places in found.items()}


class _Walk:
    """The packets of all sightings, one sighting after the other, each in order of time; places are among these.

    flags: 0 where a packet is not TCP. client, server: who sent it, both False where it is not TCP.
    """

    def __init__(self, index: Index, sightings: Sightings) -> None:
        self.index, self.sightings = index, sightings
        self.rows = sightings.rows
        self.never = len(self.rows)
        self._places = np.arange(self.never, dtype=np.int32)
        flags, sent = index.flags[self.rows], sightings.from_client[self.rows]
        self.flags = np.maximum(flags, 0)
        self.client, self.server = sent & (flags >= 0), ~sent & (flags >= 0)

    def first(self, where: Bools) -> Ints:
        """For each sighting the first place *where* it is so, or `never`."""
        if not len(self.sightings):
            return np.zeros(0, dtype=np.int32)
        places = np.where(where, self._places, np.int32(self.never))
        return np.minimum.reduceat(places, self.sightings.begin[:-1])

    def acknowledged(self, segment: Ints, where: Bools) -> Ints:
        """The first place *where* it is so and the segment at a place of each sighting is acknowledged, or `never`."""
        behind = self._places > np.repeat(segment, np.diff(self.sightings.begin))
        asked = np.flatnonzero(where & behind)
        rows = self.rows[asked]
        of = self.sightings.of_packet[rows]
        reached = (self.index.ack[rows] - self._end(segment)[of]) % _SPACE < _HALF
        found = np.full(len(segment), self.never, dtype=np.int64)
        found[of[reached][::-1]] = asked[reached][::-1]
        return found

    def _end(self, segment: Ints) -> Ints:
        """The sequence number behind the segments at these places."""
        rows = self.rows[np.minimum(segment, self.never - 1)]
        flags = self.index.flags[rows]
        length = np.maximum(self.index.payload_length[rows], 0)
        return self.index.seq[rows] + length + (flags & SYN > 0) + (flags & FIN > 0)

    def rows_at(self, places: Ints) -> Ints:
        """The rows at these places, -1 for `never`."""
        there = places < self.never
        return np.where(there, self.rows[np.where(there, places, 0)], MISSING) if self.never else places


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
