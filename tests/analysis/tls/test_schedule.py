"""Keys by published vectors, and by other implementations of the same rules: cryptography's HKDF, scapy's PRF."""

import random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from scapy.layers.tls.crypto.prf import PRF

from labkit.analysis.tls.hello import TLS_1_0, TLS_1_1, TLS_1_2
from labkit.analysis.tls.schedule import expand_label, key_block, next_secret, traffic_keys
from labkit.analysis.tls.suites import SUITES, Suite

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
AES_128_GCM, CHACHA20 = 0x1301, 0x1303
RFC_8448 = {  # §3, a 1-RTT handshake
    "client handshake": "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
    "server handshake": "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
    "client traffic": "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    "server traffic": "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
}
RFC_9001 = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b"  # A.5


@pytest.mark.parametrize(
    ("secret", "key", "iv"),
    [
        ("client handshake", "dbfaa693d1762c5b666af5d950258d01", "5bd3c71b836e0b76bb73265f"),
        ("server handshake", "3fce516009c21727d0f2e4e86ee403bc", "5d313eb2671276ee13000b30"),
        ("client traffic", "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"),
        ("server traffic", "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"),
    ],
)
def test_the_keys_of_rfc_8448(secret: str, key: str, iv: str) -> None:
    found = traffic_keys(bytes.fromhex(RFC_8448[secret]), SUITES[AES_128_GCM])
    assert (found.key.hex(), found.iv.hex(), found.mac) == (key, iv, b"")


@pytest.mark.parametrize(
    ("secret", "label", "expanded"),
    [
        (RFC_8448["client handshake"], "finished", "b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4"),
        (RFC_8448["server handshake"], "finished", "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"),
        (RFC_9001, "quic key", "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"),
        (RFC_9001, "quic iv", "e0459b3474bdd0e44a41c144"),
        (RFC_9001, "quic hp", "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
        (RFC_9001, "quic ku", "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"),
    ],
)
def test_labels_of_rfc_8448_and_rfc_9001(secret: str, label: str, expanded: str) -> None:
    assert expand_label(bytes.fromhex(secret), label, len(expanded) // 2, "sha256").hex() == expanded


def by_hkdf(secret: bytes, label: bytes, length: int, digest: str) -> bytes:
    """RFC 8446 §7.1 written out: struct HkdfLabel with an empty context."""
    info = length.to_bytes(2) + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return HKDFExpand(HASHES[digest], length, info).derive(secret)


def test_any_label_and_length_as_hkdf_has_it() -> None:
    dice = random.Random(81)
    for _ in range(200):
        digest = dice.choice(["sha256", "sha384"])
        secret, length = dice.randbytes(HASHES[digest].digest_size), dice.randrange(1, 300)
        label = "".join(dice.choices("abc def", k=dice.randrange(1, 13)))
        assert expand_label(secret, label, length, digest) == by_hkdf(secret, label.encode(), length, digest)


@pytest.mark.parametrize("number", [number for number in SUITES if number >> 8 == 0x13])
def test_secrets_follow_each_other(number: int) -> None:
    suite, dice = SUITES[number], random.Random(number)
    secret = expected = dice.randbytes(HASHES[suite.digest].digest_size)
    for _ in range(5):
        secret = next_secret(secret, suite)
        expected = by_hkdf(expected, b"traffic upd", len(expected), suite.digest)
        assert secret == expected
        keys = traffic_keys(secret, suite)
        assert keys.key == by_hkdf(expected, b"key", suite.key, suite.digest)
        assert keys.iv == by_hkdf(expected, b"iv", 12, suite.digest)


# NIST CAVP for SP 800-135: what it calls the key block, after the master secret and the client's and server's randoms.
CAVP = {
    TLS_1_0: (
        "2f6962dfbc744c4b2138bb6b3d33054c5ecc14f24851d9896395a44ab3964efc2090c5bf51a0891209f46c1e1e998f62",
        "d58a7b1cd4fedaa232159df652ce188f9d997e061b9bf48e83b62990440931f6",
        "67267e650eb32444119d222a368c191af3082888dc35afe8368e638c828874be",
        "3088825988e77fce68d19f756e18e43eb7fe672433504feaf99b3c503d9091b164f166db301d70c9fc0870b4a94563907bee1a61fb78"
        "6cb717576890bcc51cb9ead97e01d0a2fea99c953377b195205ff07b369589178796edc963fd80fdbe518a2fc1c35c18ae8d",
    ),
    "sha256": (
        "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf",
        "62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616",
        "ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868",
        "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b2f387f8d11fd"
        "4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f1ad6f68b43495b10a683755e"
        "a2b858d70ccac7ec8b053c6bd41ca299d4e51928",
    ),
    "sha384": (
        "b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827",
        "954b5fe1849c2ede177438261f099a2fcd884d001b9fe1de754364b1f6a6dd8e",
        "1b1c8568344a65c30828e7483c0e353e2c68641c9551efae6927d9cd627a107c",
        "10fd89ef689c7ef033387b8a8f3e5e8e7c11f680f6bdd71fbac3246a73e98d45d03185dde686e6b2369e4503e9dc5a6d2cee3e2bf2fa"
        "3f41d3de57dff3e197c8a9d5f74cc2d277119d894f8584b07a0a5822f0bd68b3433ec6adaf5c9406c5f3ddbb71bbe17ce98f3d4d5893"
        "d3179ef369f57aad908e2bf710639100c3ce7e0c",
    ),
}


@pytest.mark.parametrize(
    ("vector", "version", "name", "lengths"),
    [  # lengths: of MAC secret, key and IV, by the suite's own RFC
        (TLS_1_0, TLS_1_0, "TLS_RSA_WITH_AES_128_CBC_SHA", (20, 16, 16)),
        (TLS_1_0, TLS_1_1, "TLS_RSA_WITH_AES_128_CBC_SHA", (20, 16, 0)),
        ("sha256", TLS_1_2, "TLS_RSA_WITH_AES_128_CBC_SHA", (20, 16, 0)),
        ("sha256", TLS_1_2, "TLS_RSA_WITH_AES_256_CBC_SHA256", (32, 32, 0)),
        ("sha256", TLS_1_2, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", (0, 16, 4)),
        ("sha256", TLS_1_2, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", (0, 32, 12)),
        ("sha256", TLS_1_2, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", (0, 32, 4)),
        ("sha384", TLS_1_2, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", (0, 32, 4)),
    ],
)
def test_key_blocks_of_cavp(vector: int | str, version: int, name: str, lengths: tuple[int, int, int]) -> None:
    master, client, server, block = map(bytes.fromhex, CAVP[vector])
    found = key_block(master, (client, server), named(name), version)
    assert [(side.mac, side.key, side.iv) for side in found] == cut(block, lengths)


def named(name: str) -> Suite:
    return next(suite for suite in SUITES.values() if suite.name == name)


def cut(block: bytes, lengths: tuple[int, int, int]) -> list[tuple[bytes, ...]]:
    """RFC 5246 §6.3: client_write_MAC, server_write_MAC, then both keys, then both IVs."""
    sides: list[list[bytes]] = [[], []]
    for length in lengths:
        for side in sides:
            side.append(block[:length])
            block = block[length:]
    return [tuple(side) for side in sides]


@pytest.mark.parametrize("version", [TLS_1_0, TLS_1_1, TLS_1_2])
def test_any_key_block_as_scapy_derives_it(version: int) -> None:
    dice = random.Random(version)
    older = [suite for suite in SUITES.values() if suite.mode == "CBC" and suite.digest == "sha1"]
    newer = [suite for number, suite in SUITES.items() if number >> 8 != 0x13]
    for suite in older if version < TLS_1_2 else newer:
        master, client, server = dice.randbytes(48), dice.randbytes(32), dice.randbytes(32)
        mac = {"sha1": 20, "sha256": 32, "sha384": 48}[suite.digest] if suite.mode == "CBC" else 0
        iv = (16 if version == TLS_1_0 else 0) if suite.mode == "CBC" else 12 if suite.mode == "CHACHA20" else 4
        lengths = mac, suite.key, iv
        prf = PRF(hash_name="sha384" if suite.name.endswith("SHA384") else "sha256", tls_version=version)
        block = prf.derive_key_block(master, server, client, 2 * sum(lengths))
        found = key_block(master, (client, server), suite, version)
        assert [(side.mac, side.key, side.iv) for side in found] == cut(block, lengths), suite.name
