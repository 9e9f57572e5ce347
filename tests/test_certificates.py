"""The lab's authority: what its certificates say, who accepts them, and that nothing is on disk."""

import os
import socket
import ssl
import threading
from pathlib import Path

import pytest

from labkit.certificates import Authority, subjects
from labkit.topology import default
from labkit.traffic.tls import server_context

LAB = default()


def shake_hands(authority: Authority, node: str, name: str) -> ssl.SSLSocket:
    """What a client with Python's strictest settings makes of *node*'s certificate, asked for *name*."""
    certificate = authority.certificate(node)
    theirs, ours = socket.socketpair()
    serving = server_context(certificate.chain, certificate.key)

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except ssl.SSLError:
            theirs.close()  # the client did not like it

    threading.Thread(target=serve, daemon=True).start()
    context = ssl.create_default_context(cadata=authority.trust())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    with context.wrap_socket(ours, server_hostname=name) as client:
        return client


def test_the_balancer_answers_for_the_vip_and_a_backend_for_itself_and_the_vip() -> None:
    names, addresses = subjects(LAB, "lb")
    assert (names, list(map(str, addresses))) == (["lb", "ip6-lb"], ["10.0.1.10", "fd00:10:0:1::10"])
    names, addresses = subjects(LAB, "api1")
    assert names == ["api1", "ip6-api1", "lb", "ip6-lb"]
    assert list(map(str, addresses)) == ["10.0.2.11", "fd00:10:0:2::11", "10.0.1.10", "fd00:10:0:1::10"]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("lb", "lb"),
        ("lb", "10.0.1.10"),
        ("lb", "fd00:10:0:1::10"),
        ("api1", "api1"),
        ("api1", "lb"),
        ("api1", "ip6-lb"),
    ],
)
def test_strict_clients_accept_it(node: str, name: str) -> None:
    shake_hands(Authority(LAB), node, name)


@pytest.mark.parametrize(("node", "name"), [("lb", "api1"), ("api1", "api2"), ("api1", "10.0.2.12"), ("lb", "alice")])
def test_and_for_no_other_name(node: str, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(Authority(LAB), node, name)


def test_another_labs_authority_is_not_trusted() -> None:
    one, other = Authority(LAB), Authority(LAB)
    certificate = other.certificate("lb")
    one._made["lb"] = certificate
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(one, "lb", "lb")


def test_everything_is_made_once_also_by_many_threads_and_kept_in_memory_alone() -> None:
    authority = Authority(LAB)
    before = {str(path) for path in Path("/proc/self/fd").iterdir()}
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(authority.certificate("api1").key)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert authority.certificate("api1").key == made[0]
    assert len({authority.certificate(node.name).key for node in (LAB.balancer, *LAB.backends)}) == 5
    shake_hands(authority, "api1", "api1")
    left = {str(path) for path in Path("/proc/self/fd").iterdir()} - before
    assert not [link for path in left if "labkit-tls" in (link := _target(path))]


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def test_an_unknown_node_has_none() -> None:
    with pytest.raises(KeyError):
        Authority(LAB).certificate("nobody")


def test_a_further_name_has_a_certificate_for_it_alone_and_a_client_one_for_clients() -> None:
    authority = Authority(LAB)
    assert authority.named("shop.test") == authority.named("shop.test") != authority.named("api.test")
    assert alternatives(authority.named("shop.test")[0]) == (["shop.test"], ["1.3.6.1.5.5.7.3.1"])
    assert alternatives(authority.client("alice")[0]) == (["alice"], ["1.3.6.1.5.5.7.3.2"])
    assert alternatives(authority.serving("lb")[0])[1] == ["1.3.6.1.5.5.7.3.1"]
    assert authority.client("api1") != authority.serving("api1")
    long = ".".join(["a" * 60] * 4)
    assert alternatives(authority.named(long)[0])[0] == [long]


def alternatives(pem: str) -> tuple[list[str], list[str]]:
    """The names (DNS) in a certificate, and what it is for."""
    from cryptography import x509

    extensions = x509.load_pem_x509_certificate(pem.encode()).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return names.get_values_for_type(x509.DNSName), [purpose.dotted_string for purpose in purposes]
