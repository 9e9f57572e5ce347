"""From secrets to keys: the pseudorandom function up to TLS 1.2 (RFC 2246 §5, RFC 5246 §5) and HKDF in TLS 1.3."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from .hello import TLS_1_1, TLS_1_2
from .suites import Suite


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one direction. mac: up to TLS 1.2 in CBC mode, else empty. iv: the fixed part of the nonce, or TLS 1.0's."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    mac: bytes = field(default=b"", repr=False)


def expand_label(secret: bytes, label: str, length: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1, RFC 5869 §2.3)."""
    full = b"tls13 " + label.encode()
    info = length.to_bytes(2) + bytes([len(full)]) + full + b"\0"
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(secret, block + info + bytes([len(out) // hashlib.new(digest).digest_size + 1]), digest)
        out += block
    return out[:length]


def traffic_keys(secret: bytes, suite: Suite) -> Keys:
    """Key and IV of a TLS 1.3 traffic secret (RFC 8446 §7.3)."""
    return Keys(expand_label(secret, "key", suite.key, suite.digest), expand_label(secret, "iv", 12, suite.digest))


def next_secret(secret: bytes, suite: Suite) -> bytes:
    """The traffic secret after a KeyUpdate (RFC 8446 §7.2)."""
    return expand_label(secret, "traffic upd", len(secret), suite.digest)


def key_block(master: bytes, randoms: tuple[bytes, bytes], suite: Suite, version: int) -> tuple[Keys, Keys]:
    """The client's and the server's keys up to TLS 1.2 (RFC 5246 §6.3). randoms: the client's and the server's."""
    client_random, server_random = randoms
    mac = hashlib.new(suite.digest).digest_size if suite.mode == "CBC" else 0
    iv = {"CBC": 16 if version < TLS_1_1 else 0, "CHACHA20": 12}.get(suite.mode, 4)
    seed = b"key expansion" + server_random + client_random
    block = _prf(master, seed, 2 * (mac + suite.key + iv), suite, version)
    macs, keys, ivs = block[: 2 * mac], block[2 * mac : 2 * (mac + suite.key)], block[2 * (mac + suite.key) :]
    client, server = (Keys(_half(keys, side), _half(ivs, side), _half(macs, side)) for side in (0, 1))
    return client, server


def _half(both: bytes, side: int) -> bytes:
    middle = len(both) // 2
    return both[middle:] if side else both[:middle]


def _prf(secret: bytes, seed: bytes, length: int, suite: Suite, version: int) -> bytes:
    if version >= TLS_1_2:
        return _p_hash(secret, seed, length, suite.prf)
    half = (len(secret) + 1) // 2
    parts: Sequence[bytes] = (
        _p_hash(secret[:half], seed, length, "md5"),
        _p_hash(secret[-half:], seed, length, "sha1"),
    )
    return bytes(one ^ two for one, two in zip(*parts, strict=True))


def _p_hash(secret: bytes, seed: bytes, length: int, digest: str) -> bytes:
    out, link = b"", seed
    while len(out) < length:
        link = hmac.digest(secret, link, digest)
        out += hmac.digest(secret, link + seed, digest)
    return out[:length]
