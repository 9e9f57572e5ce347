"""Flows of captures made by hand: what the client sent, what failed, and what a capture lacks, never made up."""

import io
import json
import ssl

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader, FlowWriter
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from labkit.capture import Capture
from labkit.export.flows import Flows
from tests.analysis.messages.test_upgraded import ASKED, answered, sides
from tests.analysis.tls.handshakes import contexts, talk
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import API1, LB_BACK, START, VIP, Link, Nat, Talk, Wire, get, l4_wire, l7_wire

POST = b"POST /a?b=1 HTTP/1.1\r\nHost: lb\r\nX-Two: \xe4\r\nx-two: 2\r\nContent-Length: 5\r\n\r\nhe\0lo"
ANSWER = b"HTTP/1.1 201 Made So\r\nContent-Length: 2\r\nX: y\r\n\r\nok"


def flows(wire: Wire) -> Flows:
    return Capture(wire.recording()).flows()


def only(wire: Wire) -> HTTPFlow:
    (flow,) = flows(wire)
    return flow


def lacks(flow: HTTPFlow) -> list[str]:
    assert all(f"lacks: {lack}" in flow.comment for lack in flow.metadata["labkit.lacks"])
    return list(flow.metadata["labkit.lacks"])


def state(flow: HTTPFlow) -> str:
    """All of it, with tuples and lists alike, for a file has lists alone."""
    return json.dumps(flow.get_state(), default=repr, sort_keys=True)


def round_trip(flow: HTTPFlow) -> None:
    """Through mitmproxy's own writer and reader it stays the same."""
    file = io.BytesIO()
    FlowWriter(file).add(flow)
    (again,) = FlowReader(io.BytesIO(file.getvalue())).stream()
    assert state(again) == state(flow)


def on_nat(request: bytes, answer: bytes | None) -> Wire:
    wire = l4_wire(0)
    talk = Talk(wire, Nat()).open()
    if answer is None:
        talk.send(0, "PA", request)
        talk.send(1, "R")
    else:
        talk.ask(request, answer).close()
    return wire


def test_at_l4_a_request_is_the_client_s_bytes_and_the_server_the_backend_as_packets_show_it() -> None:
    flow = only(on_nat(POST, ANSWER))
    request, response = flow.request, flow.response
    assert (request.method, request.path, request.http_version, request.raw_content) == (
        "POST", "/a?b=1", "HTTP/1.1", b"he\0lo"
    )  # fmt: skip
    assert request.headers.fields == (
        (b"Host", b"lb"), (b"X-Two", b"\xe4"), (b"x-two", b"2"), (b"Content-Length", b"5")
    )  # fmt: skip
    assert (request.host, request.port, request.pretty_url) == (VIP, 80, "http://lb/a?b=1")
    assert response is not None
    assert (response.status_code, response.reason, response.raw_content) == (201, "Made So", b"ok")
    assert (flow.client_conn.peername, flow.client_conn.sockname) == (("10.0.1.11", 40000), (VIP, 80))
    assert (flow.server_conn.address, flow.server_conn.sockname) == ((API1, 80), ("10.0.1.11", 40000))
    times = [
        flow.client_conn.timestamp_start, flow.server_conn.timestamp_start, flow.server_conn.timestamp_tcp_setup,
        request.timestamp_start, response.timestamp_start, flow.client_conn.timestamp_end,
    ]  # fmt: skip
    assert times == sorted(times)  # type: ignore[type-var]
    assert START / 1e9 <= times[0] < times[-1] < START / 1e9 + 1  # type: ignore[operator]
    told = ("exchange", "mode", "rule", "backend", "front_connection", "back_connection", "forwarded", "lacks")
    assert [flow.metadata[f"labkit.{name}"] for name in told] == [None, "l4", None, "api1", 1, None, None, []]
    assert (flow.error, flow.websocket, flow.comment) == (None, None, "labkit connection 1; backend api1")
    round_trip(flow)


def test_at_l7_the_request_is_the_client_s_and_the_forwarded_one_stands_in_the_metadata() -> None:
    forwarded = get("/api/users", "via: 1.1 lb")
    flow = only(l7_wire(1, received=get("/api/users", "x-a: 1"), forwarded=forwarded))
    assert flow.request.headers.fields == ((b"Host", b"lb"), (b"x-a", b"1"))
    assert flow.metadata["labkit.forwarded"]["headers"] == [["Host", "lb"], ["via", "1.1 lb"]]
    assert (flow.metadata["labkit.forwarded"]["source"], flow.metadata["labkit.answered"]["status"]) == ("packets", 200)
    assert (flow.client_conn.peername, flow.client_conn.sockname) == (("10.0.1.11", 41000), (VIP, 80))
    assert (flow.server_conn.address, flow.server_conn.sockname) == ((API1, 80), (LB_BACK, 51000))
    told = ("exchange", "mode", "rule", "backend", "front_connection", "back_connection", "lacks")
    assert [flow.metadata[f"labkit.{name}"] for name in told] == [0, "l7", "/api/*", "api1", 1, 2, []]
    assert flow.comment == f"labkit exchange 0 ({flow.metadata['labkit.request']}); rule /api/*; backend api1"
    round_trip(flow)


def test_requests_of_one_connection_share_its_client_and_two_of_two_do_not() -> None:
    wire = l4_wire(1)
    Talk(wire, Nat(sport=41000)).open().ask(get("/1")).ask(get("/2")).close()
    one, two, three = flows(wire)
    assert [flow.request.path for flow in (one, two, three)] == ["/api/users", "/1", "/2"]
    assert two.client_conn is three.client_conn
    assert one.client_conn != two.client_conn
    assert len({flow.id for flow in (one, two, three)}) == 3


def test_without_the_client_s_packets_the_record_speaks_and_says_so() -> None:
    wire = l7_wire(1, forwarded=get("/api/users", "via: 1.1 lb"))
    wire.seen = [one for one in wire.seen if one[1] in ("lb:back", "api1")]
    flow = only(wire)
    assert (flow.request.path, flow.request.headers.fields) == ("/api/users", ((b"Host", b"lb"),))
    assert flow.request.raw_content is None
    assert flow.client_conn.peername == ("10.0.1.11", 41000)
    assert flow.response is not None
    assert flow.response.raw_content == b"ok"
    assert lacks(flow) == [
        "the packets of the client's connection were not captured",
        "the answer is the backend's: that to the client was not found",
    ]
    wire.seen = []
    flow = only(wire)
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.raw_content, len(flow.response.headers)) == (200, None, 0)
    assert flow.metadata["labkit.forwarded"] == {"source": "record", "headers": [["Host", "lb"]]}
    assert (flow.server_conn.address, flow.server_conn.timestamp_start) == ((API1, 80), None)
    assert "of the answer only the status is known, by the proxy's record" in lacks(flow)
    round_trip(flow)


def test_without_the_backend_s_packets_the_address_is_by_record_or_as_the_client_wrote_it() -> None:
    wire = l4_wire(1)
    wire.seen = [one for one in wire.seen if one[1] in ("alice", "lb:front")]
    flow = only(wire)
    assert (flow.server_conn.address, flow.server_conn.sockname) == ((API1, 80), None)
    assert lacks(flow) == ["what lies behind the balancer was not captured: server_conn is by the balancer's record"]
    wire.events = [event for event in wire.events if event["kind"] != "decision"]
    flow = only(wire)
    assert flow.server_conn.address == (VIP, 80)
    assert flow.metadata["labkit.backend"] is None
    assert "server_conn is the address that the client wrote" in lacks(flow)[0]


def test_seen_at_one_end_alone_what_the_other_was_is_by_record_or_unknown() -> None:
    wire = l4_wire(1)
    every = wire.seen
    wire.seen = [one for one in every if one[1] == "alice"]
    assert only(wire).server_conn.address == (API1, 80)
    assert lacks(only(wire)) == [
        "what lies behind the balancer was not captured: server_conn is by the balancer's record"
    ]
    wire.seen = [one for one in every if one[1] == "api1"]
    assert (only(wire).client_conn.peername, lacks(only(wire))) == (("10.0.1.11", 40000), [])
    full = l4_wire(0)
    Talk(full, Nat(full=True)).open().ask(get()).close()
    full.seen = [one for one in full.seen if one[1] == "api1"]
    assert only(full).client_conn.peername == (LB_BACK, 40000)
    assert lacks(only(full)) == [
        "what lies before the balancer was not captured: client_conn is the balancer's own side"
    ]


def test_a_connection_in_whose_rest_no_request_is_found_is_named() -> None:
    wire = on_nat(POST, ANSWER)
    wire.seen = [one for one in wire.seen if b"POST" not in one[2]][13:]
    found = flows(wire)
    assert len(found) == 0
    assert found.lacks == ("connection 1: its beginning was not captured, and no request is found in the rest",)


def test_a_body_that_was_cut_is_said_to_be() -> None:
    wire = on_nat(POST, ANSWER)
    wire.seen = [(at, vantage, raw[:-2] if b"he\0lo" in raw else raw, *rest) for at, vantage, raw, *rest in wire.seen]  # type: ignore[misc]
    flow = only(wire)
    assert (flow.request.raw_content, flow.request.timestamp_end) == (b"he\0", None)
    assert "the end of the request's body is missing" in lacks(flow)[0]
    assert "was cut short when it was captured" in lacks(flow)[0]
    assert any(lack.startswith("connection 1: of what the client said") for lack in flows(wire).lacks)


def test_what_failed_has_an_error_and_what_is_merely_missing_has_none() -> None:
    reset = only(on_nat(POST, None))
    assert reset.response is None
    assert str(reset.error) == "the connection was reset by the server without an answer"
    short = only(on_nat(POST, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok"))
    assert str(short.error) == "the connection was closed by the client before its answer was whole"
    waiting = l4_wire(0)
    Talk(waiting, Nat()).open().send(0, "PA", POST)
    assert only(waiting).error is None
    assert lacks(only(waiting)) == ["the answer was not found on the client's connection"]
    failed = only(l7_wire(1, status=502, error="the balancer cannot reach api1"))
    assert str(failed.error) == "the balancer cannot reach api1"
    for flow in (reset, short, only(waiting), failed):
        round_trip(flow)


def test_a_request_in_flight_at_l7_and_one_whose_connection_began_before() -> None:
    wire = l7_wire(1)
    wire.events = [event for event in wire.events if event["kind"] != "request"]
    wire.seen = [one for one in wire.seen if one[1] in ("alice", "lb:front")][6:]
    assert lacks(only(wire)) == [
        "the balancer's record does not tell of this request",
        "the beginning of the client's connection was not captured: client_conn's times are not from its SYN",
        "what lies behind the balancer was not captured: server_conn is the address that the client wrote",
    ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_inside_tls_with_the_keys_and_without(version: ssl.TLSVersion) -> None:
    said = talk(*contexts(version), [(0, POST), (1, ANSWER)])
    flow = only(on_wire(said.pieces, Link(dport=443), keys=said.keys))
    client = flow.client_conn
    assert (client.tls, client.tls_version) == (True, version.name.replace("_", "."))
    assert client.timestamp_tls_setup is not None
    assert client.timestamp_start < client.timestamp_tls_setup <= flow.request.timestamp_start
    assert (flow.request.pretty_url, flow.request.raw_content) == ("https://lb/a?b=1", b"he\0lo")
    round_trip(flow)
    closed = flows(on_wire(said.pieces, Link(dport=443)))
    assert len(closed) == 0
    name = "TLS 1.3" if version == ssl.TLSVersion.TLSv1_3 else "TLS 1.2"
    assert f"connection 1: encrypted: {name}, and this file has no keys for it" in closed.lacks


def test_a_websocket_has_its_whole_data_messages_and_how_it_closed() -> None:
    client, server = sides()
    said = [
        (0, client.send(TextMessage("hi"))), (1, server.send(BytesMessage(b"\0"))), (0, client.send(Ping(b""))),
        (1, server.send(TextMessage("cut", message_finished=False))), (0, client.send(CloseConnection(1000, "bye"))),
    ]  # fmt: skip
    wrong = b"\x81\x01\xff"  # a text message that is no UTF-8
    flow = only(on_wire([(0, ASKED), (1, answered()), (1, wrong), *said], Nat()))
    data = flow.websocket
    assert data is not None
    assert [(one.from_client, one.type.name, one.content) for one in data.messages] == [
        (False, "BINARY", b"\xff"), (True, "TEXT", b"hi"), (False, "BINARY", b"\0")
    ]  # fmt: skip
    assert (data.closed_by_client, data.close_code, data.close_reason) == (True, 1000, "bye")
    assert any("its last frame is missing" in lack for lack in lacks(flow))
    round_trip(flow)


@pytest.mark.parametrize(
    ("line", "scheme", "authority", "path", "form"),
    [
        ("GET http://h:81/p?q HTTP/1.1", "http", "h:81", "/p?q", "absolute"),
        ("CONNECT h:443 HTTP/1.1", "http", "h:443", "", "authority"),
        ("OPTIONS * HTTP/1.0", "http", "", "*", "relative"),
    ],
)
def test_every_form_of_target(line: str, scheme: str, authority: str, path: str, form: str) -> None:
    request = only(on_nat(f"{line}\r\nHost: h\r\n\r\n".encode(), b"HTTP/1.1 400 No\r\n\r\n")).request
    assert (request.scheme, request.authority, request.path, request.first_line_format) == (
        scheme, authority, path, form
    )  # fmt: skip
