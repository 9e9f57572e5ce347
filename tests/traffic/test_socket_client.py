"""TCP and UDP from inside a host."""

import json

import pytest

from labkit.errors import TrafficError
from tests.interrupt import interrupted
from tests.traffic.peers import running

pytestmark = pytest.mark.measured


def test_a_connection_reads_in_any_portions(alice, node):
    with running(node, "canned", port=8020, connections=[[b"one\ntwo\nrest"]]):
        with alice.tcp("127.0.0.50", 8020) as conn:
            conn.sendall("ask\r\n\r\n")
            assert conn.recv(2) == b"on"
            assert [conn.readline(), conn.readline(), conn.readline(), conn.recv()] == [b"e\n", b"two\n", b"rest", b""]
            assert conn.recv() == b""
        assert repr(conn) == "<TCP 127.0.0.50 port 8020 of alice>"


@pytest.mark.parametrize(
    ("host", "port", "cause"),
    [("api1", 81, "refused"), ("nobody", 7, "unknown host"), ("api1", 0, "bad port"), ("10.99.0.1", 7, "unreachable")],
)
def test_failed_connections(alice, api1, host, port, cause):
    with pytest.raises(TrafficError) as failed:
        alice.tcp(host, port)
    assert failed.value.cause == cause


def test_a_reset_is_told(alice, node):
    with running(node, "canned", port=8021, connections=[[b"RESET"]]), alice.tcp("127.0.0.50", 8021) as conn:
        conn.send("x\r\n\r\n")
        with pytest.raises(TrafficError) as failed:
            conn.recv()
        assert failed.value.cause == "reset"


def test_an_interrupted_wait_loses_nothing(alice, api1):
    with alice.tcp("api1", 7) as conn:
        with pytest.raises(KeyboardInterrupt), interrupted(0.2):
            conn.recv()
        conn.send("a\n")
        conn.send("b\n")
        assert [json.loads(conn.readline())["data"] for _ in range(2)] == ["a\n", "b\n"]
        with pytest.raises(TrafficError) as failed:
            conn.recv(timeout=0.1)
        assert failed.value.cause == "timed out"


def test_udp_hears_that_nobody_listens(alice, api1):
    with alice.udp("127.0.0.1", 9) as sock:
        sock.send("x")
        with pytest.raises(TrafficError) as failed:
            sock.recv()
        assert failed.value.cause == "refused"
    with pytest.raises(TrafficError) as failed:
        alice.udp("10.99.0.1", 9)
    assert failed.value.cause == "unreachable"


@pytest.mark.parametrize("data", [5, True, None, [1, 2], {}, object(), "\udc80"])
def test_only_text_and_bytes_are_sent(alice, api1, data):
    for conn in (alice.tcp("api1", 7), alice.udp("api1", 7)):
        with conn:
            with pytest.raises(TrafficError, match=r"is text or bytes, not|half a character"):
                conn.send(data)
            conn.send(bytearray(b"a\n"))
            conn.send(memoryview(b"b\n"))
            assert json.loads(conn.recv().splitlines()[0])["data"] == "a\n"  # and nothing before it


def test_wrong_places_sizes_and_amounts_are_lessons(alice, api1):
    for host, port, words in (
        ("\udc80", 7, "a host has half a character"),
        (5, 7, "a host is text"),
        ("api1", 2**70, "does not exist"),
        ("x" * 100_000, 7, "no host called"),
    ):
        for connect in (alice.tcp, alice.udp):
            with pytest.raises(TrafficError, match=words) as error:
                connect(host, port)
            assert len(str(error.value)) < 600
    with alice.tcp("api1", 7) as conn:
        for size in (0, -1, None, "1", True):
            with pytest.raises(TrafficError, match="size is a whole number from 1"):
                conn.recv(size)
        with pytest.raises(TrafficError, match="is over the"):
            conn.send(bytes(65 * 1024 * 1024))


def test_a_datagram_has_a_greatest_length(alice, api1):
    with alice.udp("api1", 7) as sock, pytest.raises(TrafficError) as failed:
        sock.send(bytes(70_000))
    assert failed.value.cause == "too long"
