"""What TLS leaves in clear: the ClientHello and the ServerHello (RFC 8446 §4.1), as far as they were captured whole."""

import struct
from dataclasses import dataclass, field

from .records import HANDSHAKE, clear_messages, records

_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_SERVER_NAME, _ALPN, _ENCRYPT_THEN_MAC, _EARLY_DATA, _VERSIONS = 0, 16, 22, 42, 43
# The random of a ServerHello that asks for another ClientHello: RFC 8446 §4.1.3
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 0x0301, 0x0302, 0x0303, 0x0304
_NAMES = {0x0300: "SSL 3.0", TLS_1_0: "TLS 1.0", TLS_1_1: "TLS 1.1", TLS_1_2: "TLS 1.2", TLS_1_3: "TLS 1.3"}


@dataclass(frozen=True, slots=True)
class ClientHello:
    """server_name: the SNI (RFC 6066 §3). protocols: what ALPN offers (RFC 7301). version: the highest offered.

    random: what a key log knows the connection by. early_data: whether data follow before the handshake ends.
    """

    server_name: str | None
    protocols: tuple[str, ...]
    version: str
    random: bytes = field(default=b"", repr=False)
    early_data: bool = False


@dataclass(frozen=True, slots=True)
class ServerHello:
    """version, number: what was agreed on, as a name and as TLS writes it. cipher: the suite's number.

    protocol: what ALPN chose, if it is in clear (not in TLS 1.3).
    """

    version: str
    number: int
    cipher: int
    protocol: str | None
    random: bytes = field(repr=False)
    encrypt_then_mac: bool = False
    compressed: bool = False


def is_tls(data: bytes) -> bool:
    """Whether a stream begins with a TLS handshake record."""
    return len(data) >= 3 and data[0] == HANDSHAKE and data[1] == 3


def _version_name(number: int) -> str:
    return _NAMES.get(number, f"0x{number:04x}")


def client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello that opens a client's stream; None if there is no whole one."""
    kind, body = next(clear_messages(records(data)), (0, b""))
    try:
        return _client(body) if kind == _CLIENT_HELLO else None
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def server_hello(data: bytes) -> ServerHello | None:
    """The ServerHello in a server's stream, not one that asks for another ClientHello; None without a whole one."""
    try:
        hellos = (_server(body) for kind, body in clear_messages(records(data)) if kind == _SERVER_HELLO)
        return next((hello for hello in hellos if hello.random != _RETRY), None)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def chosen_protocol(encrypted_extensions: bytes) -> str | None:
    """What ALPN chose, out of the body of TLS 1.3's EncryptedExtensions (RFC 8446 §4.3.1)."""
    try:
        return _alpn(_extensions(encrypted_extensions[2:]))
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _client(body: bytes) -> ClientHello:
    (version,) = struct.unpack_from(">H", body)
    at = 34  # version and random
    at += 1 + body[at]  # session id
    at += 2 + struct.unpack_from(">H", body, at)[0]  # cipher suites
    at += 1 + body[at]  # compression methods
    extensions = _extensions(body[at + 2 :])
    names = extensions.get(_SERVER_NAME, b"")
    alpn = extensions.get(_ALPN, b"")
    offered = extensions.get(_VERSIONS, b"")[1:]
    versions = [number for (number,) in struct.iter_unpack(">H", offered[: len(offered) // 2 * 2]) if number in _NAMES]
    return ClientHello(
        server_name=names[5:].decode("ascii") if len(names) > 5 else None,
        protocols=tuple(_strings(alpn[2:])),
        version=_version_name(max([version, *versions])),
        random=body[2:34],
        early_data=_EARLY_DATA in extensions,
    )


def _server(body: bytes) -> ServerHello:
    (version,) = struct.unpack_from(">H", body)
    at = 34
    at += 1 + body[at]  # session id
    cipher, compression = struct.unpack_from(">HB", body, at)
    extensions = _extensions(body[at + 5 :])
    if len(chosen := extensions.get(_VERSIONS, b"")) == 2:
        version = int.from_bytes(chosen)
    return ServerHello(
        version=_version_name(version),
        number=version,
        cipher=cipher,
        protocol=_alpn(extensions),
        random=body[2:34],
        encrypt_then_mac=_ENCRYPT_THEN_MAC in extensions,
        compressed=compression != 0,
    )


def _alpn(extensions: dict[int, bytes]) -> str | None:
    return next(iter(_strings(extensions.get(_ALPN, b"")[2:])), None)


def _extensions(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        found[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _strings(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 1 : at + 1 + data[at]].decode("ascii"))
        at += 1 + data[at]
    return found
