"""TLS cipher suites that can be opened here, by their numbers in IANA's registry: AES and ChaCha20-Poly1305.

Everything that opening needs stands in a suite's name, so the table holds names alone.
"""

from dataclasses import dataclass

# cipher and hash -> {number: key exchange}
_TLS_1_2: dict[str, dict[int, str]] = {
    "AES_128_CBC_SHA": {
        0x002F: "RSA", 0x0032: "DHE_DSS", 0x0033: "DHE_RSA", 0x0034: "DH_anon", 0x008C: "PSK", 0x0090: "DHE_PSK",
        0x0094: "RSA_PSK", 0xC009: "ECDHE_ECDSA", 0xC013: "ECDHE_RSA", 0xC018: "ECDH_anon", 0xC035: "ECDHE_PSK",
    },
    "AES_128_CBC_SHA256": {
        0x003C: "RSA", 0x0040: "DHE_DSS", 0x0067: "DHE_RSA", 0x006C: "DH_anon", 0x00AE: "PSK", 0x00B2: "DHE_PSK",
        0x00B6: "RSA_PSK", 0xC023: "ECDHE_ECDSA", 0xC027: "ECDHE_RSA", 0xC037: "ECDHE_PSK",
    },
    "AES_128_CCM": {
        0xC09C: "RSA", 0xC09E: "DHE_RSA", 0xC0A4: "PSK", 0xC0A6: "DHE_PSK", 0xC0AC: "ECDHE_ECDSA",
    },
    "AES_128_CCM_8": {
        0xC0A0: "RSA", 0xC0A2: "DHE_RSA", 0xC0A8: "PSK", 0xC0AA: "PSK_DHE", 0xC0AE: "ECDHE_ECDSA",
    },
    "AES_128_GCM_SHA256": {
        0x009C: "RSA", 0x009E: "DHE_RSA", 0x00A2: "DHE_DSS", 0x00A6: "DH_anon", 0x00A8: "PSK", 0x00AA: "DHE_PSK",
        0x00AC: "RSA_PSK", 0xC02B: "ECDHE_ECDSA", 0xC02F: "ECDHE_RSA",
    },
    "AES_256_CBC_SHA": {
        0x0035: "RSA", 0x0038: "DHE_DSS", 0x0039: "DHE_RSA", 0x003A: "DH_anon", 0x008D: "PSK", 0x0091: "DHE_PSK",
        0x0095: "RSA_PSK", 0xC00A: "ECDHE_ECDSA", 0xC014: "ECDHE_RSA", 0xC019: "ECDH_anon", 0xC036: "ECDHE_PSK",
    },
    "AES_256_CBC_SHA256": {
        0x003D: "RSA", 0x006A: "DHE_DSS", 0x006B: "DHE_RSA", 0x006D: "DH_anon",
    },
    "AES_256_CBC_SHA384": {
        0x00AF: "PSK", 0x00B3: "DHE_PSK", 0x00B7: "RSA_PSK", 0xC024: "ECDHE_ECDSA", 0xC028: "ECDHE_RSA",
        0xC038: "ECDHE_PSK",
    },
    "AES_256_CCM": {
        0xC09D: "RSA", 0xC09F: "DHE_RSA", 0xC0A5: "PSK", 0xC0A7: "DHE_PSK", 0xC0AD: "ECDHE_ECDSA",
    },
    "AES_256_CCM_8": {
        0xC0A1: "RSA", 0xC0A3: "DHE_RSA", 0xC0A9: "PSK", 0xC0AB: "PSK_DHE", 0xC0AF: "ECDHE_ECDSA",
    },
    "AES_256_GCM_SHA384": {
        0x009D: "RSA", 0x009F: "DHE_RSA", 0x00A3: "DHE_DSS", 0x00A7: "DH_anon", 0x00A9: "PSK", 0x00AB: "DHE_PSK",
        0x00AD: "RSA_PSK", 0xC02C: "ECDHE_ECDSA", 0xC030: "ECDHE_RSA",
    },
    "CHACHA20_POLY1305_SHA256": {
        0xCCA8: "ECDHE_RSA", 0xCCA9: "ECDHE_ECDSA", 0xCCAA: "DHE_RSA", 0xCCAB: "PSK", 0xCCAC: "ECDHE_PSK",
        0xCCAD: "DHE_PSK", 0xCCAE: "RSA_PSK",
    },
}  # fmt: skip
_TLS_1_3 = {
    0x1301: "AES_128_GCM_SHA256",
    0x1302: "AES_256_GCM_SHA384",
    0x1303: "CHACHA20_POLY1305_SHA256",
    0x1304: "AES_128_CCM_SHA256",
    0x1305: "AES_128_CCM_8_SHA256",
}
_MODES = ("GCM", "CCM", "CBC", "CHACHA20")


@dataclass(frozen=True, slots=True)
class Suite:
    """name: IANA's. mode: "GCM", "CCM", "CBC" or "CHACHA20". key, tag: lengths in bytes. digest: hashlib's name.

    digest is the hash of the key schedule (TLS 1.2: RFC 5246 §5) and of the HMAC where the mode is CBC.
    """

    name: str
    mode: str
    key: int
    tag: int
    digest: str

    @property
    def prf(self) -> str:
        """The hash of TLS 1.2's pseudorandom function: at least SHA-256."""
        return "sha256" if self.digest == "sha1" else self.digest


def _suite(name: str, cipher: str) -> Suite:
    words = cipher.split("_")
    last = {"SHA": "sha1", "SHA256": "sha256", "SHA384": "sha384"}
    mode = next(mode for mode in _MODES if mode in words)
    return Suite(
        name=name,
        mode=mode,
        key=16 if "128" in words else 32,
        tag=8 if mode == "CCM" and "8" in words else 16,
        digest=last.get(words[-1], "sha256"),
    )


SUITES: dict[int, Suite] = {
    **{
        number: _suite(f"TLS_{exchange}_WITH_{cipher}", cipher)
        for cipher, numbers in _TLS_1_2.items()
        for number, exchange in numbers.items()
    },
    **{number: _suite(f"TLS_{cipher}", cipher) for number, cipher in _TLS_1_3.items()},
}


def suite_name(number: int) -> str:
    """The name of a suite, or its number where it has none here."""
    return SUITES[number].name if number in SUITES else f"cipher suite 0x{number:04X}"
