import random
import ssl
import struct

import pytest

from labkit.analysis.tls import client_hello, is_tls, server_hello
from labkit.analysis.tls.hello import TLS_1_2, TLS_1_3, chosen_protocol

from .test_records import message, record

RETRY = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"  # RFC 8446 §4.1.3


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


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


def offering(version: int, *versions: int) -> bytes:
    """A ClientHello by the book (RFC 8446 §4.1.2, §4.2.1), with supported_versions if there are any."""
    offered = b"".join(number.to_bytes(2) for number in versions)
    extensions = extension(43, bytes([len(offered)]) + offered) if versions else b""
    body = version.to_bytes(2) + bytes(32) + b"\0" + struct.pack(">HH", 2, 0x1301) + b"\1\0"
    return record(22, message(1, body + len(extensions).to_bytes(2) + extensions))


@pytest.mark.parametrize(
    ("version", "versions", "name"),
    [
        (0x0300, (), "SSL 3.0"),
        (0x0301, (), "TLS 1.0"),
        (0x0302, (), "TLS 1.1"),
        (0x0303, (), "TLS 1.2"),
        (0x0303, (0x0304, 0x0303), "TLS 1.3"),
        (0x0303, (0x0303, 0x0304), "TLS 1.3"),
        (0x0303, (0x0303,), "TLS 1.2"),
        (0x0303, (0xFAFA, 0x0304, 0x0303), "TLS 1.3"),  # GREASE: RFC 8701
        (0x0303, (0xFAFA,), "TLS 1.2"),
        (0x0404, (), "0x0404"),
    ],
)
def test_the_highest_version_offered(version: int, versions: tuple[int, ...], name: str) -> None:
    found = client_hello(offering(version, *versions))
    assert found is not None
    assert found.version == name


def answer(random_: bytes, *extensions: bytes, version: int = 0x0303, cipher: int = 0xC02F) -> bytes:
    """A ServerHello by the book (RFC 5246 §7.4.1.3), with a session id of 4 bytes."""
    body = version.to_bytes(2) + random_ + b"\x04abcd" + cipher.to_bytes(2) + b"\0"
    joined = b"".join(extensions)
    return message(2, body + (len(joined).to_bytes(2) + joined if extensions else b""))


def alpn(*names: bytes) -> bytes:
    listed = b"".join(bytes([len(name)]) + name for name in names)
    return extension(16, len(listed).to_bytes(2) + listed)


def test_what_the_server_chose() -> None:
    token = bytes(range(32))
    found = server_hello(record(22, answer(token, alpn(b"h2"), extension(22, b""))))
    assert found is not None
    assert (found.version, found.number, found.cipher, found.protocol) == ("TLS 1.2", TLS_1_2, 0xC02F, "h2")
    assert (found.random, found.encrypt_then_mac, found.compressed) == (token, True, False)
    found = server_hello(record(22, answer(token, extension(43, b"\x03\x04"), cipher=0x1301)))
    assert found is not None
    assert (found.version, found.number, found.cipher, found.protocol) == ("TLS 1.3", TLS_1_3, 0x1301, None)
    bare = server_hello(record(22, answer(token, version=0x0301)))
    assert bare is not None
    assert (bare.version, bare.encrypt_then_mac, bare.protocol) == ("TLS 1.0", False, None)


def test_a_server_that_asks_for_another_hello_has_not_chosen_yet() -> None:
    retry, real = answer(bytes.fromhex(RETRY), extension(43, b"\x03\x04")), answer(bytes(32))
    assert server_hello(record(22, retry)) is None
    found = server_hello(record(22, retry) + record(20, b"\1") + record(22, real))
    assert found is not None
    assert found.random == bytes(32)


def test_a_server_hello_cut_or_broken_anywhere_never_raises() -> None:
    dice, whole = random.Random(44), record(22, answer(bytes(32), alpn(b"h2"), extension(22, b"")))
    assert all(server_hello(whole[:cut]) is None for cut in range(len(whole)))
    for _ in range(2000):
        broken = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            broken[dice.randrange(9, len(whole))] = dice.getrandbits(8)
        server_hello(bytes(broken))
        client_hello(bytes(broken[:5] + b"\1" + broken[6:]))


@pytest.mark.parametrize(
    ("extensions", "protocol"),
    [
        (alpn(b"h2"), "h2"),
        (alpn(b"http/1.1"), "http/1.1"),
        (extension(10, b"\0\2\0\x1d") + alpn(b"h2"), "h2"),  # behind supported_groups
        (extension(10, b"\0\2\0\x1d"), None),
        (b"", None),
        (alpn(), None),
        (alpn(b"\xff"), None),  # no text
        (b"\0\x10\0", None),
    ],
)
def test_what_alpn_chose_in_encrypted_extensions(extensions: bytes, protocol: str | None) -> None:
    assert chosen_protocol(len(extensions).to_bytes(2) + extensions) == protocol
