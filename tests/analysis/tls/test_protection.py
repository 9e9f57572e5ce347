"""Records sealed here as the RFCs say, for every suite of the table, and opened again; never a changed one."""

import hmac
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from labkit.analysis.tls.hello import TLS_1_0, TLS_1_1, TLS_1_2
from labkit.analysis.tls.protection import Opener, Tls13, up_to_12
from labkit.analysis.tls.records import Record
from labkit.analysis.tls.schedule import Keys
from labkit.analysis.tls.suites import SUITES, Suite

BEFORE_13 = [number for number in SUITES if number >> 8 != 0x13]
Seal = Callable[[int, bytes], Record]


def cipher_of(suite: Suite, key: bytes) -> Any:
    if "CCM" in suite.name:
        return AESCCM(key, tag_length=8 if "CCM_8" in suite.name else 16)
    return ChaCha20Poly1305(key) if "CHACHA20" in suite.name else AESGCM(key)


def record(kind: int, body: bytes, version: int) -> Record:
    return Record(kind, version, body, 0, 5 + len(body))


def aead_12(suite: Suite, keys: Keys, dice: random.Random) -> Seal:
    """RFC 5246 §6.2.3.3; nonces by RFC 5288 §3, RFC 6655 §3 and RFC 7905 §2."""
    count = 0

    def seal(kind: int, plain: bytes) -> Record:
        nonlocal count
        if "CHACHA20" in suite.name:
            explicit = b""
            nonce = bytes(a ^ b for a, b in zip(keys.iv, bytes(4) + count.to_bytes(8), strict=True))
        else:
            explicit = dice.randbytes(8)  # need not count
            nonce = keys.iv + explicit
        head = count.to_bytes(8) + struct.pack(">BHH", kind, TLS_1_2, len(plain))
        count += 1
        return record(kind, explicit + cipher_of(suite, keys.key).encrypt(nonce, plain, head), TLS_1_2)

    return seal


def cbc(suite: Suite, keys: Keys, dice: random.Random, version: int, *, outside: bool) -> Seal:
    """RFC 5246 §6.2.3.2 and RFC 2246 §6.2.3.2 (the IV is the last block before); outside: RFC 7366 §3."""
    count, last = 0, keys.iv

    def mac(kind: int, data: bytes) -> bytes:
        head = count.to_bytes(8) + struct.pack(">BHH", kind, version, len(data))
        return hmac.digest(keys.mac, head + data, suite.digest)

    def seal(kind: int, plain: bytes) -> Record:
        nonlocal count, last
        inner = plain if outside else plain + mac(kind, plain)
        padding = 15 - len(inner) % 16 + 16 * dice.randrange(3)
        padded = inner + bytes([padding]) * (padding + 1)
        iv = dice.randbytes(16) if version >= TLS_1_1 else last
        encryptor = Cipher(algorithms.AES(keys.key), modes.CBC(iv)).encryptor()
        sealed = encryptor.update(padded) + encryptor.finalize()
        last = sealed[-16:]
        body = (iv if version >= TLS_1_1 else b"") + sealed
        body += mac(kind, body) if outside else b""
        count += 1
        return record(kind, body, version)

    return seal


def tls_13(suite: Suite, keys: Keys, dice: random.Random) -> Seal:
    """RFC 8446 §5.2 and §5.3, padded at random."""
    count = 0

    def seal(kind: int, plain: bytes) -> Record:
        nonlocal count
        inner = plain + bytes([kind]) + bytes(dice.choice((0, 0, 30)))
        length = len(inner) + (8 if "CCM_8" in suite.name else 16)
        nonce = bytes(a ^ b for a, b in zip(keys.iv, bytes(4) + count.to_bytes(8), strict=True))
        count += 1
        sealed = cipher_of(suite, keys.key).encrypt(nonce, inner, struct.pack(">BHH", 23, TLS_1_2, length))
        return record(23, sealed, TLS_1_2)

    return seal


def keys_for(suite: Suite, dice: random.Random, version: int) -> Keys:
    mac = {"sha1": 20, "sha256": 32, "sha384": 48}[suite.digest] if suite.mode == "CBC" else 0
    iv = {"CBC": 16 if version == TLS_1_0 else 0, "GCM": 4, "CCM": 4, "CHACHA20": 12}[suite.mode]
    return Keys(dice.randbytes(suite.key), dice.randbytes(12 if version > TLS_1_2 else iv), dice.randbytes(mac))


def assert_opens_what_was_sealed(seal: Seal, opener: Opener, dice: random.Random) -> None:
    """In order, each once; a changed one between them is refused and leaves no trace."""
    for _ in range(8):
        kind, plain = dice.choice((21, 22, 23)), dice.randbytes(dice.choice((0, 1, 15, 16, 400)))
        sealed = seal(kind, plain)
        for changed in mutants(sealed, dice):
            assert opener.open(changed) is None
        assert opener.open(sealed) == (kind, plain)
        assert opener.open(sealed) is None  # its number is used up


def mutants(sealed: Record, dice: random.Random) -> list[Record]:
    body = bytearray(sealed.body)
    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
    cut = sealed.body[: dice.randrange(len(sealed.body))]
    bodies = (bytes(body), cut, b"", sealed.body + bytes(1), sealed.body + bytes(16))
    return [
        *(record(sealed.kind, one, sealed.version) for one in bodies),
        record(sealed.kind ^ 1, sealed.body, sealed.version),
    ]


@pytest.mark.parametrize("number", BEFORE_13, ids=lambda number: SUITES[number].name)
def test_every_suite_up_to_tls_1_2(number: int) -> None:
    suite, dice = SUITES[number], random.Random(number)
    if suite.mode != "CBC":
        keys = keys_for(suite, dice, TLS_1_2)
        opener = up_to_12(keys, suite, TLS_1_2, encrypt_then_mac=False)
        assert_opens_what_was_sealed(aead_12(suite, keys, dice), opener, dice)
        return
    for version in (TLS_1_0, TLS_1_1, TLS_1_2) if suite.digest == "sha1" else (TLS_1_2,):
        for outside in (False, True):
            keys = keys_for(suite, dice, version)
            opener = up_to_12(keys, suite, version, encrypt_then_mac=outside)
            assert_opens_what_was_sealed(cbc(suite, keys, dice, version, outside=outside), opener, dice)


@pytest.mark.parametrize("number", sorted(set(SUITES) - set(BEFORE_13)), ids=lambda number: SUITES[number].name)
def test_every_suite_of_tls_1_3(number: int) -> None:
    suite, dice = SUITES[number], random.Random(number)
    keys = keys_for(suite, dice, 0x0304)
    assert_opens_what_was_sealed(tls_13(suite, keys, dice), Tls13(keys, suite), dice)
