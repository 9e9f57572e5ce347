"""When the balancer decided, by what it had read, and which packet it held last.

At L4 that packet is the connection's first one as it reached the balancer; at L7 the last piece of the request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .connections import Connections
from .exchanges import Exchange
from .finder import Finder, endpoint_of
from .index import Index
from .nodes import Nodes
from .sightings import Sightings
from .tables import records

COLUMNS = ("time", "mode", "connection", "read", "rule", "backend", "packet", "vantage")


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice of a backend. find: looks for the packet that the balancer held last."""

    event: Mapping[str, Any]
    mode: str
    time_ns: int
    connection: int | None
    find: Callable[[], int | None] = field(repr=False, compare=False)

    @property
    def row(self) -> int | None:
        """The packet (0-based) the balancer held last, None where it was not captured."""
        return self.find()


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

        ends: client and server as the client wrote them; None: any. With a topology, at the balancer itself only.
        """
        there = [s for s in self.connections.members[connection - 1] if ends is None or self.finder.ends(s) == ends]
        if self.nodes.balancer is not None:
            there = [s for s in there if self.nodes.is_balancer(int(self.sightings.vantage[s]))]
        return there[-1] if there else None

    def first_sent(self, sighting: int) -> int | None:
        """The row of the client's first packet at a sighting."""
        rows = self._sent(sighting)
        return int(rows[0]) if len(rows) else None

    def last_payload(self, sighting: int, by_ns: int) -> int | None:
        """The row of the last piece of payload from the client that arrived by then."""
        rows = self._sent(sighting)
        rows = rows[(self.index.payload_length[rows] > 0) & (self.index.time_ns[rows] <= by_ns)]
        return int(rows[-1]) if len(rows) else None

    def _sent(self, sighting: int) -> Any:
        rows = self.sightings.packets(sighting)
        return rows[np.asarray(self.sightings.from_client[rows])]


def decisions(scene: Scene, forwarded: Sequence[Mapping[str, Any]], found: Sequence[Exchange]) -> list[Decision]:
    """The decisions of the `decision` events and of the exchanges that chose a rule or a backend, in order of time."""
    every = [_forwarded(scene, event) for event in forwarded]
    every += [_routed(scene, exchange) for exchange in found if exchange.event.get("decided_ns")]
    return sorted(every, key=lambda decision: decision.time_ns)


def _forwarded(scene: Scene, event: Mapping[str, Any]) -> Decision:
    client = endpoint_of((event["client"], event["client_port"]))
    server = endpoint_of((event["server"], event["server_port"]))
    connection = scene.finder.opened(event["proto"], client, server, event["time_ns"])

    def find() -> int | None:
        sighting = None if connection is None else scene.arrival(connection, (client, server))
        return None if sighting is None else scene.first_sent(sighting)

    return Decision(event, event.get("mode", "l4"), int(event["time_ns"]), connection, find)


def _routed(scene: Scene, exchange: Exchange) -> Decision:
    decided = int(exchange.event["decided_ns"])

    def find() -> int | None:
        sighting = None if exchange.front is None else scene.arrival(exchange.front, None)
        return None if sighting is None else scene.last_payload(sighting, decided)

    return Decision(exchange.event, "l7", decided, exchange.front, find)


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
