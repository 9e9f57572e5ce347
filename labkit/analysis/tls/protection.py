"""Opening protected records with one direction's keys: each class keeps the count of records that its nonces need.

Every record proves itself by its tag or MAC, so what comes out is what was sent; what does not prove itself gives
None and changes nothing. The ciphers are those of `cryptography`.
"""

import hmac
import struct
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from .hello import TLS_1_1
from .records import Record
from .schedule import Keys
from .suites import Suite

_BLOCK = 16


class Opener(Protocol):
    """Opens the records of one direction, in order."""

    def open(self, record: Record) -> tuple[int, bytes] | None:
        """The content type and the plain text of the next record; None if it is not one under these keys."""
        ...


def _aead(suite: Suite, key: bytes) -> Any:
    if suite.mode == "CCM":
        return AESCCM(key, tag_length=suite.tag)
    return ChaCha20Poly1305(key) if suite.mode == "CHACHA20" else AESGCM(key)


def _mixed(iv: bytes, sequence: int) -> bytes:
    """The nonce of a record: its number and the IV, by exclusive or (RFC 8446 §5.3, RFC 7905 §2)."""
    return (int.from_bytes(iv) ^ sequence).to_bytes(len(iv))


class Tls13:
    """RFC 8446 §5.2: the true content type stands behind the plain text, before zeros."""

    def __init__(self, keys: Keys, suite: Suite) -> None:
        self._aead, self._iv, self._sequence = _aead(suite, keys.key), keys.iv, 0

    def open(self, record: Record) -> tuple[int, bytes] | None:
        head = struct.pack(">BHH", record.kind, record.version, len(record.body))
        try:
            inner = self._aead.decrypt(_mixed(self._iv, self._sequence), record.body, head)
        except (InvalidTag, ValueError):
            return None
        self._sequence += 1
        inner = inner.rstrip(b"\0")
        return (inner[-1], inner[:-1]) if inner else (0, b"")


class Aead12:
    """TLS 1.2 with GCM or CCM, a part of the nonce in the record (RFC 5288 §3, RFC 6655 §3), or ChaCha20 (RFC 7905)."""

    def __init__(self, keys: Keys, suite: Suite) -> None:
        self._aead, self._iv, self._sequence = _aead(suite, keys.key), keys.iv, 0
        self._explicit = 0 if suite.mode == "CHACHA20" else 8
        self._tag = suite.tag

    def open(self, record: Record) -> tuple[int, bytes] | None:
        said, sealed = record.body[: self._explicit], record.body[self._explicit :]
        nonce = self._iv + said if self._explicit else _mixed(self._iv, self._sequence)
        length = len(sealed) - self._tag
        if length < 0:
            return None
        head = struct.pack(">QBHH", self._sequence, record.kind, record.version, length)
        try:
            plain = self._aead.decrypt(nonce, sealed, head)
        except (InvalidTag, ValueError):
            return None
        self._sequence += 1
        return record.kind, plain


class Cbc:
    """AES-CBC with HMAC up to TLS 1.2 (RFC 5246 §6.2.3.2), the MAC within or around the ciphertext (RFC 7366)."""

    def __init__(self, keys: Keys, suite: Suite, version: int, *, encrypt_then_mac: bool) -> None:
        self._keys, self._digest, self._outside = keys, suite.digest, encrypt_then_mac
        self._size = len(keys.mac)
        self._explicit = version >= TLS_1_1
        self._last = keys.iv  # TLS 1.0 goes on from the last block of the record before
        self._sequence = 0

    def open(self, record: Record) -> tuple[int, bytes] | None:
        body, mac = record.body, b""
        if self._outside:
            body, mac = body[: -self._size], body[-self._size :]
        iv, sealed = (body[:_BLOCK], body[_BLOCK:]) if self._explicit else (self._last, body)
        if len(iv) != _BLOCK or not sealed or len(sealed) % _BLOCK:
            return None
        decryptor = Cipher(algorithms.AES(self._keys.key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(sealed) + decryptor.finalize()
        plain, padding = padded[: -padded[-1] - 1], padded[-padded[-1] - 1 :]
        if padding != bytes([padded[-1]]) * (padded[-1] + 1):  # the receiver refuses it, so nobody said this
            return None
        if self._outside:
            covered = body
        else:
            plain, mac = plain[: -self._size], plain[-self._size :]
            covered = plain
        head = struct.pack(">QBHH", self._sequence, record.kind, record.version, len(covered))
        if not hmac.compare_digest(hmac.digest(self._keys.mac, head + covered, self._digest), mac):
            return None
        self._last = sealed[-_BLOCK:]
        self._sequence += 1
        return record.kind, plain


def up_to_12(keys: Keys, suite: Suite, version: int, *, encrypt_then_mac: bool) -> Opener:
    """What opens the records that follow a ChangeCipherSpec."""
    if suite.mode == "CBC":
        return Cbc(keys, suite, version, encrypt_then_mac=encrypt_then_mac)
    return Aead12(keys, suite)
