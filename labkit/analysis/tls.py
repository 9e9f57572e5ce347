"""What TLS leaves in clear: the ClientHello (RFC 8446 §4.1.2), as far as it was captured whole."""

import struct
from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN, _VERSIONS = 0, 16, 43
_NAMES = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


@dataclass(frozen=True, slots=True)
class ClientHello:
    """server_name: the SNI (RFC 6066 §3). protocols: what ALPN offers (RFC 7301). version: the highest offered."""

    server_name: str | None
    protocols: tuple[str, ...]
    version: str


def is_tls(data: bytes) -> bool:
    """Whether a stream begins with a TLS handshake record."""
    return len(data) >= 3 and data[0] == _HANDSHAKE and data[1] == 3


def client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello that opens a client's stream; None if there is no whole one."""
    message = _handshake(data)
    if len(message) < 4 or message[0] != _CLIENT_HELLO:
        return None
    length = int.from_bytes(message[1:4])
    body = message[4 : 4 + length]
    if len(body) < length:
        return None
    try:
        return _parse(body)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _handshake(data: bytes) -> bytes:
    """The handshake bytes of the records at the start, without the records' own headers (RFC 8446 §5.1)."""
    message, at = bytearray(), 0
    while at + 5 <= len(data) and data[at] == _HANDSHAKE:
        length = int.from_bytes(data[at + 3 : at + 5])
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
    return bytes(message)


def _parse(body: bytes) -> ClientHello:
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
    best = max([version, *versions])
    return ClientHello(
        server_name=names[5:].decode("ascii") if len(names) > 5 else None,
        protocols=tuple(_strings(alpn[2:])),
        version=_NAMES.get(best, f"0x{best:04x}"),
    )


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
