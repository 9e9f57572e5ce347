"""The table of WebSocket messages: of forwarded connections, of paired ones, of TLS with and without its keys."""

import ssl

import pandas as pd
from wsproto.events import TextMessage

from labkit.analysis.evidence.websockets import COLUMNS, table
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from tests.analysis.messages.test_upgraded import ASKED, answered, sides
from tests.analysis.tls.handshakes import contexts, talk
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import TOPOLOGY, Link, Nat, Talk, Wire, l4_wire, mode, request


def told(wire: Wire) -> pd.DataFrame:
    study = Study(wire.recording())
    return table(study, Routes(study))


def conversation() -> list[tuple[int, bytes]]:
    client, server = sides()
    hello = (0, client.send(TextMessage("hi"))), (1, server.send(TextMessage("ho")))
    return [(0, ASKED), (1, answered()), *hello]


def test_at_l4_one_row_a_message() -> None:
    wire = on_wire(conversation(), Nat())
    wire.events += [TOPOLOGY, mode("l4")]
    frame = told(wire)
    assert tuple(frame.columns) == COLUMNS
    assert frame[["request", "direction", "kind", "length", "text", "connection", "vantage"]].values.tolist() == [
        [None, "client → backend", "text", 2, "hi", 1, "alice"],
        [None, "backend → client", "text", 2, "ho", 1, "alice"],
    ]
    assert frame["time"].is_monotonic_increasing
    assert str(frame["time"].dtype) == "datetime64[ns]"
    assert frame.attrs["lacks"] == ()


def test_at_l7_a_row_on_each_connection_and_the_count_once() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l7")]
    front, back = Link("alice", "lb:front", 41000), Link("lb:back", "api1", 51000)
    outer, inner = Talk(wire, front, seed=1).open(), Talk(wire, back, seed=2).open()
    started = wire.now
    for by, piece in conversation():
        for one in (outer, inner) if by == 0 else (inner, outer):
            one.send(by, "PA", piece)
    wire.events.append(
        request(started, started + 1, wire.wait(), front, back, websocket=True, status=101, target="/ws")
    )
    frame = told(wire)
    assert frame[["direction", "text", "connection"]].values.tolist() == [
        ["client → balancer", "hi", 1],
        ["balancer → backend", "hi", 2],
        ["backend → balancer", "ho", 2],
        ["balancer → client", "ho", 1],
    ]
    assert set(frame["request"]) == {f"r{started}"}
    assert Study(wire.recording()).exchanges_table()["messages"].tolist() == [2]
    wire.seen = [one for one in wire.seen if one[1] in ("lb:back", "api1")]
    assert Study(wire.recording()).exchanges_table()["messages"].tolist() == [2], "by the backend's packets"
    wire.seen = []
    assert Study(wire.recording()).exchanges_table()["messages"].tolist() == [None]


def test_inside_tls_with_the_keys_and_without() -> None:
    said = talk(*contexts(ssl.TLSVersion.TLSv1_3), conversation())
    frame = told(on_wire(said.pieces, Link(), keys=said.keys))
    assert frame[["direction", "text"]].values.tolist() == [["client → server", "hi"], ["server → client", "ho"]]
    closed = told(on_wire(said.pieces, Link()))
    assert len(closed) == 0
    assert closed.attrs["lacks"] == ("connection 1: encrypted: TLS 1.3, and this file has no keys for it",)


def test_a_connection_that_was_open_before_is_told_to_be_unreadable() -> None:
    wire = on_wire(conversation(), Link())
    wire.seen = wire.seen[-20:]
    frame = told(wire)
    assert len(frame) == 0
    assert frame.attrs["lacks"] == (
        "connection 1: its beginning was not captured, so WebSocket messages in it cannot be told from others",
    )


def test_without_any_the_columns_stay() -> None:
    frame = told(l4_wire(1))
    assert (len(frame), tuple(frame.columns), frame.attrs) == (0, COLUMNS, {"lacks": ()})
