"""TLS at Envoy: versions, trust in backends, and the secrets of both legs."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.policy import Route
from tests.balancer.mitmproxy.conftest import NOBODY
from tests.balancer.mitmproxy.harness import Backend
from tests.balancer.mitmproxy.secure import SecureStand, authority, secure_stand, under_tls

pytestmark = pytest.mark.measured

LINES = {"TLSv1.2": 1, "TLSv1.3": 5}  # of a key log, for one handshake


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStand]:
    with secure_stand(tmp_path_factory.mktemp("certificates"), EnvoyEngine) as stand:
        yield stand


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
    assert event["back"].get("tls") == ("TLSv1.3" if reencrypt else None)
    assert "x-forwarded-proto" not in [name.lower() for name, _ in seen["headers"]]
    told = [one for one in secure.engine.secrets(since) if one["time_ns"] > since]
    assert [len(one["lines"]) for one in told if one["leg"] == "front"] == [LINES[f"TLSv{version}"]]


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
    port = secure.listeners[1].target_port
    name = "api2" if how == "another name" else "api1"
    stranger = Backend(name, NOBODY, port)
    if how != "no tls":
        under_tls(stranger, secure.signer if how == "another name" else authority(), tmp_path)
    secure.route(Route("*", "api1"), reencrypt=True, api1=NOBODY)
    before = len(secure.engine.events())
    try:
        answers = [secure.ask("/x") for _ in range(2)]
        assert [answer["status"] for answer in answers] == [502, 502]
        assert f"the balancer cannot reach api1 ({NOBODY}:{port})".encode() in answers[0]["body"]
        secure.route(reencrypt=True)
        assert secure.ask("/api/x")["status"] == 200
    finally:
        stranger.close()
    events = secure.engine.events()[before:]
    assert [(event["status"], event["backend"]) for event in events[:2]] == [(502, "api1")] * 2
    assert "could not be reached" in events[0]["error"]
