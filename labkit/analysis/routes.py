"""From where to where each connection went, and whether it ran through the balancer or ended in it.

Judged by where its packets were seen, by whose its addresses are, and by the balancer's own record of its choice.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .packets.index import protocol_name
from .study import Study


class Route(NamedTuple):
    """One connection's ends as nodes (or as addresses, where nobody knows the node). via: the node it ran through.

    passed: True if packets show it on both sides of the balancer, False if they would have to and do not, None if
    what lies behind was not captured.
    """

    connection: int
    proto: str
    mode: str | None
    source: str
    target: str
    via: str | None
    passed: bool | None


class Routes:
    """The routes of all connections of one study."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @cached_property
    def all(self) -> list[Route]:
        return [self._route(number) for number in range(1, len(self._study.connections) + 1)]

    @cached_property
    def forwarded(self) -> Mapping[int, Mapping[str, Any]]:
        """The balancer's record of each connection that it forwarded, or relayed."""
        relayed = ((one.event, one.front) for one in self._study.relays)
        return {connection: event for event, connection in (*self._study.forwarded, *relayed) if connection is not None}

    @cached_property
    def _chosen(self) -> dict[int, str]:
        """Backends by the balancer's record, for connections that it forwarded."""
        return {
            connection: str(event["backend"])
            for event, connection in self._study.forwarded
            if connection is not None and event.get("backend")
        }

    @property
    def in_force(self) -> set[str]:
        """The mode at the end of the recording, as a set; empty if it does not say."""
        return {str(event["mode"]) for event in self._study.recording.of_kind("mode")[-1:]}

    @cached_property
    def modes(self) -> dict[int, str]:
        """What handled each connection: "l7" if it carried a request of the proxy, "l4" if it was relayed unread, else
        what decided on it.

        Without either it is "l4" if its packets came out of the balancer again (a connection goes on in the mode it
        began in), else the mode that was in force when it was first seen (none known: it is absent).
        """
        study = self._study
        found: dict[int, str] = {}
        switches = [(int(event["time_ns"]), str(event["mode"])) for event in study.recording.of_kind("mode")]
        if switches:
            homes = np.array([members[0] for members in study.connections.members], dtype=np.int64)
            began = study.index.time_ns[study.sightings.first[homes]]
            before = np.searchsorted([time_ns for time_ns, _ in switches], began, side="right") - 1
            found = {number: switches[max(0, place)][1] for number, place in enumerate(before.tolist(), start=1)}
            ran = zip(self._changed, self._seen_at_balancer, strict=True)
            found.update((n, "l4") for n, (changed, places) in enumerate(ran, start=1) if changed or places > 1)
        for event, connection in study.forwarded:
            if connection is not None:
                found[connection] = event.get("mode", "l4")
        for exchange in study.exchanges:
            found.update((one, "l7") for one in (exchange.front, exchange.back) if one is not None)
        for relay in study.relays:
            found.update((one, "l4") for one in (relay.front, relay.back) if one is not None)
        return found

    def _route(self, number: int) -> Route:
        members, balancer = self._study.connections.members[number - 1], self._balancer
        source = self._clients[members[0]]
        own = [node for member in members if (node := self._hosts[self._vantage[member]])]
        node = own[-1] if own else None
        host = node if node != source else None  # at whose own vantage point it was seen last
        target = host or self._chosen.get(number) or self._servers[members[-1]]
        changed, at_balancer = self._changed[number - 1], self._seen_at_balancer[number - 1]
        through = (changed or at_balancer > 0) and balancer not in (source, target)
        arrived = changed or at_balancer > 1 or (through and host is not None)
        via = (balancer or "lb") if through else None
        passed = True if arrived else False if self._ended(number, target) else None
        proto = self._protocols[members[0]]
        return Route(number, proto, self.modes.get(number), source, target, via, passed)

    @cached_property
    def _owners(self) -> list[str]:
        """Of each address, the node that has it, or the address itself."""
        return list(map(self._study.nodes.at, self._study.index.addresses))

    @cached_property
    def _clients(self) -> list[str]:
        """Of each sighting, the node that is the client there."""
        return [self._owners[address] for address in self._study.sightings.client.tolist()]

    @cached_property
    def _servers(self) -> list[str]:
        """Of each sighting, the node that is the server there."""
        return [self._owners[address] for address in self._study.sightings.server.tolist()]

    @cached_property
    def _hosts(self) -> list[str | None]:
        """Of each vantage point, the client or backend whose own it is; None for a balancer's."""
        nodes = self._study.nodes
        return [node if nodes.roles.get(node) in ("client", "backend") else None for node in nodes.at_vantage]

    @cached_property
    def _changed(self) -> list[bool]:
        """Of each connection, whether its ends are called something else somewhere."""
        s, connections = self._study.sightings, self._study.connections
        homes = np.array([members[0] for members in connections.members], dtype=np.int64)[connections.of_sighting - 1]
        differ = np.zeros(len(s), dtype=bool)
        for column in (s.client, s.client_port, s.server, s.server_port):
            differ |= column != column[homes]
        return [count > 0 for count in self._per_connection(differ)]

    @cached_property
    def _seen_at_balancer(self) -> list[int]:
        """Of each connection, at how many of the balancer's vantage points it was seen."""
        return self._per_connection(np.array(self._at_balancer, dtype=bool)[self._study.sightings.vantage])

    def _per_connection(self, marks: npt.NDArray[np.bool_]) -> list[int]:
        """How many sightings of each connection are marked."""
        connections = self._study.connections
        counted = np.bincount(connections.of_sighting[marks], minlength=len(connections) + 1)[1:]
        return [int(count) for count in counted.tolist()]

    @cached_property
    def _protocols(self) -> list[str]:
        """Of each sighting, the name of its protocol."""
        numbers, place = np.unique(self._study.sightings.proto, return_inverse=True)
        names = [protocol_name(number) or "" for number in numbers.tolist()]
        return [names[i] for i in place.tolist()]

    @cached_property
    def _balancer(self) -> str | None:
        return self._study.nodes.balancer

    @cached_property
    def _at_balancer(self) -> list[bool]:
        """Of each vantage point, whether it is one of the balancer's."""
        nodes = self._study.nodes
        return [nodes.is_balancer(vantage) for vantage in range(len(nodes.at_vantage))]

    @cached_property
    def _vantage(self) -> list[int]:
        """Of each sighting, its vantage point."""
        return list(self._study.sightings.vantage.tolist())

    @cached_property
    def _backends_seen(self) -> set[str]:
        return self._study.nodes.backends_seen

    def _ended(self, number: int, target: str) -> bool:
        """Whether a connection not seen behind the balancer was not there: by record, or for want of packets."""
        return number in self._study.ended_here or sum(self._at_balancer) > 1 or target in self._backends_seen
