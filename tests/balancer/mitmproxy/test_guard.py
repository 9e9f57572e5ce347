"""What the guard does beside framing: deadlines, turns, upgrades, and what a refusal leaves alone."""

import json
import select
import socket
import time
from collections.abc import Callable
from itertools import batched
from threading import Event

import pytest

from labkit.balancer.limits import Limits
from labkit.balancer.policy import Route

from .conftest import Stand
from .harness import Client, scripted

pytestmark = pytest.mark.measured

SCRIPTED = "127.0.0.78"
GOOD = b"GET /api/x HTTP/1.1\r\nHost: lb\r\n\r\n"
BAD = b"GET /api/x HTTP/1.1\r\nHost: lb\r\nHost: lb\r\n\r\n"
CHUNKED = b"POST /api/x HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n"
SWIFT = Limits(header_seconds=0.15, body_seconds=0.15)


def until(true: Callable[[], object]) -> None:
    """Wait until *true*; 5 s at most."""
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came about")


@pytest.mark.parametrize(
    ("sent", "waited_for"),
    [
        (b"GET /api/x HTTP/1.1\r\nHos", "head"),
        (GOOD[:-2], "head"),
        (b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: 5\r\n\r\nabc", "body"),
        (CHUNKED + b"3\r\nabc\r\n", "body"),
    ],
    ids=["half a line", "half a head", "half a body", "half the chunks"],
)
def test_what_does_not_come_in_time_is_answered_408_before_any_backend(
    stand: Stand, sent: bytes, waited_for: str
) -> None:
    stand.route(limits=SWIFT)

    def act() -> None:
        with stand.client() as client:
            client.send(sent)
            began = time.monotonic()
            status, headers, _ = client.reply()
            assert (status, headers["connection"]) == (408, "close")
            assert 0.1 < time.monotonic() - began < 2
            assert client.at_end()

    (event,) = stand.during(act)
    assert (event["status"], event["backend"], event["back"]) == (408, None, None)
    assert event["error"] == f"RFC 9110 §15.5.9: the request's {waited_for} did not come in time"


def test_a_head_may_not_take_longer_by_coming_in_drops_and_a_body_may(stand: Stand) -> None:
    stand.route(limits=Limits(header_seconds=0.3, body_seconds=0.4))
    head = b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: 5\r\n\r\n"
    with stand.client() as client:
        for part in batched(head[:-2], 12):
            client.send(bytes(part))
            time.sleep(0.1)
        assert client.reply()[0] == 408
    with stand.client() as client:
        client.send(head)
        for part in batched(b"abcde", 1):
            client.send(bytes(part))
            time.sleep(0.12)
        assert json.loads(client.reply()[2])["body"] == "abcde"


def test_an_idle_connection_is_closed_without_a_word_and_without_a_record(stand: Stand) -> None:
    stand.route(limits=Limits(idle_seconds=0.4))

    def act() -> None:
        with stand.client() as unused, stand.client() as kept:
            for _ in range(2):
                kept.send(GOOD)
                assert kept.reply()[0] == 200
            assert kept.at_end()
            assert unused.at_end()

    events = stand.during(act)
    assert [event["status"] for event in events] == [200, 200]


def test_an_answer_that_takes_long_is_waited_for(stand: Stand) -> None:
    def slowly(connection: socket.socket) -> None:
        connection.recv(1000)
        time.sleep(0.4)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with scripted(SCRIPTED, stand.port, slowly):
        stand.route(Route("*", "slow"), limits=SWIFT, slow=SCRIPTED)
        assert stand.ask(GOOD)[2] == b"hi"


def test_a_backend_that_reads_slowly_is_no_fault_of_the_client(stand: Stand) -> None:
    size = 20_000_000
    received: list[int] = []

    def reads(connection: socket.socket) -> None:
        time.sleep(0.5)
        total = 0
        while total < size:
            total += len(connection.recv(1 << 20))
        received.append(total)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with scripted(SCRIPTED, stand.port, reads):
        stand.route(Route("*", "slow"), limits=SWIFT, slow=SCRIPTED)
        with stand.client() as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: lb\r\nContent-Length: %d\r\n\r\n" % size)
            client.send(b"x" * size)
            assert client.reply()[2] == b"hi"
    assert received[0] >= size


def test_a_refusal_follows_the_answers_before_it_and_nothing_follows_it(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(GOOD + GOOD + BAD + GOOD)
        assert [client.reply()[0] for _ in range(3)] == [200, 200, 400]
        assert client.at_end()


def test_other_connections_do_not_notice(stand: Stand) -> None:
    stand.route()
    with stand.client() as other:
        other.send(GOOD[:20])
        with stand.client() as client:
            client.send(BAD)
            assert client.reply()[0] == 400
        other.send(GOOD[20:])
        assert other.reply()[0] == 200


def test_a_refused_client_that_goes_on_sending_still_gets_the_answer(stand: Stand) -> None:
    """Closing at once would reset the connection, and a reset discards what has not been read (RFC 9112 §9.6)."""
    stand.route()
    with stand.client() as client:
        client.send(b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: x\r\n\r\n")
        select.select([client.socket], [], [], 5)  # the answer is there
        for _ in range(3):
            client.send(b"x" * 5000)
            time.sleep(0.02)
        assert client.reply()[0] == 400
        assert client.at_end()


def test_one_who_does_not_close_after_a_refusal_is_cut_off(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(BAD)
        assert client.reply()[0] == 400
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            _drip(client, 5)
        assert time.monotonic() - began < 3


def _drip(client: Client, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        client.send(b"x")
        time.sleep(0.02)


def test_a_bad_chunk_far_into_a_body_breaks_the_request_off_at_the_backend(stand: Stand) -> None:
    received = bytearray()
    closed = Event()

    def keeps(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            received.extend(data)
        closed.set()

    with scripted(SCRIPTED, stand.port, keeps):
        stand.route(Route("*", "odd"), odd=SCRIPTED)

        def act() -> None:
            with stand.client() as client:
                client.send(CHUNKED + b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
                until(lambda: len(received) > 0x20000)
                client.send(b"-1\r\n" + GOOD)
                assert client.reply()[0] == 400
                assert client.at_end()

        (event,) = stand.during(act)
        assert closed.wait(5)
    assert (event["status"], event["backend"]) == (400, "odd")
    assert event["error"].startswith("RFC 9112 §7.1")
    assert not received.endswith(b"0\r\n\r\n")
    assert b"GET" not in received


def test_what_follows_an_upgrade_waits_for_the_answer(stand: Stand) -> None:
    upgrade = b"GET /x HTTP/1.1\r\nHost: lb\r\nConnection: Upgrade\r\nUpgrade: own/1\r\n\r\n"
    seen: list[bytes] = []

    def switches(connection: socket.socket) -> None:
        seen.append(connection.recv(1000))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)  # nothing comes before it agrees
        connection.settimeout(5)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own/1\r\n\r\n")
        seen.append(connection.recv(1000))
        connection.sendall(b"\x01own")

    with scripted(SCRIPTED, stand.port, switches):
        stand.route(Route("*", "odd"), odd=SCRIPTED)
        with stand.client() as client:
            client.send(upgrade + b"\x00\x01raw\n")
            assert client.head()[0] == 101
            assert client.read(4) == b"\x01own"
    assert seen == [upgrade[:-2] + b"Via: HTTP/1.1 labkit-balancer\r\n\r\n", b"\x00\x01raw\n"]


def test_small_chunks_are_held_when_the_decision_falls_and_many_are_streamed(stand: Stand) -> None:
    stand.route()
    for count, held in ((3, True), (300, False)):
        raw = CHUNKED + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * count + b"0\r\n\r\n"
        (event,) = stand.during(lambda raw=raw, count=count: _echoed(stand, raw, count * 1000))  # type: ignore[misc]
        assert event["status"] == 200
        assert ("http.body" in event["held"]) is held


def _echoed(stand: Stand, raw: bytes, length: int) -> None:
    assert json.loads(stand.ask(raw)[2])["length"] == length


def test_many_chunks_without_a_route_are_thrown_away_and_answered(stand: Stand) -> None:
    stand.route()
    raw = CHUNKED.replace(b"/api/x", b"/none") + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 300 + b"0\r\n\r\n"
    with stand.client() as client:
        client.send(raw + GOOD)
        assert [client.reply()[0], client.reply()[0]] == [404, 200]


def test_no_more_is_read_ahead_than_fits(stand: Stand) -> None:
    """A client that sends on and on while it waits for an answer is slowed down, not collected."""
    go = Event()

    def waits(connection: socket.socket) -> None:
        connection.recv(1000)
        go.wait(5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with scripted(SCRIPTED, stand.port, waits):
        stand.route(Route("/x", "slow"), limits=Limits(), slow=SCRIPTED)
        with Client("127.0.0.1", stand.port) as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n")
            client.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.socket.sendall((b"GET /none HTTP/1.1\r\nHost: lb\r\nX: " + b"x" * 4000 + b"\r\n\r\n") * 16_000)
            go.set()
            client.socket.settimeout(5)
            assert client.reply()[2] == b"hi"
            assert client.reply()[0] == 404
