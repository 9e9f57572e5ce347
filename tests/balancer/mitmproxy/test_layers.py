"""Messages and failures that break or silence mitmproxy: each is answered, passed on, and put on record."""

import json
import socket
import time

import pytest

from labkit.balancer.policy import Route

from .conftest import NOBODY, Stand
from .harness import scripted

pytestmark = pytest.mark.measured

SCRIPTED = "127.0.0.77"


def test_a_backend_that_is_down_is_a_502_that_names_it(stand: Stand) -> None:
    stand.route(Route("*", "gone"), gone=NOBODY)
    replies = []
    (event,) = stand.during(lambda: replies.append(stand.ask(b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n")))
    status, _, body = replies[0]
    assert status == 502
    assert f"cannot reach gone ({NOBODY} port {stand.port})".encode() in body
    assert (event["status"], event["backend"], event["rule"], event["back"]) == (502, "gone", "*", None)
    assert f"cannot reach gone ({NOBODY}" in event["error"]
    stand.route()
    assert stand.ask(b"GET /api/x HTTP/1.1\r\nHost: lb\r\n\r\n")[0] == 200


def test_a_502_also_follows_100_continue_and_has_no_text_for_head(stand: Stand) -> None:
    stand.route(Route("*", "gone"), gone=NOBODY)
    with stand.client() as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: lb\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.head()[0] == 100
        client.send(b"abc")
        assert client.reply()[0] == 502
    with stand.client() as client:
        client.send(b"HEAD /x HTTP/1.1\r\nHost: lb\r\n\r\n")
        status, headers, _ = client.reply("HEAD")
        assert (status, int(headers["content-length"]) > 0, client.at_end()) == (502, True, True)


def test_expect_100_continue_is_answered_here_and_not_passed_on(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(b"POST /api/x HTTP/1.1\r\nHost: lb\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.head()[0] == 100
        client.send(b"abc")
        seen = json.loads(client.reply()[2])
    assert seen["body"] == "abc"
    assert ["Expect", "100-continue"] not in seen["headers"]


@pytest.mark.parametrize("trailer", [b"X-Sum: 6\r\n", b""], ids=["trailer", "no trailer"])
def test_trailers_of_a_request_are_discarded_and_the_connection_goes_on(stand: Stand, trailer: bytes) -> None:
    stand.route()
    raw = b"POST /api/x HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n"
    with stand.client() as client:
        for _ in range(2):
            client.send(raw)
            assert json.loads(client.reply()[2])["body"] == "abc"


def test_trailers_of_a_response_are_discarded(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        for _ in range(2):
            client.send(b"GET /api/chunked HTTP/1.1\r\nHost: lb\r\n\r\n")
            assert client.reply()[2] == b"onetwo"


def test_head_204_and_large_bodies_leave_the_connection_usable(stand: Stand) -> None:
    stand.route()
    size = 3_000_000
    with stand.client() as client:
        client.send(b"HEAD /api/bytes/100 HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert client.reply("HEAD")[1]["content-length"] == "100"
        client.send(b"GET /api/status/204 HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert client.reply()[0] == 204
        client.send(b"HEAD /none HTTP/1.1\r\nHost: lb\r\n\r\n")
        status, headers, _ = client.reply("HEAD")
        assert (status, int(headers["content-length"]) > 0) == (404, True)
        client.send(b"GET /api/bytes/%d HTTP/1.1\r\nHost: lb\r\n\r\n" % size)
        assert client.reply()[2] == b"x" * size
        client.send(b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size)
        assert json.loads(client.reply()[2])["length"] == size


def test_a_large_body_without_a_route_is_thrown_away_and_answered(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(b"POST /none HTTP/1.1\r\nHost: lb\r\nContent-Length: 1000000\r\n\r\n" + b"z" * 1_000_000)
        assert client.reply()[0] == 404
        client.send(b"GET /api/x HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert client.reply()[0] == 200


def test_a_client_that_leaves_early_is_on_record(stand: Stand) -> None:
    received = []

    def never_answers(connection: socket.socket) -> None:
        received.append(connection.recv(1000))
        connection.recv(1)  # until the proxy gives up

    with scripted(SCRIPTED, stand.port, never_answers):
        stand.route(Route("*", "slow"), slow=SCRIPTED)
        before = len(stand.engine.events())
        with stand.client() as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n")
            while not received:
                time.sleep(0.01)
        while len(events := stand.engine.events()[before:]) < 1:
            time.sleep(0.01)
    assert (events[0]["status"], events[0]["backend"]) == (None, "slow")
    assert "disconnected" in events[0]["error"]
    assert events[0]["back"]["server"] == [SCRIPTED, stand.port]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 502),
        (b"not http at all\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", 200),
    ],
    ids=["closes", "nonsense", "two lengths", "stops halfway"],
)
def test_a_bad_answer_of_a_backend_is_on_record(stand: Stand, answer: bytes, status: int) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    with scripted(SCRIPTED, stand.port, talk):
        stand.route(Route("*", "odd"), odd=SCRIPTED)
        seen: list[int] = []

        def act() -> None:
            with stand.client() as client:
                client.send(b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n")
                seen.append(client.head()[0])
                client.at_end()

        (event,) = stand.during(act)
    assert seen == [status]
    assert (event["status"], event["backend"]) == (status, "odd")
    assert event["error"]


@pytest.mark.parametrize(
    ("raw", "status", "method"),
    [
        (b"nonsense\r\n\r\n", 400, ""),
        (b"GET /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: many\r\n\r\n", 400, "GET"),
        (b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "POST"),
        (b"CONNECT lb:80 HTTP/1.1\r\nHost: lb\r\n\r\n", 400, "CONNECT"),
        (b"GET /api/x HTTP/3.1\r\nHost: lb\r\n\r\n", 505, "GET"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "PRI"),
    ],
    ids=["no request", "bad length", "length and chunked", "connect", "version", "http/2 preface"],
)
def test_a_refused_request_is_answered_in_our_words_and_on_record(
    stand: Stand, raw: bytes, status: int, method: str
) -> None:
    stand.route()
    accepted = [backend.accepted for backend in stand.backends.values()]

    def act() -> None:
        with stand.client() as client:
            client.send(raw)
            seen, headers, _ = client.reply()
            assert (seen, headers["server"], headers["connection"]) == (status, "labkit-balancer", "close")
            client.at_end()

    events = stand.during(act)
    assert (events[0]["status"], events[0]["method"], events[0]["backend"]) == (status, method, None)
    assert [backend.accepted for backend in stand.backends.values()] == accepted


def test_a_broken_chunk_is_refused_before_any_backend_and_on_record(stand: Stand) -> None:
    stand.route()

    def act() -> None:
        with stand.client() as client:
            client.send(b"POST /api/x HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
            status, headers, body = client.reply()
            assert (status, headers["connection"], b"RFC 9112 \xc2\xa77.1" in body) == (400, "close", True)
            assert client.at_end()

    (event,) = stand.during(act)
    assert (event["status"], event["method"], event["backend"], event["back"]) == (400, "POST", None, None)
    assert "RFC 9112 §7.1" in event["error"]


def test_requests_sent_in_one_go_are_answered_in_order(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(b"".join(b"GET /%s/1 HTTP/1.1\r\nHost: lb\r\n\r\n" % pool for pool in (b"api", b"images", b"api")))
        assert [json.loads(client.reply()[2])["backend"] for _ in range(3)] == ["api1", "images1", "api2"]
