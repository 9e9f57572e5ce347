"""What real OpenSSL handshakes said, opened with nothing but their key logs."""

import itertools
import ssl
from pathlib import Path

import pytest

from labkit.analysis.tls import Direction, KeyLog, Session, open_session
from labkit.analysis.tls.suites import SUITES

from .handshakes import Conversation, Programs, contexts, talk

SAID = [(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\n\r\n"), (0, b"x" * 40_000), (1, b"y"), (0, b"z")]
V10, V11, V12, V13 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def opened(conversation: Conversation) -> Session:
    return open_session(conversation.client, conversation.server, KeyLog.of(conversation.keys))


def text(direction: Direction) -> bytes:
    return b"".join(one.data for one in direction.application)


def said(by: int) -> bytes:
    return b"".join(piece for who, piece in SAID if who == by)


def assert_opened(session: Session) -> None:
    assert session.why is None
    assert (text(session.client), session.client.why) == (said(0), None)
    assert (text(session.server), session.server.why) == (said(1), None)


def offered() -> list[tuple[ssl.TLSVersion, str, str]]:
    """Every version and cipher suite of this OpenSSL that needs no pre-shared key and has a cipher of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    found = []
    for cipher in context.get_ciphers():
        if cipher["id"] & 0xFFFF not in SUITES or cipher["auth"] not in ("auth-rsa", "auth-ecdsa", "auth-null"):
            continue
        if "psk" in cipher["kea"] or cipher["protocol"] == "TLSv1.3":
            continue
        kind = "ecdsa" if cipher["auth"] == "auth-ecdsa" else "rsa"
        old = cipher["protocol"] in ("SSLv3", "TLSv1.0")
        found += [(version, cipher["name"], kind) for version in ((V10, V11, V12) if old else (V12,))]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("version", "cipher", "kind"), offered())
def test_up_to_tls_1_2(version: ssl.TLSVersion, cipher: str, kind: str) -> None:
    conversation = talk(*contexts(version, cipher, kind), SAID)
    assert conversation.cipher == cipher
    session = opened(conversation)
    assert session.version.replace("TLS ", "TLSv").replace("v1.0", "v1") == conversation.version
    assert_opened(session)


def test_all_ways_of_protection_were_among_them() -> None:
    names = {name for _, name, _ in offered()}
    for way in ("AES128-GCM", "AES256-GCM", "CHACHA20", "AES128-CCM8", "AES256-CCM", "AES128-SHA", "AES256-SHA384"):
        assert any(way in name for name in names), way


@pytest.mark.parametrize("cipher", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
@pytest.mark.needs("openssl")
def test_every_cipher_of_tls_1_3_with_keys_that_change_on_the_way(cipher: str) -> None:
    """openssl s_client takes K as "update the keys of both sides" and k as "update mine"."""
    said = [(b"one\n", b"one\n"), (b"K\n", b""), (b"two\n", b"two\n"), (b"k\n", b""), (b"three\n", b"three\n")]
    with Programs("-ciphersuites", cipher) as programs:
        conversation = programs.talk(said, "-tls1_3", "-ciphersuites", cipher)
    session = opened(conversation)
    assert (session.why, session.version, session.cipher) == (None, "TLS 1.3", cipher)
    assert (text(session.client), session.client.why) == (b"one\ntwo\nthree\n", None)
    assert session.server.why is None
    assert [one.kind for one in session.client.plain].count(22) == 4  # hello, Finished, two KeyUpdates


def test_tls_1_3_tells_what_alpn_chose_under_encryption() -> None:
    session = opened(talk(*contexts(V13, alpn=["h2", "http/1.1"]), SAID))
    assert session.protocol == "h2"
    assert session.server_hello
    assert session.server_hello.protocol is None
    assert_opened(session)


def test_tls_1_2_says_it_in_the_clear() -> None:
    session = opened(talk(*contexts(V12, alpn=["http/1.1"]), SAID))
    assert session.server_hello
    assert session.protocol == session.server_hello.protocol == "http/1.1"


def test_a_server_that_asks_for_another_hello() -> None:
    client, server = contexts(V13)
    server.set_ecdh_curve("secp384r1")
    conversation = talk(client, server, SAID)
    assert conversation.client.count(bytes([22, 3, 3])) >= 1  # the second ClientHello
    assert_opened(opened(conversation))


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_that_goes_on(version: ssl.TLSVersion) -> None:
    client, server = contexts(version)
    kept: list[ssl.SSLSession] = []
    first = talk(client, server, SAID, keep=kept.append)
    second = talk(client, server, SAID, session=kept[0])
    assert len(second.server) < len(first.server) - 500  # no certificate again
    assert_opened(opened(second))


@pytest.mark.needs("openssl")
def test_data_before_the_handshake_is_over(tmp_path: Path) -> None:
    early, kept = tmp_path / "early", tmp_path / "session"
    early.write_bytes(b"early\n")
    with Programs("-early_data", "-no_anti_replay") as programs:
        programs.talk([(b"one\n", b"one\n")], "-tls1_3", "-sess_out", str(kept), until=kept)
        resumed = ["-tls1_3", "-sess_in", str(kept), "-early_data", str(early)]
        conversation = programs.talk([(b"late\n", b"early\n")], *resumed)
    session = opened(conversation)
    assert session.client_hello
    assert session.client_hello.early_data
    assert text(session.client) == b"early\nlate\n"


def test_without_keys_it_says_so() -> None:
    for version, name in ((V12, "TLS 1.2"), (V13, "TLS 1.3")):
        conversation = talk(*contexts(version), SAID)
        session = open_session(conversation.client, conversation.server, KeyLog.of([]))
        assert session.why == f"{name}, and this file has no keys for it"
        assert session.client.plain == session.server.plain == ()
        others = talk(*contexts(version), SAID)
        assert open_session(conversation.client, conversation.server, KeyLog.of(others.keys)).why == session.why


@pytest.mark.parametrize("version", [V12, V13])
def test_wrong_keys_open_nothing(version: ssl.TLSVersion) -> None:
    conversation = talk(*contexts(version), SAID)
    wrong = [" ".join([*line.split()[:2], "00" * (len(line.split()[2]) // 2)]) for line in conversation.keys]
    session = open_session(conversation.client, conversation.server, KeyLog.of(wrong))
    assert (session.why, text(session.client), text(session.server)) == (None, b"", b"")
    assert session.client.why == session.server.why == "a record does not open with the keys that this file has"


def test_one_side_s_keys_open_one_side_and_application_secrets_are_enough() -> None:
    conversation = talk(*contexts(V13), SAID)
    some = [line for line in conversation.keys if line.startswith("CLIENT_TRAFFIC")]
    session = open_session(conversation.client, conversation.server, KeyLog.of(some))
    assert (text(session.client), session.client.why) == (said(0), None)
    assert (text(session.server), session.server.why) == (b"", "this file lacks keys of this direction")


@pytest.mark.parametrize(("version", "cipher"), [(V12, "AES128-SHA"), (V12, "AES128-GCM-SHA256"), (V13, None)])
def test_a_changed_byte_ends_it_there(version: ssl.TLSVersion, cipher: str | None) -> None:
    conversation = talk(*contexts(version, cipher), SAID)
    whole = opened(conversation).client
    third = whole.application[2]
    for at in (third.begin + 5, third.begin + 30, third.end - 1):
        broken = bytearray(conversation.client)
        broken[at] ^= 1
        session = open_session(bytes(broken), conversation.server, KeyLog.of(conversation.keys))
        assert (session.client.application, session.client.at) == (whole.application[:2], third.begin)
        assert session.client.why
        assert text(session.server) == said(1)


def test_cut_off_anywhere_it_gives_what_is_whole() -> None:
    conversation = talk(*contexts(V13), [(0, b"one"), (1, b"two"), (0, b"three")])
    keys = KeyLog.of(conversation.keys)
    for client, server in itertools.product(range(0, len(conversation.client), 7), (0, 40, len(conversation.server))):
        session = open_session(conversation.client[:client], conversation.server[:server], keys)
        if session.why is None:
            assert b"onethree".startswith(text(session.client))
        else:
            assert "this capture does not have the whole" in session.why


def test_what_cannot_be_decrypted_is_named() -> None:
    session = opened(talk(*contexts(V12, "ECDHE-RSA-NULL-SHA"), SAID))
    assert session.why == "TLS 1.2 with cipher suite 0xC010, which labkit does not decrypt"


def test_a_log_may_hold_anything() -> None:
    conversation = talk(*contexts(V13), SAID)
    noise = ["# comment", "", "CLIENT_RANDOM", "CLIENT_RANDOM zz 00", "X 00 00", "CLIENT_RANDOM 00 00 00", "\0"]
    session = open_session(conversation.client, conversation.server, KeyLog.of([*noise, *conversation.keys]))
    assert_opened(session)
