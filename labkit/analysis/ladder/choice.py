"""Which connections and packets a ladder is about: one request, one connection with those it is paired with, or the
first of the capture that tells something.

A request on a connection that carried several is cut out of it: from its own first byte to the next one's. Of several
at a time (HTTP/2 streams) the packets that carried it are taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import index

import numpy as np

from labkit.analysis.events.decisions import Decision
from labkit.analysis.events.exchanges import Exchange
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.index import SYN
from labkit.analysis.study import Study
from labkit.errors import CaptureError
from labkit.wording import shown

MOST = 8  # connections side by side


@dataclass(frozen=True, slots=True)
class Chosen:
    """connections: ids, those of the clients first. rows: their packets to show (0-based), in order of time.

    fronts: how many of the connections are on the clients' side. left_out: paired connections that are too many.
    """

    connections: tuple[int, ...]
    fronts: int
    rows: Ints
    decisions: tuple[Decision, ...]
    left_out: int = 0


def choose(study: Study, connection: object = None, request: object = None) -> Chosen:
    """What was asked for: a connection's id, a request's id (a str in the first place too) or row, or neither.

    CaptureError if there is none such, or nothing at all.
    """
    if isinstance(connection, str) and request is None:
        connection, request = None, connection
    if connection is not None and request is not None:
        raise CaptureError("A ladder shows one connection or one request: give one of both.")
    if request is not None:
        return _asked(study, request)
    if connection is None:
        found = _first(study)
        if found is None:
            raise CaptureError("This capture has no connection, so there is no ladder to draw. See cap.packets().")
        return found
    known = len(study.connections)
    number = index(connection) if isinstance(connection, Integral) and not isinstance(connection, bool) else 0
    if not 1 <= number <= known:
        has = f"connections 1 to {known}" if known else "no connections"
        raise CaptureError(f"This capture has no connection {shown(connection)}; it has {has}. See cap.connections().")
    return _of_connection(study, number)


def _asked(study: Study, request: object) -> Chosen:
    row = index(request) if isinstance(request, Integral) and not isinstance(request, bool) else -1
    named = (one for at, one in enumerate(study.exchanges) if at == row or one.event.get("request") == request)
    exchange = next(named, None)
    if exchange is None:
        known = len(study.exchanges)
        has = f"{known:,} request{'s' if known > 1 else ''}" if known else "none: it was not captured at L7"
        raise CaptureError(f"This capture has no request {shown(request)}; it has {has}. See cap.exchanges().")
    found = _of_exchange(study, exchange)
    if found is None:
        raise CaptureError(f"The packets of request {shown(request)} were not captured; only the proxy's record was.")
    return found


def _first(study: Study) -> Chosen | None:
    """The first request that reached a backend, or the first connection that was decided on, whichever began first.

    Without either, the first connection; None if there is none.
    """
    reached = next((one for one in study.exchanges if one.front is not None and one.back is not None), None)
    decided = next((one for one in study.decisions if one.connection is not None and one.mode == "l4"), None)
    if reached is not None and (decided is None or int(reached.event["decided_ns"] or 0) < decided.time_ns):
        return _of_exchange(study, reached)
    if decided is not None and decided.connection is not None:
        return _of_connection(study, decided.connection)
    return _of_connection(study, 1) if len(study.connections) else None


def _of_connection(study: Study, number: int) -> Chosen:
    """One connection and those that the proxy's record pairs it with.

    Whole; but of a client's connection beside a back connection only the requests that this one carried.
    """
    paired = sorted(study.pairs.get(number, ()))
    shown = paired[: MOST - 1]
    carried = [exchange for exchange in study.exchanges if exchange.back == number]
    if carried:
        rows = [_packets(study, number)]
        rows += [_part(study, one.front, one) for one in carried if one.front in shown and one.front is not None]
        chosen = [one for one in study.decisions if any(one.event is exchange.event for exchange in carried)]
        together = np.unique(np.concatenate(rows))
        return Chosen((*shown, number), len(shown), together, tuple(chosen), len(paired) - len(shown))
    if number in study.begun_here and shown:  # relayed: the client's connection stands first
        number, shown = shown[0], [number]
    decisions = [decision for decision in study.decisions if decision.connection == number]
    every = np.sort(np.concatenate([_packets(study, one) for one in (number, *shown)]))
    return Chosen((number, *shown), 1, every, tuple(decisions), len(paired) - len(shown))


def _of_exchange(study: Study, exchange: Exchange) -> Chosen | None:
    """One request: its part of the connections that carried it; None if no packet of them was captured."""
    fronts = [] if exchange.front is None else [exchange.front]
    every = [*fronts, *([] if exchange.back is None else [exchange.back])]
    if not every:
        return None
    rows = [_part(study, number, exchange) for number in every]
    decisions = [one for one in study.decisions if one.event is exchange.event]
    return Chosen(tuple(every), len(fronts), np.sort(np.concatenate(rows)), tuple(decisions))


def _packets(study: Study, number: int) -> Ints:
    members = study.connections.members[number - 1]
    return np.concatenate([study.sightings.packets(sighting) for sighting in members])


def _part(study: Study, number: int, exchange: Exchange) -> Ints:
    others = [one for one in study.exchanges if number in (one.front, one.back) and one is not exchange]
    return _window(study, number, exchange, others)


def _window(study: Study, number: int, exchange: Exchange, others: Sequence[Exchange]) -> Ints:
    """The packets of one connection that belong to one of its requests, by time: handshake and close go along
    with the first and the last."""
    rows, packets = _packets(study, number), study.index
    began, ended = _times(exchange)
    if any(start < ended and began < end for start, end in map(_times, others)):
        alone = began <= min(start for start, _ in map(_times, others))
        return _carrying(study, number, exchange, rows, opening=alone)
    earlier = max((end for start, end in map(_times, others) if start < began), default=None)
    later = [start for start, _ in map(_times, others) if start > began]
    times = packets.time_ns[rows]
    asking = (packets.payload_length[rows] > 0) & study.sightings.from_client[rows]
    keep = np.ones(len(rows), dtype=bool)
    if earlier is not None:
        starts = times[asking & (times > earlier)]
        keep &= times >= (starts.min() if len(starts) else earlier)
    if later:
        ends = times[asking & (times > ended)]
        keep &= times < (ends.min() if len(ends) else min(later))
    opening = packets.flag(SYN, rows)
    return rows[keep | (opening if earlier is None else np.zeros(len(rows), dtype=bool))]


def _carrying(study: Study, number: int, exchange: Exchange, rows: Ints, *, opening: bool) -> Ints:
    """Of *rows*, those that carried one of several requests at a time; where that is not known, all of its time."""
    carriage, index_, of = study.carriage, study.index, study.trajectories.of_packet
    found = carriage.front(exchange) if number == exchange.front else carriage.back(exchange)
    own = np.array(found.packets, dtype=np.int64) - 1
    if len(own):
        keep = np.isin(rows, own) | np.isin(of[rows], of[own][of[own] >= 0])
    else:
        began, ended = _times(exchange)
        times = index_.time_ns[rows]
        asked = times[(index_.payload_length[rows] > 0) & study.sightings.from_client[rows]]
        before, after = asked[asked <= began], asked[asked > ended]
        keep = times >= (before.max() if len(before) else times.min())
        keep &= times < after.min() if len(after) else True
    return rows[keep | (index_.flag(SYN, rows) & opening)]


def _times(exchange: Exchange) -> tuple[int, int]:
    event = exchange.event
    started = int(event.get("started_ns") or event["time_ns"])
    return started, int(event.get("ended_ns") or event["time_ns"])
