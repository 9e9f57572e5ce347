import ssl

import pytest

from labkit.analysis.tls import client_hello, is_tls


def hello(
    name: str | None = "lb.test",
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    best: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> bytes:
    """A real one, by the ssl module."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, best
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_a_real_hello_is_read() -> None:
    found = client_hello(hello())
    assert found is not None
    assert (found.server_name, found.protocols, found.version) == ("lb.test", ("h2", "http/1.1"), "TLS 1.3")


def test_without_name_and_protocols_and_in_an_older_version() -> None:
    found = client_hello(hello(None, (), ssl.TLSVersion.TLSv1_2))
    assert found is not None
    assert (found.server_name, found.protocols, found.version) == (None, (), "TLS 1.2")


def test_it_may_come_in_several_records() -> None:
    whole = hello()
    body, half = whole[5:], len(whole) // 2
    split = b"".join(whole[:3] + len(part).to_bytes(2) + part for part in (body[:half], body[half:]))
    assert client_hello(split) == client_hello(whole)


def test_what_is_cut_short_or_something_else_is_none() -> None:
    whole = hello()
    assert all(client_hello(whole[:cut]) is None for cut in range(len(whole)))
    assert client_hello(b"GET / HTTP/1.1\r\n\r\n") is None
    broken = whole[:3] + (10).to_bytes(2) + whole[5:6] + (6).to_bytes(3) + whole[9:15]
    assert client_hello(broken) is None
    assert is_tls(whole)
    assert not is_tls(b"\x16")
    assert not is_tls(b"GET")
