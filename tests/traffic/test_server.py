"""The server task: its paths, its echoes, how it starts and how it ends."""

import json
import time

import pytest

from labkit.errors import TaskError

pytestmark = pytest.mark.measured


@pytest.mark.parametrize("size", [0, 1, 65_550, 65_551, 5_000_000])
def test_bytes_are_exactly_as_many(alice, api1, size):
    reply = alice.get(f"http://api1/bytes/{size}")
    assert (reply.status, len(reply.content), reply.backend) == (200, size, "api1")
    assert reply.headers["content-length"] == str(size)


@pytest.mark.parametrize(
    "path", ["bytes/33554433", "bytes/x", "bytes/-1", "status/199", "status/600", "status/x", "slow/301", "slow/nan"]
)
def test_bounds(alice, api1, path):
    reply = alice.get(f"http://api1/{path}")
    assert (reply.status, reply.backend) == (400, "api1")
    assert "bytes 0-33554432, status 200-599, slow 0-300" in reply.text


@pytest.mark.parametrize("status", [200, 204, 205, 304, 404, 503, 599])
def test_any_status(alice, api1, status):
    with alice.session() as session:
        reply = session.get(f"http://api1/status/{status}", headers={"x": "y"})
        assert (reply.status, reply.backend) == (status, "api1")
        told = None if status in (204, 205, 304) else f"/status/{status}"
        assert (reply.received or {}).get("target") == told
        assert session.get("http://api1/").local == reply.local  # the answer was framed right


def test_slow_is_slow(alice, api1):
    reply = alice.get("http://api1/slow/0.2?x")
    assert reply.seconds >= 0.2
    assert reply.received["target"] == "/slow/0.2?x"


def test_exact_requests_over_one_connection(alice, api1):
    """Absolute form, HTTP/1.0, odd spacing, a chunked body with trailers, pipelined: each told as it came."""
    with alice.tcp("api1", 80) as conn:
        conn.send(
            b"GET http://x/abs?q HTTP/1.1\r\nhost:x\r\nX-Two:   b  \r\n\r\n"
            b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\n\r\n"
            b"GET /last HTTP/1.0\r\n\r\n"
        )
        stream = b""
        while piece := conn.recv():
            stream += piece
    told = [json.loads(line) for line in stream.splitlines() if line.startswith(b"{")]
    assert [(one["method"], one["target"], one["version"], one["headers"], one["body"]) for one in told] == [
        ("GET", "http://x/abs?q", "HTTP/1.1", [["host", "x"], ["X-Two", "b"]], ""),
        ("POST", "/chunks", "HTTP/1.1", [["Host", "x"], ["Transfer-Encoding", "chunked"]], "abc"),
        ("GET", "/last", "HTTP/1.0", [], ""),
    ]
    assert {tuple(one["peer"]) for one in told} == {tuple(conn.local)}


def test_forwarded_headers_do_not_change_the_peer(alice, api1):
    reply = alice.get("http://api1/", headers={"X-Forwarded-For": "9.9.9.9"})
    assert reply.received["peer"] == reply.local


def test_what_is_not_http_is_refused_and_named(alice, api1):
    with alice.tcp("api1", 80) as conn:
        conn.send("nonsense\r\n\r\n")
        answer = conn.recv()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-backend: api1" in answer


def test_tcp_echo_answers_each_line_and_the_rest(alice, api1):
    with alice.tcp("api1", 7) as conn:
        conn.send(b"one\ntwo\r\n\xff")
        told = [json.loads(conn.readline()) for _ in range(3)]
        assert [(one["data"], one["encoding"]) for one in told] == [
            ("one\n", "text"), ("two\r\n", "text"), ("/w==", "base64")
        ]  # fmt: skip
        assert all((one["backend"], one["peer"]) == ("api1", conn.local) for one in told)


@pytest.mark.parametrize("address", ["127.0.0.11", "127.0.0.77", "::1"])
def test_udp_echo_answers_from_the_address_it_was_sent_to(alice, api1, address):
    sock = alice.udp(address, 7)
    sock.send("ping")
    assert json.loads(sock.recv()) == {"backend": "api1", "peer": sock.local, "data": "ping", "encoding": "text"}
    sock.send(b"\x00" * 60_000)  # its base64 would be too long
    assert "too long" in json.loads(sock.recv())["error"]
    sock.close()


def test_a_port_in_use_reaches_the_owner(node, api1):
    for port, kind in (("http_port", "TCP port 80"), ("udp_port", "UDP port 7")):
        ports = {"http_port": 0, "tcp_port": 0, "udp_port": 0, port: int(kind.split()[-1])}
        task = node.start("labkit.traffic.server:main", name="api9", **ports)
        assert f"TaskError: api9 cannot serve {kind}: Address already in use" in task.wait(10)


def test_ports_may_be_chosen_and_sigterm_ends_it_at_once_whatever_goes_on(alice, node):
    task = node.start("labkit.traffic.server:main", name="api9", http_port=0, tcp_port=0, udp_port=0)
    ports = task.receive(10)["ready"]
    assert len(set(ports.values())) >= 2
    with alice.websocket(f"ws://localhost:{ports['http']}/ws/x"), alice.tcp("localhost", ports["http"]) as conn:
        conn.send("GET /slow/60 HTTP/1.1\r\nHost: x\r\n\r\n")
        conn.send("GET /never HTTP/1.1\r\n")
        began = time.monotonic()
        task.stop()
        assert not task.running
        assert time.monotonic() - began < 1.0  # SIGKILL would come after one second
        assert conn.recv() == b""


def test_the_delay_is_for_http_websocket_tcp_and_udp(alice, node):
    task = node.start("labkit.traffic.server:main", name="api9", http_port=0, tcp_port=0, udp_port=0, delay=0.15)
    ports = task.receive(10)["ready"]
    took = []
    ws = alice.websocket(f"ws://localhost:{ports['http']}/ws/x")
    with ws, alice.tcp("localhost", ports["tcp"]) as tcp, alice.udp("localhost", ports["udp"]) as udp:
        for opened in (ws, tcp, udp):
            began = time.monotonic()
            opened.send("x")
            opened.recv()
            took.append(time.monotonic() - began)
    took += [alice.get(f"http://localhost:{ports['http']}/").seconds, ws.seconds]
    assert min(took) >= 0.15
    task.send({"op": "slow", "seconds": 0})
    assert task.receive(5) == {"slow": 0.0}
    task.stop()
    with pytest.raises(TaskError):
        task.send({})
