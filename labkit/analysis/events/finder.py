"""From the tuples and times that events name to the connections among the packets.

A tuple may be used again, so time decides between its connections; what it leaves open is answered with None.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from labkit.analysis.connections.merged import Connections
from labkit.analysis.connections.runs import begins, together
from labkit.analysis.connections.sightings import Sightings
from labkit.analysis.connections.tcp import Story
from labkit.analysis.packets.index import TCP, UDP, Index

from .nodes import canonical

Endpoint = tuple[str, int]
_SLACK_NS = 5_000_000  # events are stamped by other code than packets, a moment earlier or later
_PROTOCOLS = {"TCP": TCP, "UDP": UDP}
_OVER = ("closed", "reset")


class Finder:
    """Looks connections up by what they were called at any vantage point."""

    def __init__(
        self, index: Index, sightings: Sightings, connections: Connections, story: Callable[[], Story]
    ) -> None:
        self._index, self._sightings, self._connections, self._tell = index, sightings, connections, story
        s = sightings
        self._ends = [side.tolist() for side in (s.client, s.client_port, s.server, s.server_port)]
        self._first: list[int] = index.time_ns[s.first].tolist()
        self._numbers = {name: number for number, name in enumerate(index.addresses)}

    @cached_property
    def _story(self) -> Story:
        return self._tell()

    @cached_property
    def _by_ends(self) -> tuple[Mapping[int, int], list[int], list[int]]:
        """Sightings with the same protocol and ends: the key's run, where runs begin, their sightings."""
        s = self._sightings
        one = s.client.astype(np.int64) << 16 | s.client_port
        two = s.server.astype(np.int64) << 16 | s.server_port
        low, high = np.minimum(one, two), np.maximum(one, two)
        words = [low.view(np.uint64), (high | s.proto.astype(np.int64) << 48).view(np.uint64)]
        order, new = together(words)
        first, second = (word[order[new]].tolist() for word in words)
        keys = {a << 64 | b: run for run, (a, b) in enumerate(zip(first, second, strict=True))}
        return keys, begins(new).tolist(), order.tolist()

    def _with_ends(self, proto: str, one: Endpoint, two: Endpoint) -> list[int]:
        """Sightings of "TCP" or "UDP" between these ends, in order of their first packet."""
        source, target = self._numbers.get(one[0]), self._numbers.get(two[0])
        if source is None or target is None:
            return []
        runs, begin, sightings = self._by_ends
        low, high = source << 16 | one[1], target << 16 | two[1]
        if low > high:
            low, high = high, low
        run = runs.get(low << 64 | _PROTOCOLS.get(proto, 0) << 48 | high)
        return [] if run is None else sightings[begin[run] : begin[run + 1]]

    def ends(self, sighting: int) -> tuple[Endpoint, Endpoint]:
        """Client and server of a sighting, as seen there."""
        names, (client, client_port, server, server_port) = self._index.addresses, self._ends
        return (names[client[sighting]], client_port[sighting]), (names[server[sighting]], server_port[sighting])

    def opened(self, proto: str, client: Endpoint, server: Endpoint, by_ns: int) -> int | None:
        """The connection with these ends that was opened last before *by_ns*; None if there is none."""
        latest, began = None, None
        for sighting in self._with_ends(proto, client, server):
            first = self._first[sighting]
            if first <= by_ns + _SLACK_NS and (began is None or first > began):
                latest, began = sighting, first
        return None if latest is None else int(self._connections.of_sighting[latest])

    def opened_each(self, asked: Sequence[Mapping[str, Any]]) -> list[int | None]:
        """`opened` for many `decision` events at once."""
        end, most = _Ends(self._numbers), np.iinfo(np.int64).max
        rows = [
            (end[event["client"]] | event["client_port"], end[event["server"]] | event["server_port"], event["time_ns"])
            for event in asked
        ]
        protocols = np.array([_PROTOCOLS.get(event["proto"], 0) for event in asked], dtype=np.int64)
        ends = np.array(rows, dtype=np.int64).reshape(-1, 3)
        s = self._sightings
        one = np.concatenate([s.client.astype(np.int64) << 16 | s.client_port, ends[:, 0]])
        two = np.concatenate([s.server.astype(np.int64) << 16 | s.server_port, ends[:, 1]])
        proto = np.concatenate([s.proto.astype(np.int64), protocols])
        words = [np.minimum(one, two).view(np.uint64), (np.maximum(one, two) | proto << 48).view(np.uint64)]
        order, new = together(words)
        group = np.empty(len(order), dtype=np.int64)
        group[order] = np.cumsum(new)
        time = np.concatenate(
            [np.array(self._first, dtype=np.int64), np.minimum(ends[:, 2], most - _SLACK_NS) + _SLACK_NS]
        )
        turn = np.concatenate([-np.arange(len(s)), np.ones(len(asked), dtype=np.int64)])  # of equals the first counts
        order = np.lexsort((turn, time, group))
        place = np.where(order < len(s), np.arange(len(order)), -1)
        before = order[np.maximum.accumulate(place)]  # for each, the last sighting up to it
        fits = (np.maximum.accumulate(place) >= 0) & (group[before] == group[order])
        connection = np.zeros(len(order), dtype=np.int64)
        connection[order] = np.where(fits, np.append(self._connections.of_sighting, 0)[before.clip(max=len(s))], 0)
        return [found or None for found in connection[len(s) :].tolist()]

    def alive(self, client: Endpoint, server: Endpoint, from_ns: int, to_ns: int, proto: str = "TCP") -> int | None:
        """The connection with these ends that was open at some time in [from_ns, to_ns]; None unless it is one."""
        found = {
            int(self._connections.of_sighting[s])
            for s in self._with_ends(proto, client, server)
            if self._first[s] <= to_ns + _SLACK_NS
            and (self._story.state[s] not in _OVER or self._ended(s) >= from_ns - _SLACK_NS)
        }
        return found.pop() if len(found) == 1 else None

    def _ended(self, sighting: int) -> int:
        return int(self._index.time_ns[self._sightings.last[sighting]])


class _Ends(dict[str, int]):
    """The number of each address that an event names, above 16 bits for a port; of one that no packet has, the next."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = numbers

    def __missing__(self, address: str) -> int:
        self[address] = self._numbers.get(canonical(str(address)), len(self._numbers)) << 16
        return self[address]


def endpoint_of(pair: Sequence[Any]) -> Endpoint:
    """An event's [ip, port] as the index writes it."""
    return _canonical(str(pair[0])), int(pair[1])


_canonical = lru_cache(maxsize=4096)(canonical)


def connection_of(finder: Finder, side: Mapping[str, Any] | None, from_ns: int | None, to_ns: int | None) -> int | None:
    """The connection of one side of a `request` event, if its packets were captured."""
    if not side or not side.get("client") or not side.get("server") or from_ns is None or to_ns is None:
        return None
    client, server = endpoint_of(side["client"]), endpoint_of(side["server"])
    return finder.alive(client, server, from_ns, to_ns, side.get("proto") or "TCP")
