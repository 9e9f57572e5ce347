"""TLS at the proxy: versions, names, trust in backends, and the secrets of both legs."""

import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from labkit.balancer.l7.tls import Tls
from labkit.balancer.limits import Limits
from labkit.balancer.policy import Route
from labkit.traffic.http import Session

from .conftest import NOBODY
from .harness import Backend
from .secure import SecureStand, authority, under_tls

pytestmark = pytest.mark.measured

LINES = {"TLSv1.2": 1, "TLSv1.3": 5}  # of a key log, for one handshake


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
    assert event["headers_forwarded"] == seen["headers"]
    legs = {one["leg"]: one["lines"] for one in secure.engine.secrets(since) if one["time_ns"] > since}
    assert set(legs) == ({"front", "back"} if reencrypt else {"front"})
    assert len(legs["front"]) == LINES[f"TLSv{version}"]
    if reencrypt:
        assert event["back"]["tls"] == f"TLSv{version}"
        assert len(legs["back"]) == LINES[f"TLSv{version}"]


def test_the_strict_parser_stands_under_tls_too(secure: SecureStand) -> None:
    secure.route()
    before = len(secure.engine.events())
    context = ssl.create_default_context(cadata=secure.signer.trust())
    for request, status in (
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", b"400"),
        (b"GET /none HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n", b"404"),
    ):
        with (
            socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as client,
        ):
            client.sendall(request)
            answer = b""
            while piece := client.recv(65536):  # to its close_notify: a cut connection would raise
                answer += piece
            assert answer.startswith(b"HTTP/1.1 " + status)
    events = secure.engine.events()[before:]
    assert [(event["status"], event["front"]["tls"]) for event in events] == [
        (400, "TLSv1.3"),
        (400, "TLSv1.3"),
        (404, "TLSv1.3"),
    ]


def test_who_does_not_speak_tls_is_turned_away_and_the_proxy_goes_on(secure: SecureStand) -> None:
    secure.route()
    with socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cadata=secure.signer.trust())
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        old.wrap_socket(socket.create_connection(("127.0.0.1", secure.listeners[1].port)), server_hostname="lb")
    assert secure.ask("/api/x", http2=False)["status"] == 200


def test_a_client_that_trusts_somebody_else_is_told_so_and_its_secrets_are_the_fronts(secure: SecureStand) -> None:
    secure.route()
    since = time.time_ns()
    spec = secure.spec("/api/x", http2=False)
    spec["tls"]["trust"] = authority().trust()
    with pytest.raises(ssl.SSLCertVerificationError):
        Session().exchange(spec)
    assert secure.ask("/api/x")["status"] == 200
    assert {one["leg"] for one in secure.engine.secrets(since)} == {"front"}


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
    session = Session()
    try:
        for _ in range(2):
            answer = session.exchange(secure.spec("/x"))
            assert answer["status"] == 502
            assert f"the balancer cannot reach api1 ({NOBODY} port {port})".encode() in answer["body"]
        secure.route(reencrypt=True)
        assert session.exchange(secure.spec("/api/x"))["status"] == 200
    finally:
        session.close()
        stranger.close()
    events = secure.engine.events()[before:]
    assert [(event["status"], event["backend"]) for event in events[:2]] == [(502, "api1")] * 2


def test_secrets_are_told_for_connections_that_were_open_at_the_time_and_no_others(secure: SecureStand) -> None:
    secure.route()
    kept, gone = Session(), Session()
    kept.exchange(secure.spec("/api/x", http2=False))
    gone.exchange(secure.spec("/api/x", http2=False))
    gone.close()
    for _ in range(500):
        secure.engine.events()
        since = time.time_ns()
        if len(told := secure.engine.secrets(since)) == 1:
            break
        time.sleep(0.01)
    assert [one["time_ns"] for one in told] == [since], "agreed on before, in force then"
    assert kept.exchange(secure.spec("/api/y", http2=False))["status"] == 200
    kept.close()
    assert len(secure.engine.secrets(since)) == 1, "also when it has ended meanwhile"


def test_who_begins_no_handshake_is_cut_off(secure: SecureStand) -> None:
    secure.route(limits=Limits(header_seconds=0.2))
    with socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=5) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(100) == b""
    assert secure.ask("/api/x")["status"] == 200
    secure.route()


def test_a_proxy_that_was_started_anew_is_given_the_certificates_again(secure: SecureStand) -> None:
    context = ssl.create_default_context(cadata=secure.signer.trust())
    for _ in range(2):
        secure.route(tls=Tls(names=["shop.test", "api.test"]))
        for name in ("shop.test", "api.test"):
            with (
                socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=10) as sock,
                context.wrap_socket(sock, server_hostname=name) as client,
            ):
                assert client.getpeercert()["subjectAltName"] == (("DNS", name),)
        secure.engine.stop()
        secure.engine.start()
        secure.engine.ready()


def broken(sock: socket.socket) -> bool:
    """Whether what is sent there comes back as a reset."""
    try:
        sock.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_client_that_fails_to_agree_is_told_why_and_not_waited_for_long(secure: SecureStand) -> None:
    """The alert comes and then the end of the stream, no reset, whatever the client has sent; then its time is up."""
    secure.route(tls=Tls(clients="required"))
    context = ssl.create_default_context(cadata=secure.signer.trust())
    sock = socket.create_connection(("127.0.0.1", secure.listeners[1].port), timeout=10)
    client = context.wrap_socket(sock, server_hostname="lb")
    for _ in range(20):
        client.sendall(b"x" * 10_000)
    with pytest.raises(ssl.SSLError, match="certificate required"):
        client.recv(100)
    with socket.socket(fileno=client.detach()) as raw:
        raw.settimeout(10)
        assert (raw.recv(100), broken(raw)) == (b"", False)
        deadline = time.monotonic() + 8
        while not broken(raw):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("http2", [False, True])
def test_hsts_is_said_also_where_no_backend_answers(secure: SecureStand, http2: bool) -> None:
    secure.route(Route("*", "api1"), tls=Tls(hsts=5), api1=NOBODY)
    answer = secure.ask("/x", http2=http2)
    told = [value for name, value in answer["headers"] if name.lower() == "strict-transport-security"]
    assert (answer["status"], told) == (502, ["max-age=5"])
