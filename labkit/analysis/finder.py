"""From the tuples and times that events name to the connections among the packets.

A tuple may be used again, so time decides between its connections; what it leaves open is answered with None.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .connections import Connections
from .index import Index, protocol_name
from .nodes import canonical
from .sightings import Sightings
from .tcp import Story

Endpoint = tuple[str, int]
_SLACK_NS = 5_000_000  # events are stamped by other code than packets, a moment earlier or later
_OVER = ("closed", "reset")


class Finder:
    """Looks connections up by what they were called at any vantage point."""

    def __init__(self, index: Index, sightings: Sightings, connections: Connections, story: Story) -> None:
        self._index, self._sightings, self._story, self._connections = index, sightings, story, connections
        self._by_ends: dict[tuple[str | None, frozenset[Endpoint]], list[int]] = defaultdict(list)
        for sighting in range(len(sightings)):
            self._by_ends[self._key(sighting)].append(sighting)

    def ends(self, sighting: int) -> tuple[Endpoint, Endpoint]:
        """Client and server of a sighting, as seen there."""
        s, names = self._sightings, self._index.addresses
        client = (names[int(s.client[sighting])], int(s.client_port[sighting]))
        return client, (names[int(s.server[sighting])], int(s.server_port[sighting]))

    def _key(self, sighting: int) -> tuple[str | None, frozenset[Endpoint]]:
        return protocol_name(int(self._sightings.proto[sighting])), frozenset(self.ends(sighting))

    def opened(self, proto: str, client: Endpoint, server: Endpoint, by_ns: int) -> int | None:
        """The connection with these ends that was opened last before *by_ns*; None if there is none."""
        every = self._by_ends.get((proto, frozenset((client, server))), [])
        found = [sighting for sighting in every if self._began(sighting) <= by_ns + _SLACK_NS]
        latest = max(found, key=self._began, default=None)
        return None if latest is None else int(self._connections.of_sighting[latest])

    def alive(self, client: Endpoint, server: Endpoint, from_ns: int, to_ns: int) -> int | None:
        """The TCP connection with these ends that was open at some time in [from_ns, to_ns]; None unless it is one."""
        found = {
            int(self._connections.of_sighting[s])
            for s in self._by_ends.get(("TCP", frozenset((client, server))), ())
            if self._began(s) <= to_ns + _SLACK_NS
            and (self._story.state[s] not in _OVER or self._ended(s) >= from_ns - _SLACK_NS)
        }
        return found.pop() if len(found) == 1 else None

    def _began(self, sighting: int) -> int:
        return int(self._index.time_ns[self._sightings.first[sighting]])

    def _ended(self, sighting: int) -> int:
        return int(self._index.time_ns[self._sightings.last[sighting]])


def endpoint_of(pair: Sequence[Any]) -> Endpoint:
    """An event's [ip, port] as the index writes it."""
    return canonical(str(pair[0])), int(pair[1])


def connection_of(finder: Finder, side: Mapping[str, Any] | None, from_ns: int | None, to_ns: int | None) -> int | None:
    """The connection of one side of a `request` event, if its packets were captured."""
    if not side or not side.get("client") or not side.get("server") or from_ns is None or to_ns is None:
        return None
    return finder.alive(endpoint_of(side["client"]), endpoint_of(side["server"]), from_ns, to_ns)
