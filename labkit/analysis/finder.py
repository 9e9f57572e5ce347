"""From the tuples and times that events name to the connections among the packets.

A tuple may be used again, so time decides between its connections; what it leaves open is answered with None.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .connections import Connections
from .index import Index, protocol_name
from .nodes import canonical
from .sightings import Sightings
from .tcp import Story

Endpoint = tuple[str, int]
_SLACK_NS = 5_000_000  # events are stamped by other code than packets, a moment earlier or later
_OVER = ("closed", "reset")


class Finder:
    """Looks connections up by what they were called at any vantage point. story: called when states matter."""

    def __init__(
        self, index: Index, sightings: Sightings, connections: Connections, story: Callable[[], Story]
    ) -> None:
        self._index, self._sightings, self._story, self._connections = index, sightings, story, connections
        names, s = index.addresses, sightings
        self._ends = [
            ((names[client], client_port), (names[server], server_port))
            for client, client_port, server, server_port in zip(
                s.client.tolist(), s.client_port.tolist(), s.server.tolist(), s.server_port.tolist(), strict=True
            )
        ]
        self._first: list[int] = index.time_ns[s.first].tolist()

    @cached_property
    def _by_ends(self) -> Mapping[tuple[str | None, Endpoint, Endpoint], list[int]]:
        """Sightings by protocol and ends, the lower one first."""
        found: dict[tuple[str | None, Endpoint, Endpoint], list[int]] = defaultdict(list)
        words = {number: protocol_name(number) for number in np.unique(self._sightings.proto).tolist()}
        for sighting, (number, (one, two)) in enumerate(zip(self._sightings.proto.tolist(), self._ends, strict=True)):
            found[(words[number], one, two) if one <= two else (words[number], two, one)].append(sighting)
        return found

    def _with_ends(self, proto: str, one: Endpoint, two: Endpoint) -> Sequence[int]:
        return self._by_ends.get((proto, one, two) if one <= two else (proto, two, one), ())

    def ends(self, sighting: int) -> tuple[Endpoint, Endpoint]:
        """Client and server of a sighting, as seen there."""
        return self._ends[sighting]

    def opened(self, proto: str, client: Endpoint, server: Endpoint, by_ns: int) -> int | None:
        """The connection with these ends that was opened last before *by_ns*; None if there is none."""
        latest, began = None, None
        for sighting in self._with_ends(proto, client, server):
            first = self._first[sighting]
            if first <= by_ns + _SLACK_NS and (began is None or first > began):
                latest, began = sighting, first
        return None if latest is None else int(self._connections.of_sighting[latest])

    def alive(self, client: Endpoint, server: Endpoint, from_ns: int, to_ns: int) -> int | None:
        """The TCP connection with these ends that was open at some time in [from_ns, to_ns]; None unless it is one."""
        found = {
            int(self._connections.of_sighting[s])
            for s in self._with_ends("TCP", client, server)
            if self._first[s] <= to_ns + _SLACK_NS
            and (self._story().state[s] not in _OVER or self._ended(s) >= from_ns - _SLACK_NS)
        }
        return found.pop() if len(found) == 1 else None

    def _ended(self, sighting: int) -> int:
        return int(self._index.time_ns[self._sightings.last[sighting]])


def endpoint_of(pair: Sequence[Any]) -> Endpoint:
    """An event's [ip, port] as the index writes it."""
    return _canonical(str(pair[0])), int(pair[1])


_canonical = lru_cache(maxsize=4096)(canonical)


def connection_of(finder: Finder, side: Mapping[str, Any] | None, from_ns: int | None, to_ns: int | None) -> int | None:
    """The connection of one side of a `request` event, if its packets were captured."""
    if not side or not side.get("client") or not side.get("server") or from_ns is None or to_ns is None:
        return None
    return finder.alive(endpoint_of(side["client"]), endpoint_of(side["server"]), from_ns, to_ns)
