"""Relayed connections: the TCP proxy's `relay` events, joined with the two connections of each.

As with exchanges, the proxy says which tuples it used and the packets say which connections those were. One front
connection has one back connection, or none where no backend was reached.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .finder import Finder, connection_of


@dataclass(frozen=True, slots=True)
class Relayed:
    """One connection of a client as the proxy relayed it. front, back: ids, None where the packets are missing."""

    event: Mapping[str, Any]
    front: int | None
    back: int | None


def relays(events: Sequence[Mapping[str, Any]], finder: Finder) -> list[Relayed]:
    """One for each `relay` event, in order of when the connections began."""
    found = []
    for event in sorted(events, key=_began):
        started, decided = _began(event), event.get("decided_ns") or _began(event)
        ended = event.get("ended_ns") or max(decided, event["time_ns"])
        front = connection_of(finder, event.get("front"), started, ended)
        back = connection_of(finder, event.get("back"), decided, ended)
        found.append(Relayed(event, front, back))
    return found


def pairs(found: Iterable[Relayed]) -> dict[int, set[int]]:
    """For each connection that ends or begins in the proxy the one on its other side."""
    both = [(one.front, one.back) for one in found if one.front is not None and one.back is not None]
    return {**{front: {back} for front, back in both}, **{back: {front} for front, back in both}}


def _began(event: Mapping[str, Any]) -> int:
    return int(event.get("started_ns") or event["time_ns"])
