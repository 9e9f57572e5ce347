"""HTTP/2 at the front of the proxy: streams, failures and odd requests, each on record; in clear at the back."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from labkit.balancer.limits import Limits
from labkit.balancer.policy import Route
from labkit.traffic.http import Session

from .conftest import NOBODY
from .harness import Backend, scripted
from .secure import SecureStand

pytestmark = pytest.mark.measured


class Raw:
    """An HTTP/2 connection, frame by frame: also for what no decent client sends."""

    def __init__(self, stand: SecureStand) -> None:
        context = ssl.create_default_context(cadata=stand.signer.trust())
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", stand.listeners[1].port), timeout=10)
        self.socket = context.wrap_socket(plain, server_hostname="lb")
        config = h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def send(self, stream: int, headers: list[tuple[str, str]], *, end: bool = True) -> None:
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()

    def events(self) -> Iterator[h2.events.Event]:
        while data := self.socket.recv(65536):
            yield from self.h2.receive_data(data)
            self.flush()

    def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """Headers and body of the answer on *stream*."""
        headers: dict[str, str] = {}
        body = b""
        for event in self.events():
            match event:
                case h2.events.ResponseReceived(stream_id=number) if number == stream:
                    headers = dict(event.headers)
                case h2.events.DataReceived(stream_id=number) if number == stream:
                    body += event.data
                case h2.events.StreamEnded(stream_id=number) if number == stream:
                    return headers, body
                case h2.events.StreamReset(stream_id=number) if number == stream:
                    return {":reset": str(int(event.error_code))}, body
                case h2.events.ConnectionTerminated():
                    return {":goaway": str(int(event.error_code))}, body
        raise ConnectionError("closed")


def get(path: str = "/api/x", *more: tuple[str, str], method: str = "GET") -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "https"), (":authority", "lb"), (":path", path), *more]


@contextmanager
def raw(stand: SecureStand) -> Iterator[Raw]:
    connection = Raw(stand)
    try:
        yield connection
    finally:
        connection.socket.close()


def told(stand: SecureStand, before: int, count: int) -> list[dict[str, Any]]:
    """The *count* events after the first *before*; waits for those of requests that end with their connection."""
    for _ in range(500):
        if len(events := stand.engine.events()[before:]) >= count:
            return events
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(events)} events")


def test_a_request_becomes_one_of_http1_with_host_first_and_one_cookie_field(secure: SecureStand) -> None:
    secure.route()
    before = len(secure.engine.events())
    with raw(secure) as connection:
        connection.send(1, get("/api/a?b=c", ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("host", "lb")))
        headers, body = connection.answer(1)
    seen = json.loads(body)
    assert headers[":status"] == "200"
    forwarded = [["Host", "lb"], ["cookie", "a=1; b=2"], ["x-one", "1"], ["Via", "HTTP/2 labkit-balancer"]]
    assert seen["headers"] == forwarded
    (event,) = told(secure, before, 1)
    assert (event["version"], event["front_stream"], event["back_stream"]) == ("HTTP/2", 1, None)
    assert (event["host"], event["target"], event["status"]) == ("lb", "/api/a?b=c", 200)
    assert event["headers_received"] == [["cookie", "a=1"], ["x-one", "1"], ["cookie", "b=2"], ["host", "lb"]]
    assert event["headers_forwarded"] == forwarded
    assert (event["front"]["tls"], "tls" in event["back"], event["sni"]) == ("TLSv1.3", False, "lb")
    assert {"tls.sni", "tls.version", "http.host", "http.cookie"} <= set(event["held"])


def test_sequential_streams_share_back_connections(secure: SecureStand) -> None:
    secure.route()
    before, accepted = len(secure.engine.events()), [backend.accepted for backend in secure.backends]
    session = Session()
    answers = [session.exchange(secure.spec(f"/api/{number}")) for number in range(20)]
    session.close()
    assert [answer["stream"] for answer in answers] == list(range(1, 41, 2))
    assert [one.accepted - was for one, was in zip(secure.backends, accepted, strict=True)] == [1, 1, 0, 0]
    events = told(secure, before, 20)
    assert [event["front_stream"] for event in events] == list(range(1, 41, 2))
    assert len({event["front"]["id"] for event in events}) == 1
    assert len({event["back"]["id"] for event in events}) == 2
    for event, answer in zip(events, answers, strict=True):
        assert event["back"]["client"] == json.loads(answer["body"])["peer"]


def test_concurrent_streams_are_told_one_by_one_with_the_connection_that_carried_them(secure: SecureStand) -> None:
    secure.route()
    before = len(secure.engine.events())
    session = Session()
    answers: dict[int, dict[str, Any]] = {}

    def one(number: int) -> None:
        answers[number] = session.exchange(
            secure.spec(f"/api/{number}", method="POST", body=b"x" * number * 3000)  # up to twice a window
        )

    threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    session.close()
    events = {event["target"]: event for event in told(secure, before, 40)}
    for number, answer in answers.items():
        seen, event = json.loads(answer["body"]), events[f"/api/{number}"]
        assert (seen["length"], seen["peer"]) == (number * 3000, event["back"]["client"])
        assert event["front_stream"] == answer["stream"]
        assert event["backend"] == seen["backend"]
    assert len({answer["stream"] for answer in answers.values()}) == 40


def test_a_body_of_unknown_length_goes_on_in_chunks(secure: SecureStand) -> None:
    secure.route()
    with raw(secure) as connection:
        connection.send(1, get(method="POST"), end=False)
        connection.h2.send_data(1, b"abc")
        connection.flush()
        connection.h2.send_data(1, b"def", end_stream=True)
        connection.flush()
        seen = json.loads(connection.answer(1)[1])
    assert seen["body"] == "abcdef"
    assert ["transfer-encoding", "chunked"] in seen["headers"]


def test_trailers_are_discarded_and_the_connection_goes_on(secure: SecureStand) -> None:
    secure.route()
    with raw(secure) as connection:
        connection.send(1, get("/api/x", ("content-length", "3"), method="POST"), end=False)
        connection.h2.send_data(1, b"abc")
        connection.h2.send_headers(1, [("x-sum", "6")], end_stream=True)
        connection.flush()
        assert json.loads(connection.answer(1)[1])["body"] == "abc"
        connection.send(3, get("/api/chunked"))
        assert connection.answer(3)[1] == b"onetwo"
        connection.send(5, get("/api/y"))
        assert connection.answer(5)[0][":status"] == "200"


def test_no_route_is_a_404_on_its_stream_alone_and_head_has_no_text(secure: SecureStand) -> None:
    secure.route()
    before = len(secure.engine.events())
    with raw(secure) as connection:
        connection.send(1, get("/none"))
        headers, body = connection.answer(1)
        assert headers[":status"] == "404"
        assert b"no route of the balancer matches /none" in body
        connection.send(3, get("/none", method="HEAD"))
        headers, body = connection.answer(3)
        assert (headers[":status"], int(headers["content-length"]) > 0, body) == ("404", True, b"")
        connection.send(5, get())
        assert connection.answer(5)[0][":status"] == "200"
    events = told(secure, before, 3)
    assert [(event["status"], event["back"] is None) for event in events] == [(404, True), (404, True), (200, False)]


def test_a_backend_that_was_down_is_tried_again_on_the_same_connection(secure: SecureStand) -> None:
    secure.route(Route("*", "gone"), gone=NOBODY)
    before = len(secure.engine.events())
    with raw(secure) as connection:
        for stream in (1, 3):
            connection.send(stream, get())
            headers, body = connection.answer(stream)
            assert headers[":status"] == "502"
            assert f"cannot reach gone ({NOBODY} port {secure.listeners[0].port})".encode() in body
        late = Backend("gone", NOBODY, secure.listeners[0].port)
        try:
            connection.send(5, get())
            assert json.loads(connection.answer(5)[1])["backend"] == "gone"
        finally:
            late.close()
    events = told(secure, before, 3)
    assert [(event["status"], event["backend"]) for event in events] == [(502, "gone"), (502, "gone"), (200, "gone")]


def test_an_idle_back_connection_that_the_backend_closed_is_not_used_again(secure: SecureStand) -> None:
    closed: list[int] = []

    def once(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        connection.shutdown(socket.SHUT_WR)
        closed.append(connection.fileno())

    secure.route(Route("*", "odd"), odd=NOBODY)
    with scripted(NOBODY, secure.listeners[0].port, once), raw(secure) as connection:
        for number in range(3):
            connection.send(2 * number + 1, get())
            assert connection.answer(2 * number + 1)[1] == b"hi"
            while len(closed) <= number:
                threading.Event().wait(0.01)
            secure.engine.routes()  # the proxy has turned to its sockets since


@pytest.mark.parametrize(
    "headers",
    [
        [(":method", "GET"), (":path", "/"), (":authority", "lb")],
        [*get(), ("host", "other")],
        [*get(), ("transfer-encoding", "chunked")],
        [*get(), ("x bad", "1")],
        [*get(), ("UPPER", "1")],
        [(":method", "CONNECT"), (":authority", "lb:80")],
    ],
    ids=["no scheme", "two hosts", "transfer-encoding", "space in a name", "upper case", "CONNECT"],
)
def test_what_is_no_request_is_refused_and_on_record(secure: SecureStand, headers: list[tuple[str, str]]) -> None:
    secure.route()
    before, accepted = len(secure.engine.events()), [backend.accepted for backend in secure.backends]
    with raw(secure) as connection:
        connection.send(1, headers)
        answer, _ = connection.answer(1)
    assert ":goaway" in answer or ":reset" in answer or answer[":status"] == "400"
    (event,) = told(secure, before, 1)
    assert event["version"] == "HTTP/2"
    assert event["error"]
    assert event["back"] is None
    assert [backend.accepted for backend in secure.backends] == accepted
    assert secure.ask("/api/x")["status"] == 200, "the proxy goes on"


def pseudo(**changed: str) -> list[tuple[str, str]]:
    """A request's pseudo-headers, some of them changed, or left out where there is nothing."""
    usual = {"method": "GET", "scheme": "https", "authority": "lb", "path": "/api/x"} | changed
    return [(f":{name}", value) for name, value in usual.items() if value]


WRONG = {
    "CR in a value": [*get(), ("x", "1\r2")],
    "LF in a value": [*get(), ("x", "1\nhost: evil")],
    "NUL in a value": [*get(), ("x", "1\x002")],
    "another control in a value": [*get(), ("x", "1\x0b2")],
    "CRLF in a name": [*get(), ("x: 1\r\ny", "2")],
    "a bracket in a name": [*get(), ("x(y)", "1")],
    "a colon in a name": [*get(), ("x:y", "1")],
    "connection": [*get(), ("connection", "close")],
    "upgrade": [*get(), ("upgrade", "h2c")],
    "two lengths": [*get(method="POST"), ("content-length", "0"), ("content-length", "5")],
    "a signed length": [*get(method="POST"), ("content-length", "+5")],
    "a length without a body": [*get(method="POST"), ("content-length", "5")],
    "two Hosts": [*pseudo(authority=""), ("host", "lb"), ("host", "evil")],
    "two of the same": [*get(), ("host", "lb"), ("host", "lb")],
    "no host at all": pseudo(authority=""),
    "a bad Host alone": [*pseudo(authority=""), ("host", "lb evil")],
    "space in the method": pseudo(method="GET /evil"),
    "CRLF in the method": pseudo(method="GET / HTTP/1.1\r\nX: 1\r\n\r\nGET"),
    "no token for a method": pseudo(method="GE(T"),
    "space in the path": pseudo(path="/api/x HTTP/1.1"),
    "CRLF in the path": pseudo(path="/api/x HTTP/1.1\r\nX: 1"),
    "control in the path": pseudo(path="/api/\x01"),
    "letters beyond ASCII in the path": pseudo(path="/api/\u00e9"),
    "a fragment": pseudo(path="/api/x#y"),
    "a path without a slash": pseudo(path="api/x"),
    "a whole URI for a path": pseudo(path="https://lb/api/x"),
    "* for GET": pseudo(path="*"),
    "userinfo in the authority": pseudo(authority="me@lb"),
    "space in the authority": pseudo(authority="lb evil"),
    "a list for an authority": pseudo(authority="lb,evil"),
    "a path in the authority": pseudo(authority="lb/evil"),
    "another scheme": pseudo(scheme="file"),
    "two paths": [*get(), (":path", "/api/y")],
}


def test_what_could_be_read_otherwise_in_http1_ends_here_and_is_on_record(secure: SecureStand) -> None:
    secure.route()
    before, accepted = len(secure.engine.events()), [backend.accepted for backend in secure.backends]
    for name, headers in WRONG.items():
        with raw(secure) as connection:
            connection.send(1, headers)
            answer, _ = connection.answer(1)
        assert ":goaway" in answer or answer[":status"] == "400", (name, answer)
    events = told(secure, before, len(WRONG))
    assert len(events) == len(WRONG)
    for event in events:
        assert event["error"]
        assert event["back"] is None
    assert [backend.accepted for backend in secure.backends] == accepted
    assert secure.ask("/api/x")["status"] == 200, "the proxy goes on"


def test_a_body_that_is_longer_or_shorter_than_announced_reaches_no_backend(secure: SecureStand) -> None:
    secure.route()
    before, accepted = len(secure.engine.events()), [backend.accepted for backend in secure.backends]
    for body in (b"abc", b"abcdefg"):
        with raw(secure) as connection:
            connection.h2.config.validate_outbound_headers = False
            connection.send(1, get("/api/x", ("content-length", "5"), method="POST"), end=False)
            connection.h2.send_data(1, body, end_stream=True)
            connection.flush()
            answer, _ = connection.answer(1)
        assert ":goaway" in answer or ":reset" in answer or answer[":status"] == "400"
    for event in told(secure, before, 2):
        assert (event["back"], bool(event["error"])) == (None, True)
    assert [backend.accepted for backend in secure.backends] == accepted


def test_options_for_the_server_as_a_whole_may_ask_for_a_star(secure: SecureStand) -> None:
    secure.route(Route("*", "api"))
    with raw(secure) as connection:
        connection.send(1, pseudo(method="OPTIONS", path="*"))
        headers, body = connection.answer(1)
    assert (headers[":status"], json.loads(body)["target"]) == ("200", "*")


def test_a_connection_without_a_request_is_closed_when_it_was_idle_too_long(secure: SecureStand) -> None:
    secure.route(limits=Limits(idle_seconds=0.3))
    with raw(secure) as connection:
        connection.send(1, get())
        assert connection.answer(1)[0][":status"] == "200"
        assert connection.answer(3)[0] == {":goaway": "0"}
    secure.route()


def test_who_begins_no_handshake_is_cut_off(secure: SecureStand) -> None:
    secure.route(limits=Limits(header_seconds=0.2))
    with socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=5) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(100) == b""
    assert secure.ask("/api/x")["status"] == 200
    secure.route()


def test_a_client_that_gives_up_a_stream_is_on_record_and_goes_on_with_others(secure: SecureStand) -> None:
    secure.route()
    before = len(secure.engine.events())
    with raw(secure) as connection:
        connection.send(1, get("/api/x", ("content-length", "5"), method="POST"), end=False)
        connection.h2.reset_stream(1, 8)
        connection.flush()
        connection.send(3, get())
        assert connection.answer(3)[0][":status"] == "200"
    events = {event["front_stream"]: event for event in told(secure, before, 2)}
    assert (events[1]["status"], "CANCEL" in events[1]["error"]) == (None, True)
    assert (events[3]["status"], events[3]["error"]) == (200, None)


def test_large_bodies_pass_both_ways(secure: SecureStand) -> None:
    secure.route()
    size = 3_000_000
    session = Session()
    assert session.exchange(secure.spec(f"/api/bytes/{size}"))["body"] == b"x" * size
    answer = session.exchange(secure.spec("/api/x", method="POST", body=b"y" * size))
    assert json.loads(answer["body"])["length"] == size
    answer = session.exchange(secure.spec("/none", method="POST", body=b"y" * size))
    assert answer["status"] == 404
    assert session.exchange(secure.spec("/api/x"))["status"] == 200
    session.close()
