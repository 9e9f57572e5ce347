"""WebSocket messages of a capture, one row each, as the packets of each connection carried them.

Where a balancer ended the client's connection, a message went over two: the client's and the backend's. It has a row on
each, for the proxy may frame and compress it anew, hold it back or say something of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from labkit.analysis.events.carriage import messages
from labkit.analysis.messages.upgraded import Said
from labkit.analysis.packets.tables import records
from labkit.analysis.routes import Route, Routes
from labkit.analysis.study import Study

COLUMNS: Final = ("request", "time", "direction", "kind", "length", "text", "connection", "vantage", "packet", "note")


def table(study: Study, routes: Routes) -> pd.DataFrame:
    """In order of time; `attrs["lacks"]` tells in words what could not be read."""
    rows: list[dict[str, Any]] = []
    lacks: list[str] = []
    asked = _requests(study)
    for route in routes.all:
        if route.proto != "TCP":
            continue
        found, content = study.websocket(route.connection), study.content(route.connection)
        if found is None:
            unread = [] if content.opened else [content.why]
            if content.begun_before and not messages(content):
                unread.append("its beginning was not captured, so WebSocket messages in it cannot be told from others")
        else:
            rows += _rows(study, route, found.said, asked.get(route.connection))
            unread = list(found.lacks)
        lacks += [f"connection {route.connection}: {why}" for why in unread]
    rows.sort(key=lambda row: (row["time"], row["packet"]))
    frame = records(rows, COLUMNS)
    frame = frame.astype(dict.fromkeys(("length", "connection", "packet"), "int64"))
    frame["time"] = pd.to_datetime(frame["time"], unit="ns").astype("datetime64[ns]")
    frame.attrs["lacks"] = tuple(lacks)
    return frame


def _requests(study: Study) -> Mapping[int, str]:
    """The proxy's own id of the request that opened each WebSocket, by connection."""
    return {
        connection: str(exchange.event.get("request"))
        for exchange in study.exchanges
        if exchange.event.get("websocket")
        for connection in (exchange.front, exchange.back)
        if connection is not None
    }


def _rows(study: Study, route: Route, every: tuple[Said, ...], request: str | None) -> Iterator[dict[str, Any]]:
    roles, index = study.nodes.roles, study.index
    client, server = roles.get(route.source, "client"), roles.get(route.target, "server")
    for said in every:
        row = said.rows[0]  # every byte of a stream came in some packet
        yield {
            "request": request,
            "time": int(index.time_ns[row]),
            "direction": f"{client} → {server}" if said.by_client else f"{server} → {client}",
            "kind": said.message.opcode,
            "length": len(said.message.payload),
            "text": said.text,
            "connection": route.connection,
            "vantage": study.vantages[int(index.vantage[row])],
            "packet": row + 1,
            "note": said.note,
        }
