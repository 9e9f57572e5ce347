"""HTTP/2 at the front of the proxy: streams, failures and odd requests, each on record; in clear at the back."""

import json
import socket
import threading
from typing import Any

import pytest

from labkit.balancer.policy import Route
from labkit.traffic.http import Session

from .conftest import NOBODY
from .harness import Backend, scripted
from .raw_http2 import get, raw, told
from .secure import SecureStand

pytestmark = pytest.mark.measured


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
