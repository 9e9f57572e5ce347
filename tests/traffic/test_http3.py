"""HTTP/3 clients and servers that do not do as they should; what a balancer answers is tried with Envoy."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.errors import TrafficError
from labkit.traffic.failure import from_quic
from labkit.traffic.host import Host
from tests.traffic.test_tls import ALICE, authority

pytestmark = pytest.mark.measured

PORT = 19_445
URL = f"https://api1:{PORT}"


@pytest.fixture(scope="module")
def alice(node: Any) -> Iterator[Host]:
    """A client that trusts the certificate of the server at `URL`."""
    signer = authority()
    own = signer.certificate("api1")
    task = node.start("tests.traffic.quic_peer:main", address="127.0.0.11", port=PORT, chain=own.chain, key=own.key)
    assert task.receive(10) == "ready"
    yield Host(ALICE, lambda: node, signer.trust)
    task.stop(kill=True)


def test_an_interim_answer_is_not_the_answer(alice: Host) -> None:
    reply = alice.post(f"{URL}/early", body=b"x" * 100_000, http3=True)
    assert (reply.status, reply.text, reply.headers.get("link")) == (200, "100000", None)
    assert (reply.version, reply.remote) == ("HTTP/3", ["127.0.0.11", PORT])


@pytest.mark.parametrize(
    ("path", "cause", "words"),
    [
        ("/short", "cut short", "the answer ended after 1 bytes of the body, of 10"),
        ("/reset", "reset", r"the other side gave up the stream \(HTTP/3 error code 268\)"),
        ("/nothing", "timed out", "no answer in the time given"),
    ],
)
def test_a_stream_that_fails_fails_alone(alice: Host, path: str, cause: str, words: str) -> None:
    with alice.session() as session:
        first = session.get(f"{URL}/", http3=True)
        with pytest.raises(TrafficError, match=words) as failed:
            session.get(f"{URL}{path}", http3=True, timeout=0.3 if path == "/nothing" else 10)
        assert failed.value.cause == cause
        assert session.get(f"{URL}/", http3=True).local == first.local


def test_a_session_opens_another_connection_when_the_server_has_ended_its_own(alice: Host) -> None:
    with alice.session() as session:
        first = session.get(f"{URL}/", http3=True)
        with pytest.raises(TrafficError, match="lunch") as failed:
            session.post(f"{URL}/close", http3=True)
        assert failed.value.cause == "closed"
        again = session.get(f"{URL}/", http3=True)
        assert (again.status, again.local != first.local) == (200, True)
    with pytest.raises(TrafficError, match="closed on this side"):
        session.get(f"{URL}/", http3=True)


def test_who_trusts_another_authority_is_told(alice: Host, node: Any) -> None:
    assert alice.get(f"{URL}/", http3=True).status == 200
    stranger = Host(ALICE, lambda: node, authority().trust)
    with pytest.raises(TrafficError, match="others are not trusted here") as failed:
        stranger.get(f"{URL}/", http3=True)
    assert failed.value.cause == "bad certificate"


def test_secrets_are_kept_for_captures_and_are_known_as_quics(alice: Host) -> None:
    since = time.time_ns()
    alice.get(f"{URL}/", http3=True)
    ((_, lines, quic),) = alice.secrets(since)[0]
    assert quic
    assert {line.split()[0] for line in lines} == {
        *("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
        *("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"),
    }


@pytest.mark.parametrize(
    ("code", "reason", "agreed", "application", "cause"),
    [
        (0x100, "", True, True, "closed"),
        (0x102, "", True, True, "closed"),
        (0, "", True, False, "closed"),
        (7, "", True, False, "closed"),
        (0x12A, "hostname 'x' doesn't match 'lb'", False, False, "wrong name"),
        (0x12A, "unable to get local issuer certificate", False, False, "bad certificate"),
        (0x178, "no application protocol", False, False, "tls"),
        (1, "Idle timeout", False, False, "timed out"),
        (1, "Idle timeout", True, False, "closed"),
    ],
)
def test_codes_have_causes(code: int, reason: str, agreed: bool, application: bool, cause: str) -> None:
    assert from_quic(code, reason, agreed=agreed, application=application).cause == cause
