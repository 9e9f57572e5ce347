"""HTTPS between a client and a backend: versions of TLS and HTTP, what the application sees, failures, secrets."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest

from labkit.certificates import Authority
from labkit.errors import TrafficError
from labkit.topology import Interface, Node, Topology, default
from labkit.traffic.host import Backend, Host
from tests.traffic.conftest import end, spec

pytestmark = pytest.mark.measured

ALICE = spec("alice", "client", "127.0.0.1/8")
PLACES = {"api1": 19_443, "api2": 19_444}


def authority() -> Authority:
    own = {"lb": "127.0.0.1/8", "api1": "127.0.0.11/8"}
    nodes = tuple(
        Node(name, default().node(name).role, (Interface("front", IPv4Interface(address)),))
        for name, address in own.items()
    )
    return Authority(Topology("loopback", (), nodes))


@dataclass
class Secure:
    """A client and a backend of one authority. The backend serves HTTPS at `url`."""

    alice: Host
    backend: Backend
    url: str


@pytest.fixture(scope="module")
def secure(node) -> Iterator[Secure]:
    signer = authority()
    certificate = signer.certificate("api1")
    backend = Backend(
        spec("api1", "backend", "127.0.0.11/8"),
        lambda: node,
        certificate=lambda: [certificate.chain, certificate.key],
        http_port=19_080,
        tcp_port=0,
        udp_port=0,
        https_port=PLACES["api1"],
    )
    backend.restore()
    yield Secure(Host(ALICE, lambda: node, signer.trust), backend, f"https://api1:{PLACES['api1']}")
    end(backend)


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_backend_says_how_it_was_asked(secure, http2, version):
    reply = secure.alice.post(f"{secure.url}/a%2Fb?x=1", body="hi", http2=http2, tls=version, cookies={"a": "b"})
    authority_field = ["host" if http2 else "Host", secure.url.removeprefix("https://")]
    names = [["User-Agent", "labkit"], ["Accept", "*/*"], ["Cookie", "a=b"], ["Content-Length", "2"]]
    assert reply.received == {
        "backend": "api1",
        "method": "POST",
        "target": "/a%2Fb?x=1",
        "version": "HTTP/2" if http2 else "HTTP/1.1",
        "headers": [authority_field, *([name.lower() if http2 else name, value] for name, value in names)],
        "body": "hi",
        "body_encoding": "text",
        "tls": f"TLSv{version}",
        "peer": reply.local,
        "local": reply.remote,
    }
    assert (reply.version, reply.tls, reply.stream) == (
        reply.received["version"],
        f"TLSv{version}",
        1 if http2 else None,
    )
    assert (reply.status, reply.backend) == (200, "api1")


def test_an_http2_session_has_one_connection_and_many_streams_at_a_time(secure):
    with secure.alice.session() as session:
        first = session.get(f"{secure.url}/x", http2=True)
        slow = threading.Thread(target=lambda: replies.append(session.get(f"{secure.url}/slow/1.5", http2=True)))
        replies = []
        slow.start()
        while len(replies) < 5 and slow.is_alive():
            replies.append(session.get(f"{secure.url}/x", http2=True))
        assert len(replies) == 5, "the slow one has kept nobody waiting"
        slow.join()
        assert {tuple(reply.local) for reply in [first, *replies]} == {tuple(first.local)}
        assert len({reply.stream for reply in [first, *replies]}) == 7
        other = session.get(f"{secure.url}/x")
        assert (other.version, other.local != first.local) == ("HTTP/1.1", True)


def test_a_session_keeps_its_connection_for_one_version_of_tls(secure):
    with secure.alice.session() as session:
        ask = [session.get(f"{secure.url}/x", tls=version) for version in ("1.3", "1.3", "1.2")]
    assert ask[0].local == ask[1].local != ask[2].local


def test_large_bodies_and_odd_answers_over_http2(secure):
    with secure.alice.session() as session:
        assert len(session.get(f"{secure.url}/bytes/3000000", http2=True).content) == 3_000_000
        body = "x" * 1_000_000
        assert session.post(f"{secure.url}/x", http2=True, body=body).received["body"] == body
        head = session.request("HEAD", f"{secure.url}/bytes/10", http2=True)
        assert (head.headers["content-length"], head.content) == ("10", b"")
        assert session.get(f"{secure.url}/status/204", http2=True).status == 204
        assert session.get(f"{secure.url}/status/599", http2=True).status == 599


def test_cookies_are_kept_over_http2(secure):
    async def app(scope, receive, send):
        sent = dict(scope["headers"]).get(b"cookie", b"none")
        headers = [(b"set-cookie", b"a=1; Path=/; Secure"), (b"content-length", str(len(sent)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": sent})

    secure.backend.serve(app)
    try:
        with secure.alice.session() as session:
            texts = [session.get(f"{secure.url}/", http2=True).text for _ in range(2)]
            assert (texts, session.cookies) == (["none", "a=1"], {"a": "1"})
    finally:
        secure.backend.serve(None)


def test_a_users_own_application_fails_visibly_over_http2_too(secure):
    async def broken(scope, receive, send):
        raise ValueError("broken on purpose")

    secure.backend.serve(broken)
    try:
        reply = secure.alice.get(f"{secure.url}/", http2=True)
        assert (reply.status, "broken on purpose" in reply.text) == (500, True)
    finally:
        secure.backend.serve(None)


def test_slow_kill_and_restore_hold_for_https_and_http2(secure):
    secure.backend.slow(0.3)
    try:
        assert secure.alice.get(f"{secure.url}/", http2=True).seconds > 0.3
    finally:
        secure.backend.slow(0)
    with secure.alice.session() as session:
        session.get(f"{secure.url}/", http2=True)
        secure.backend.kill()
        with pytest.raises(TrafficError) as failed:
            session.get(f"{secure.url}/", http2=True)
        assert failed.value.cause == "refused", "the old connection is over, and nobody takes a new one"
        secure.backend.restore()
        assert session.get(f"{secure.url}/", http2=True).status == 200


def test_a_websocket_over_tls(secure):
    with secure.alice.websocket(f"wss://api1:{PLACES['api1']}/ws/chat", tls="1.2") as chat:
        chat.send("hi")
        assert (chat.recv(), chat.backend) == ("hi", "api1")


@pytest.mark.parametrize(
    ("url", "options", "cause", "words"),
    [
        (f"https://localhost:{PLACES['api1']}/", {}, "wrong name", "is for somebody else .Hostname mismatch"),
        (f"https://127.0.0.12:{PLACES['api1']}/", {}, "wrong name", "use a name or address of the host that answers"),
        (f"https://localhost:{PLACES['api1']}/", {"http2": True}, "wrong name", "is for somebody else"),
        ("https://api1:19080/", {}, "not tls", "does not speak TLS on that port: use http://"),
        ("https://api1:19080/", {"http2": True}, "not tls", "does not speak TLS on that port: use http://"),
        ("https://api1:19999/", {"http2": True}, "refused", "nothing listens on that port"),
        ("https://nobody/", {"http2": True}, "unknown host", "there is no host called 'nobody'"),
        (
            f"https://api1:{PLACES['api1']}/",
            {"http2": True, "headers": {"Connection": "x"}},
            "bad header",
            "HTTP/2 has",
        ),
        (f"https://api1:{PLACES['api1']}/slow/9", {"http2": True, "timeout": 0.3}, "timed out", "in the time given"),
    ],
)
def test_failures_name_the_client_the_thing_and_the_remedy(secure, url, options, cause, words):
    with pytest.raises(TrafficError, match=words) as failed:
        secure.alice.get(url, **options)
    assert failed.value.cause == cause
    assert str(failed.value).startswith(f"alice: GET {url} failed ({cause}): ")


@pytest.mark.parametrize("http2", [False, True])
def test_who_trusts_another_authority_is_told(secure, node, http2):
    stranger = Host(ALICE, lambda: node, authority().trust)
    with pytest.raises(TrafficError, match="have certificates of this lab's CA; others are not trusted") as failed:
        stranger.get(f"{secure.url}/", http2=http2)
    assert failed.value.cause == "bad certificate"
    with pytest.raises(TrafficError) as failed:
        stranger.websocket(secure.url.replace("https", "wss") + "/ws/x")
    assert failed.value.cause == "bad certificate"


def test_secrets_of_each_handshake_are_kept_and_given_for_what_was_open(secure):
    since = time.time_ns()
    with secure.alice.session() as kept:
        kept.get(f"{secure.url}/", tls="1.3")
        assert [len(lines) for _, lines, _ in secure.alice.secrets(since)[0]] == [5]
        later = time.time_ns()
        secure.alice.get(f"{secure.url}/", tls="1.2")
        assert [len(lines) for _, lines, _ in secure.alice.secrets(later)[0]] == [5, 1], (
            "the session's connection is open"
        )
    with secure.alice.websocket(secure.url.replace("https", "wss") + "/ws/x"):
        pass
    secure.alice.get(f"{secure.url}/", http2=True)
    assert [len(lines) for _, lines, _ in secure.alice.secrets(since)[0]] == [5, 1, 5, 5]
    assert secure.alice.secrets(time.time_ns()) == ([], False)
    newer, older = (lines for _, lines, _ in secure.alice.secrets(since)[0][:2])
    assert {line.split()[0] for line in newer} >= {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"}
    assert [line.split()[0] for line in older] == ["CLIENT_RANDOM"]


def test_who_comes_before_the_certificate_waits_for_it_and_http_waits_for_nobody(node):
    signer, made, asked = authority(), threading.Event(), []

    def late() -> list[str]:
        asked.append("api1")
        made.wait(10)
        return signer.serving("api1")

    at = spec("api1", "backend", "127.0.0.11/8")
    ports = {"http_port": 19_081, "tcp_port": 0, "udp_port": 0, "https_port": PLACES["api2"]}
    backend = Backend(at, lambda: node, certificate=late, **ports)
    alice = Host(ALICE, lambda: node, signer.trust)
    backend.restore()
    try:
        assert alice.get("http://api1:19081/").status == 200
        assert asked == []  # nobody has come for TLS
        replies = []
        early = threading.Thread(target=lambda: replies.append(alice.get(f"https://api1:{PLACES['api2']}/")))
        early.start()
        early.join(0.2)
        assert early.is_alive()
        made.set()
        early.join(10)
        assert [reply.tls for reply in replies] == ["TLSv1.3"]
        assert alice.get(f"https://api1:{PLACES['api2']}/").tls == "TLSv1.3"
        assert asked == ["api1"]
    finally:
        made.set()
        end(backend)
