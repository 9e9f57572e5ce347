"""WebSockets, from the client's and the backend's side."""

import pytest

from labkit.errors import TrafficError
from tests.interrupt import interrupted
from tests.traffic.peers import running

pytestmark = pytest.mark.measured


def test_text_and_binary_come_back_as_they_went(alice, api1):
    with alice.websocket("ws://api1/ws/chat?room=1", headers={"X-Who": "alice"}) as ws:
        for message in ("hi", b"\x00\xff", "", "x" * 2_000_000):
            ws.send(message)
            assert ws.recv() == message
        assert ws.backend == "api1"
        assert ws.headers["upgrade"] == "websocket"
        assert ws.remote == ["127.0.0.11", 80]
    with pytest.raises(TrafficError, match="closed on this side"):
        ws.send("more")


def test_a_refused_upgrade_names_the_status(alice, api1):
    with pytest.raises(TrafficError) as failed:
        alice.websocket("ws://api1/api/x")
    assert failed.value.cause == "status 404"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://api1/ws/x", "bad url"),
        ("ws://api1:7/ws/x", "no upgrade"),
        ("ws://api1:81/", "refused"),
        ("ws://nobody/", "unknown host"),
    ],
)
def test_wrong_targets(alice, api1, url, cause):
    with pytest.raises(TrafficError) as failed:
        alice.websocket(url)
    assert failed.value.cause == cause


def test_a_silent_server_times_out(alice, node):
    with running(node, "mute", port=8010, count=1), pytest.raises(TrafficError) as failed:
        alice.websocket("ws://127.0.0.51:8010/", timeout=0.3)
    assert failed.value.cause == "timed out"


def test_waiting_ends_with_the_timeout_or_the_interrupt_and_loses_nothing(alice, api1):
    with alice.websocket("ws://api1/ws/x") as ws:
        with pytest.raises(TrafficError) as failed:
            ws.recv(timeout=0.1)
        assert failed.value.cause == "timed out"
        with pytest.raises(KeyboardInterrupt), interrupted(0.2):
            ws.recv()
        ws.send("first")
        ws.send("second")
        assert [ws.recv(), ws.recv()] == ["first", "second"]


def test_the_end_is_seen(alice, spare):
    backend = spare(8011)
    backend.restore()
    ended = alice.websocket("ws://api2:8011/ws/x")
    backend.kill()
    with pytest.raises(TrafficError) as failed:
        ended.recv()
    assert failed.value.cause == "reset"
    with pytest.raises(TrafficError):
        ended.send("x")

    async def closer(scope, receive, send):
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "bye"})
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})

    backend.serve(closer)
    assert list(alice.websocket("ws://api2:8011/")) == ["bye"]
    ws = alice.websocket("ws://api2:8011/")
    ws.recv()
    with pytest.raises(TrafficError, match="code 4001: enough"):
        ws.recv()


def test_only_text_and_bytes(alice, api1):
    with alice.websocket("ws://api1/ws/x") as ws, pytest.raises(TrafficError, match="text or bytes, not int"):
        ws.send(5)


def test_bytes_of_any_kind_are_binary_and_half_characters_are_refused(alice, api1):
    with alice.websocket("ws://api1/ws/x") as ws:
        for data in (bytearray(b"x"), memoryview(b"x")):
            ws.send(data)
            assert ws.recv() == b"x"
        with pytest.raises(TrafficError, match="half a character"):
            ws.send("\udc80")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"a": "b\r\nc: d"}, "has a line end"),
        ({"a\r\nb": "c"}, "is not a header name"),
        ({"": "c"}, "is not a header name"),
        ({"a": "→"}, "cannot be sent in a header"),
        ({"a": None}, "is text, not None"),
        ({"a": "\udc80"}, "half a character"),
        ({"Host": "shop"}, "writes Host itself: leave it out"),
    ],
)
def test_headers_that_would_break_the_upgrade_are_lessons(alice, node, headers, words):
    with running(node, "mute", port=8012, count=0), pytest.raises(TrafficError, match=words):
        alice.websocket("ws://127.0.0.51:8012/", headers=headers)
