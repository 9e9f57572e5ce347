"""TLS at the proxy: versions, names, trust in backends, and the secrets of both legs."""

import socket
import ssl
import time

import pytest

from labkit.balancer.l7.tls import Tls
from labkit.balancer.limits import Limits
from labkit.balancer.policy import Route
from labkit.traffic.http import Session

from .conftest import NOBODY
from .secure import SecureStand, authority

pytestmark = pytest.mark.measured

LINES = {"TLSv1.2": 1, "TLSv1.3": 5}  # of a key log, for one handshake


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


def test_a_client_that_trusts_somebody_else_is_told_so_and_its_secrets_are_the_fronts(secure: SecureStand) -> None:
    secure.route()
    since = time.time_ns()
    spec = secure.spec("/api/x", http2=False)
    spec["tls"]["trust"] = authority().trust()
    with pytest.raises(ssl.SSLCertVerificationError):
        Session().exchange(spec)
    assert secure.ask("/api/x")["status"] == 200
    assert {one["leg"] for one in secure.engine.secrets(since)} == {"front"}


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
