"""Exchanges: the proxy's `request` events, joined with the connections that carried them.

The proxy says which tuples it used, the packets say which connections those were. An event whose packets were not
captured keeps its own words and has no connection: nothing is guessed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any

import pandas as pd

from labkit.analysis.packets.tables import records
from labkit.errors import CaptureError
from labkit.wording import shown

from .finder import Finder, connection_of, endpoint_of
from .nodes import endpoint

COLUMNS = (
    "request", "method", "target", "host", "status", "rule", "backend", "front_connection", "back_connection",
    "front", "back", "seconds", "time", "version", "websocket", "error", "messages",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the proxy handled it. front, back: ids of connections, None where the packets are missing."""

    event: Mapping[str, Any]
    front: int | None
    back: int | None


def exchanges(events: Sequence[Mapping[str, Any]], finder: Finder) -> list[Exchange]:
    """One exchange per `request` event, in order of when the requests began."""
    found = []
    for event in sorted(events, key=_began):
        started, ended = _began(event), event.get("ended_ns") or event["time_ns"]
        front = connection_of(finder, event.get("front"), started, started)
        back = connection_of(finder, event.get("back"), event.get("decided_ns") or started, ended)
        found.append(Exchange(event, front, back))
    return found


def _began(event: Mapping[str, Any]) -> int:
    return int(event.get("started_ns") or event["time_ns"])


def asked(found: Sequence[Exchange], request: object) -> Exchange:
    """The exchange that *request* means: its id, its row, or None for the first. CaptureError if there is none such."""
    known = [str(exchange.event.get("request")) for exchange in found]
    if not known:
        raise CaptureError(
            "This capture has no requests of a terminating balancer, so no header was rewritten by one. "
            "cap.follow(connection) shows the headers on a connection."
        )
    if request is None:
        return found[0]
    if isinstance(request, str) and request in known:
        return found[known.index(request)]
    if isinstance(request, Integral) and not isinstance(request, bool) and 0 <= index(request) < len(known):
        return found[index(request)]
    has = f"rows 0 to {len(known) - 1}, the first with the id {known[0]!r}"
    raise CaptureError(f"This capture has no request {shown(request)}; it has {has}. See cap.exchanges().")


def pairs(found: Sequence[Exchange]) -> dict[int, set[int]]:
    """For each connection of a terminating proxy the ones on its other side that carried its requests."""
    paired: dict[int, set[int]] = defaultdict(set)
    for exchange in found:
        if exchange.front is not None and exchange.back is not None:
            paired[exchange.front].add(exchange.back)
            paired[exchange.back].add(exchange.front)
    return dict(paired)


def table(found: Sequence[Exchange], messages: Sequence[int | None] | None = None) -> pd.DataFrame:
    """One row per exchange, with the WebSocket *messages* of each; without any, the same columns and no rows."""
    counts = [None] * len(found) if messages is None else messages
    rows = [_row(exchange, count) for exchange, count in zip(found, counts, strict=True)]
    frame = records(rows, COLUMNS)
    frame["seconds"] = frame["seconds"].astype("float64")
    frame["time"] = pd.to_datetime(frame["time"], unit="ns").astype("datetime64[ns]")
    return frame


def _row(exchange: Exchange, messages: int | None) -> dict[str, Any]:
    event = exchange.event
    named = ("request", "method", "target", "host", "status", "rule", "backend", "version", "websocket", "error")
    started, ended = event.get("started_ns"), event.get("ended_ns")
    return {
        **{name: event.get(name) for name in named},
        "front_connection": exchange.front,
        "back_connection": exchange.back,
        "front": _client(event.get("front")),
        "back": _client(event.get("back")),
        "seconds": (ended - started) / 1e9 if started and ended else None,
        "time": _began(event),
        "messages": messages,
    }


def _client(side: Mapping[str, Any] | None) -> str | None:
    return endpoint(*endpoint_of(side["client"])) if side and side.get("client") else None
