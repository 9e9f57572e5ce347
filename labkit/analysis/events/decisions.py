"""When the balancer decided, by what it had read, and which packet it held last.

At L4 that packet is the connection's first one as it reached the balancer; of a TCP proxy the end of the handshake, or
the ClientHello where it chooses by its name; at L7 the last piece of the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from labkit.analysis.connections.merged import Connections
from labkit.analysis.connections.sightings import Sightings
from labkit.analysis.packets.index import Index
from labkit.analysis.packets.tables import records

from .exchanges import Exchange
from .finder import Endpoint, Finder, endpoint_of
from .nodes import Nodes
from .relays import Relayed

Forwarded = tuple[Mapping[str, Any], int | None]  # a `decision` event, the connection
COLUMNS = ("time", "mode", "connection", "read", "rule", "backend", "packet", "vantage")


@dataclass(frozen=True)
class Scene:
    """What decisions are looked up in."""

    index: Index
    sightings: Sightings
    connections: Connections
    finder: Finder
    nodes: Nodes

    def arrival(self, connection: int, ends: tuple[Any, Any] | None) -> int | None:
        """The sighting of *connection* at which it reaches the balancer: the last one still between *ends*.

        ends: client and server as the client wrote them; None: any. With a topology it is the first of the balancer's
        own: where nothing is translated, what leaves it is still between them.
        """
        there = [s for s in self.connections.members[connection - 1] if ends is None or self.finder.ends(s) == ends]
        if self.nodes.balancer is not None:
            there = [s for s in there if self.nodes.is_balancer(int(self.sightings.vantage[s]))]
            return there[0] if there else None
        return there[-1] if there else None

    def by(self, back: int | None, told_ns: int) -> int:
        """When a choice was made that the proxy tells of: before *back*, which it led to, began at the latest."""
        if back is None:
            return told_ns
        return min(told_ns, int(self.index.time_ns[self.sightings.first[self.connections.home(back)]]))

    def first_sent(self, sighting: int) -> int | None:
        """The row of the client's first packet at a sighting."""
        rows = self._sent(sighting)
        return int(rows[0]) if len(rows) else None

    def last_payload(self, sighting: int, by_ns: int) -> int | None:
        """The row of the last piece of payload from the client that arrived by then."""
        rows = self._sent(sighting)
        rows = rows[(self.index.payload_length[rows] > 0) & (self.index.time_ns[rows] <= by_ns)]
        return int(rows[-1]) if len(rows) else None

    def handshake_end(self, sighting: int) -> int | None:
        """The row of the client's packet that ended the TCP handshake, or the last before it that was captured."""
        rows = self._sent(sighting)[:2]
        rows = rows[self.index.payload_length[rows] <= 0]
        return int(rows[-1]) if len(rows) else None

    def _sent(self, sighting: int) -> Any:
        rows = self.sightings.packets(sighting)
        return rows[np.asarray(self.sightings.from_client[rows])]


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice of a backend."""

    event: Mapping[str, Any]
    mode: str
    time_ns: int
    connection: int | None
    scene: Scene = field(repr=False, compare=False)

    @property
    def row(self) -> int | None:
        """The packet (0-based) the balancer held last, None where it was not captured."""
        if self.connection is None:
            return None
        if self.event["kind"] == "request":
            sighting = self.scene.arrival(self.connection, None)
            return None if sighting is None else self.scene.last_payload(sighting, self.time_ns)
        if self.event["kind"] == "relay":
            sighting = self.scene.arrival(self.connection, None)
            if sighting is None:
                return None
            named = "tls.sni" in (self.event.get("read") or ())
            said = self.scene.last_payload(sighting, self.time_ns) if named else None
            return self.scene.handshake_end(sighting) if said is None else said
        sighting = self.scene.arrival(self.connection, _ends(self.event))
        return None if sighting is None else self.scene.first_sent(sighting)


def forwarded(finder: Finder, events: Sequence[Mapping[str, Any]]) -> list[Forwarded]:
    """Each `decision` event with the connection that it is about (None: not captured), in order of time."""
    return sorted(zip(events, finder.opened_each(events), strict=True), key=lambda each: each[0]["time_ns"])


def decisions(
    scene: Scene, made: Sequence[Forwarded], found: Sequence[Exchange], relayed: Sequence[Relayed] = ()
) -> list[Decision]:
    """The decisions of the `decision` events, of the exchanges that chose a rule or a backend, and on what was relayed,
    in order of time."""
    every = [
        Decision(event, event.get("mode", "l4"), int(event["time_ns"]), connection, scene) for event, connection in made
    ]
    every += [_routed(scene, exchange) for exchange in found if exchange.event.get("decided_ns")]
    every += [
        Decision(one.event, "l4", scene.by(one.back, int(one.event["decided_ns"])), one.front, scene)
        for one in relayed
        if one.event.get("decided_ns")
    ]
    return sorted(every, key=lambda decision: decision.time_ns)


def _ends(event: Mapping[str, Any]) -> tuple[Endpoint, Endpoint]:
    client = endpoint_of((event["client"], event["client_port"]))
    return client, endpoint_of((event["server"], event["server_port"]))


def _routed(scene: Scene, exchange: Exchange) -> Decision:
    return Decision(exchange.event, "l7", int(exchange.event["decided_ns"]), exchange.front, scene)


def table(made: Sequence[Decision], index: Index, vantages: Sequence[str]) -> pd.DataFrame:
    """One row per decision. packet: number of the packet held last, at `vantage`; None where it was not captured."""
    frame = records([_row(decision, decision.row, index, vantages) for decision in made], COLUMNS)
    frame["time"] = pd.to_datetime(frame["time"], unit="ns").astype("datetime64[ns]")
    return frame


def _row(decision: Decision, row: int | None, index: Index, vantages: Sequence[str]) -> dict[str, Any]:
    return {
        "time": decision.time_ns,
        "mode": decision.mode,
        "connection": decision.connection,
        "read": tuple(decision.event.get("read") or ()),
        "rule": decision.event.get("rule"),
        "backend": decision.event.get("backend"),
        "packet": None if row is None else row + 1,
        "vantage": None if row is None else vantages[int(index.vantage[row])],
    }
