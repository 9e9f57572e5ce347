"""What is true of every proxy, whichever engine it is: its life as its owner sees it, and TLS that ends there."""

import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.mitmproxy.engine import MitmproxyEngine
from labkit.balancer.policy import Route
from labkit.errors import EngineError
from labkit.traffic.http import Session
from tests.balancer.lives import Life, ended
from tests.balancer.mitmproxy.conftest import NOBODY
from tests.balancer.mitmproxy.harness import Backend, Client, LocalNode
from tests.balancer.mitmproxy.secure import SecureStand, authority, secure_stand, under_tls

pytestmark = pytest.mark.measured

ENGINES = [MitmproxyEngine, EnvoyEngine]
STARTED_BY = {"mitmproxy": "lab.balancer.l7()", "envoy": 'lab.balancer.l7(engine="envoy")'}
ENDPOINT = {"mitmproxy": "{} port {}", "envoy": "{}:{}"}
LINES = {"TLSv1.2": 1, "TLSv1.3": 5}  # of a key log, for one handshake


@pytest.fixture(params=ENGINES, ids=lambda make: make.name)
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    with LocalNode("lb") as node:
        life = Life(node, request.param)
        yield life
    if folder := getattr(life.engine, "_folder", ""):
        shutil.rmtree(folder, ignore_errors=True)  # of a task that had to be killed


@pytest.fixture(scope="module", params=ENGINES, ids=lambda make: make.name)
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStand]:
    with secure_stand(tmp_path_factory.mktemp("certificates"), request.param) as stand:
        yield stand


def test_nothing_can_be_asked_before_the_start(life: Life) -> None:
    with pytest.raises(EngineError) as error:
        life.engine.apply(life.policy)
    assert f"was not started: call {STARTED_BY[life.engine.name]}" in str(error.value)
    assert (life.engine.events(), life.engine.secrets(0), life.engine.alive) == ([], [], False)
    life.engine.stop()


def test_stopping_is_no_death_and_may_be_repeated_with_clients_connected(life: Life) -> None:
    life.begin()
    task = life.node.task_pids()[-1]  # the one before, if any, answers calls
    watched = [os.pidfd_open(pid) for pid in (task, *life.children())]
    try:
        with Client("127.0.0.1", life.port) as client:
            client.send(b"GET /unfinished HTTP/1.1\r\n")
            life.engine.stop()
            life.engine.stop()
            assert client.at_end()
        assert all(ended(watch) for watch in watched)
    finally:
        for watch in watched:
            os.close(watch)
    assert life.deaths == []
    assert not life.engine.alive


def test_a_port_that_is_taken_is_said_by_whoever_waits(life: Life) -> None:
    with socket.create_server(("127.0.0.1", life.port)):
        life.engine.start()
        with pytest.raises(EngineError, match="Address already in use"):
            life.engine.ready()
    assert life.died.wait(10)
    assert "Address already in use" in life.deaths[0]


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("reencrypt", [False, True])
def test_tls_ends_here_and_goes_on_as_the_policy_says(
    secure: SecureStand, http2: bool, version: str, reencrypt: bool
) -> None:
    secure.route(reencrypt=reencrypt)
    since, before = time.time_ns(), len(secure.engine.events())
    answer = secure.ask("/api/x", http2=http2, version=version)
    seen = json.loads(answer["body"])
    (event,) = secure.engine.events()[before:]
    assert answer["tls"] == event["front"]["tls"] == f"TLSv{version}"
    assert answer["version"] == event["version"] == ("HTTP/2" if http2 else "HTTP/1.1")
    assert event["back"]["client"] == seen["peer"]
    assert event["back"]["server"][1] == secure.listeners[int(reencrypt)].target_port
    onwards = "TLSv1.3" if secure.engine.name == "envoy" else f"TLSv{version}"  # mitmproxy goes on as the client came
    assert event["back"].get("tls") == (onwards if reencrypt else None)
    assert "x-forwarded-proto" not in [name.lower() for name, _ in seen["headers"]]
    told = [one for one in secure.engine.secrets(since) if one["time_ns"] > since]
    assert [len(one["lines"]) for one in told if one["leg"] == "front"] == [LINES[f"TLSv{version}"]]
    if secure.engine.name == "mitmproxy":  # whose connections to backends are each client's own
        assert event["headers_forwarded"] == seen["headers"]
        backs = [len(one["lines"]) for one in told if one["leg"] == "back"]
        assert backs == ([LINES[f"TLSv{version}"]] if reencrypt else [])


def test_old_versions_and_clear_text_are_turned_away(secure: SecureStand) -> None:
    secure.route()
    with socket.create_connection(("127.0.0.1", secure.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cadata=secure.signer.trust())
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=10) as connection,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(connection, server_hostname="lb")
    assert secure.ask("/api/x", http2=False)["status"] == 200


@pytest.mark.parametrize("how", ["another authority", "another name", "no tls"])
def test_a_backend_that_cannot_show_who_it_is_gets_no_request(secure: SecureStand, how: str, tmp_path: Path) -> None:
    """And the refusal names it; then it is tried again, also on the same HTTP/2 connection."""
    port = secure.listeners[1].target_port
    name = "api2" if how == "another name" else "api1"
    stranger = Backend(name, NOBODY, port)
    if how != "no tls":
        under_tls(stranger, secure.signer if how == "another name" else authority(), tmp_path)
    secure.route(Route("*", "api1"), reencrypt=True, api1=NOBODY)
    before = len(secure.engine.events())
    where = ENDPOINT[secure.engine.name].format(NOBODY, port)
    session = Session()
    try:
        for _ in range(2):
            answer = session.exchange(secure.spec("/x"))
            assert answer["status"] == 502
            assert f"the balancer cannot reach api1 ({where})".encode() in answer["body"]
        secure.route(reencrypt=True)
        assert session.exchange(secure.spec("/api/x"))["status"] == 200
    finally:
        session.close()
        stranger.close()
    events = secure.engine.events()[before:]
    assert [(event["status"], event["backend"]) for event in events[:2]] == [(502, "api1")] * 2
    if secure.engine.name == "envoy":
        assert "could not be reached" in events[0]["error"]
