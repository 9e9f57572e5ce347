"""The table of suites against another copy of IANA's registry (scapy's), and against what the names mean."""

import random
import re

from scapy.layers.tls.crypto.suites import _tls_cipher_suites as registry

from labkit.analysis.tls.suites import SUITES, suite_name

IANA_SAYS = {  # where the order of words is the registry's own: RFC 6655 §4
    0xC0AA: "TLS_PSK_DHE_WITH_AES_128_CCM_8",
    0xC0AB: "TLS_PSK_DHE_WITH_AES_256_CCM_8",
}


def test_names_are_ianas() -> None:
    assert {number: suite_name(number) for number in SUITES} == {
        number: IANA_SAYS.get(number, registry.get(number)) for number in SUITES
    }


def test_every_aes_and_chacha20_suite_of_the_registry_is_here() -> None:
    """What is missing lies outside: other ciphers, static (EC)DH, Kerberos, and a draft's numbers."""
    ours = re.compile(r"AES_(128|256)_(CBC|CCM|GCM)|CHACHA20_POLY1305")
    theirs = {number for number, name in registry.items() if ours.search(name)}
    elsewhere = {number for number in theirs if re.match(r"TLS_(DH|ECDH)_(DSS|RSA|ECDSA)_|TLS_SRP_", registry[number])}
    drafts = {number for number in theirs if number >> 8 == 0xCC and number < 0xCCA8}
    assert theirs - elsewhere - drafts == set(SUITES)


def test_what_a_name_says_is_what_opening_needs() -> None:
    digests = {"SHA": "sha1", "SHA256": "sha256", "SHA384": "sha384"}
    for suite in SUITES.values():
        cipher = re.fullmatch(
            r"TLS_(?:\w+_WITH_)?(?:AES_(128|256)_(CBC|CCM|GCM)(_8)?|(CHACHA20)_POLY1305)(?:_(SHA\d*))?", suite.name
        )
        assert cipher is not None, suite.name
        bits, mode, short, chacha, digest = cipher.groups()
        assert suite.mode == (chacha or mode)
        assert suite.key == (32 if chacha else int(bits) // 8)
        assert suite.tag == (8 if short else 16)
        assert suite.digest == digests.get(digest or "SHA256")  # CCM without one: RFC 6655 §3
        assert suite.prf == ("sha384" if digest == "SHA384" else "sha256")  # RFC 5246 §5


def test_a_number_without_a_name_is_told_as_it_is() -> None:
    dice = random.Random(5)
    for number in {*(dice.randrange(1 << 16) for _ in range(500)), 0, 0x0A0A, 0xFFFF} - set(SUITES):
        assert suite_name(number) == f"cipher suite 0x{number:04X}"
