"""What HTTP/2 clients may not ask or do: each ends on its stream, or with its connection, and is on record."""

import json

import pytest

from labkit.balancer.limits import Limits
from labkit.balancer.policy import Route

from .raw_http2 import get, pseudo, raw, told
from .secure import SecureStand

pytestmark = pytest.mark.measured


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


def test_a_body_that_stalls_is_answered_408_on_its_stream_alone(secure: SecureStand) -> None:
    secure.route(limits=Limits(body_seconds=0.3))
    before, accepted = len(secure.engine.events()), [backend.accepted for backend in secure.backends]
    with raw(secure) as connection:
        connection.send(1, get("/api/x", ("content-length", "5"), method="POST"), end=False)
        connection.h2.send_data(1, b"abc")
        connection.flush()
        headers, body = connection.answer(1)
        assert (headers[":status"], b"RFC 9110" in body) == ("408", True)
        (event,) = told(secure, before, 1)
        assert (event["status"], event["back"], event["front_stream"]) == (408, None, 1)
        assert [backend.accepted for backend in secure.backends] == accepted
        connection.h2.send_data(1, b"de", end_stream=True)
        connection.flush()
        connection.send(3, get())
        assert connection.answer(3)[0][":status"] == "200"
    secure.route()


def test_a_connection_without_a_request_is_closed_when_it_was_idle_too_long(secure: SecureStand) -> None:
    secure.route(limits=Limits(idle_seconds=0.3))
    with raw(secure) as connection:
        connection.send(1, get())
        assert connection.answer(1)[0][":status"] == "200"
        assert connection.answer(3)[0] == {":goaway": "0"}
    secure.route()
