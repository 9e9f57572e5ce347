"""TCP and UDP from inside a host."""

import json

import pytest

from labkit.errors import TrafficError
from tests.traffic.peers import interrupted, running


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


def test_a_datagram_has_a_greatest_length(alice, api1):
    with alice.udp("api1", 7) as sock, pytest.raises(TrafficError) as failed:
        sock.send(bytes(70_000))
    assert failed.value.cause == "too long"
