"""WebSockets through the proxy, and the floor under its crashes."""

import json
from collections.abc import Iterator
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from labkit.balancer.policy import L7Policy, Route

from .conftest import Stand

ECHO = "127.0.0.88"


@pytest.fixture
def echo(stand: Stand) -> Iterator[str]:
    """A WebSocket echo server; `stand` sends everything to it."""

    def talk(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve_websockets(talk, ECHO, stand.port) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stand.route(Route("*", "echo"), echo=ECHO)
        yield f"ws://127.0.0.1:{stand.port}/ws/chat"
        server.shutdown()
        thread.join(5)


def test_a_websocket_passes_and_goes_on_under_another_policy(stand: Stand, echo: str) -> None:
    before = len(stand.engine.events())
    with connect(echo) as websocket:
        websocket.send("one")
        assert websocket.recv(5) == "one"
        (event,) = stand.engine.events()[before:]
        stand.route()
        websocket.send(b"two")
        assert websocket.recv(5) == b"two"
    assert (event["status"], event["websocket"], event["backend"], event["rule"]) == (101, True, "echo", "*")
    assert event["front"]["client"] != event["back"]["client"]
    assert len(stand.engine.events()[before:]) == 1, "its end is no second request"


def test_an_upgrade_without_a_route_is_refused_before_any_backend(stand: Stand) -> None:
    stand.route()
    accepted = [backend.accepted for backend in stand.backends.values()]
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n"
    assert stand.ask(b"GET /ws/chat HTTP/1.1\r\nHost: lb\r\n" + upgrade + b"\r\n")[0] == 404
    assert [backend.accepted for backend in stand.backends.values()] == accepted


def test_broken_frames_end_one_websocket_and_nothing_else(stand: Stand, echo: str) -> None:
    with connect(echo) as good, connect(echo) as bad:
        bad.socket.sendall(b"\xff\xff\xff\xff\xff\xff")
        with pytest.raises(ConnectionClosed):
            bad.recv(5)
        good.send("still here")
        assert good.recv(5) == "still here"


def test_a_failure_inside_the_proxy_is_answered_500_and_on_record(stand: Stand) -> None:
    """A pool that a policy forgot is the one mistake that reaches the router and that no plan would make."""
    stand.engine.apply(L7Policy((stand.listener,), (Route("*", "forgotten"),), {}))

    def act() -> None:
        status, headers, body = stand.ask(b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert (status, headers["connection"]) == (500, "close")
        assert b"balancer failed" in body

    (event,) = stand.during(act)
    assert "KeyError" in event["error"]
    assert event["status"] == 500
    stand.route()
    assert json.loads(stand.ask(b"GET /api/x HTTP/1.1\r\nHost: lb\r\n\r\n")[2])["backend"] == "api1"
