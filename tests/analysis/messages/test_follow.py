"""Conversations on the wire, followed: in clear, decrypted, and where that cannot be."""

import ssl
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, TextMessage

from labkit.analysis.messages.follow import Followed, follow
from labkit.analysis.study import Study
from tests.analysis.tls.handshakes import Conversation, contexts, talk
from tests.analysis.tls.wires import carry, on_wire, secrets
from tests.analysis.wire import ALICE, VIP, Link, Nat, Talk, Wire, udp

from .test_http2 import GET, Pair

ASKED, ANSWERED = (
    b"POST /a HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
)
SAID = [(0, ASKED), (1, ANSWERED), (0, ASKED), (1, ANSWERED)]


def followed(wire: Wire, connection: int = 1) -> Followed:
    study = Study(wire.recording())
    return follow(study.content(connection), study.index)


def heads(found: Followed) -> list[tuple[str, str]]:
    return [(turn.side, turn.head[0]) for turn in found.turns]


def encrypted(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Conversation:
    return talk(*contexts(version), SAID)


def test_http_in_clear_turn_by_turn() -> None:
    found = followed(on_wire(SAID, Link()))
    assert found.protocol == "HTTP/1.1"
    assert heads(found) == [("client", "POST /a HTTP/1.1"), ("server", "HTTP/1.1 204 No Content")] * 2
    first, second = found.turns[:2]
    assert first.head == ("POST /a HTTP/1.1", "Host: lb", "Content-Length: 2")
    assert (first.body, second.body, first.complete) == (b"hi", b"", True)
    assert (found.client, found.server) == (ASKED * 2, ANSWERED * 2)
    assert (found.why, found.tls) == (None, None)


def test_what_is_compressed_without_an_agreement_is_said_to_be() -> None:
    asked = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    answered = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    found = followed(on_wire([(0, asked), (1, answered), (1, b"\xc1\x01x")], Link()))
    assert (found.turns[-1].head, found.turns[-1].note) == (("WebSocket text, 1 bytes",), "compressed, not unpacked")


def test_turns_name_the_packets_that_carried_them_at_one_vantage_point() -> None:
    wire = Wire()
    carry(Talk(wire, Link()).open(), [(0, ASKED), (1, ANSWERED)], size=20)
    found = followed(wire)
    study = Study(wire.recording())
    for turn, side in zip(found.turns, (found.client, found.server), strict=True):
        assert b"".join(study.index.bytes_of(number - 1) for number in turn.packets) == side
        assert turn.time_ns == study.index.time_ns[turn.packets[0] - 1]
    assert len(found.turns[0].packets) == -(-len(ASKED) // 20)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_same_decrypted(version: ssl.TLSVersion) -> None:
    conversation = encrypted(version)
    found = followed(on_wire(conversation.pieces, Nat(dport=443, backend_port=443), keys=conversation.keys))
    assert heads(found) == heads(followed(on_wire(SAID, Link())))
    assert (found.client, found.server, found.why) == (ASKED * 2, ANSWERED * 2, None)
    name = "TLS 1.2" if version == ssl.TLSVersion.TLSv1_2 else "TLS 1.3"
    assert found.tls
    assert found.tls.startswith(f"{name}, TLS_")
    assert "SNI lb.test" in found.tls
    assert all(turn.packets for turn in found.turns)


def test_without_keys_it_says_so_and_shows_what_is_in_clear() -> None:
    conversation = encrypted()
    found = followed(on_wire(conversation.pieces))
    assert found.why == "encrypted: TLS 1.3, and this file has no keys for it"
    assert (found.protocol, found.client, found.server) == ("TLS", b"", b"")
    assert heads(found)[0] == ("client", "ClientHello: up to TLS 1.3, SNI lb.test")
    assert heads(found)[1][1].startswith("ServerHello: TLS 1.3, TLS_")
    assert all("bytes of TLS records, not decrypted" in head for _, head in heads(found)[2:])
    assert not any(turn.body for turn in found.turns)


def test_from_the_middle_of_tls_it_says_so() -> None:
    conversation = encrypted()
    wire = Wire()
    carry(Talk(wire, Link(dport=443)), conversation.pieces[4:])
    wire.events.append(secrets(conversation.keys))
    assert followed(wire).why == "encrypted: TLS, and the beginning of this connection was not captured"


def test_a_gap_in_tls_ends_the_plain_text_there() -> None:
    conversation = encrypted()
    wire = on_wire(conversation.pieces, keys=conversation.keys)
    last = max(number for *_, number in wire.seen)
    lost = [number for *_, raw, _, number in wire.seen if len(raw) > 120 and number < last]
    wire.seen = [one for one in wire.seen if one[-1] != lost[-1]]  # the client's second request
    found = followed(wire)
    assert (found.client, found.server) == (ASKED, ANSWERED * 2)
    assert found.why
    assert "of what the client said" in found.why
    assert "not captured" in found.why


def test_another_vantage_point_stands_in_for_a_gap() -> None:
    wire = on_wire(SAID, Nat())
    carrying = [one[-1] for one in wire.seen if one[1] == "alice" and len(one[2]) > 60]
    wire.seen = [one for one in wire.seen if not (one[1] == "alice" and one[-1] == carrying[0])]
    found = followed(wire)
    assert (found.client, found.why) == (ASKED * 2, None)


def test_http2_in_clear_and_under_tls() -> None:
    pair = Pair()
    pair.ask(1, GET, b"body")
    pair.answer(1, body=b"answer")
    pieces = [(0, pair.said[0]), (1, pair.said[1])]
    clear = followed(on_wire(pieces, Link()))
    conversation = talk(*contexts(ssl.TLSVersion.TLSv1_3, alpn=["h2"]), pieces)
    for found in (clear, followed(on_wire(conversation.pieces, keys=conversation.keys))):
        assert found.protocol == "HTTP/2"
        assert sorted(heads(found)) == [
            ("client", "SETTINGS"), ("client", "stream 1: GET /a HTTP/2"), ("server", "SETTINGS"),
            ("server", "stream 1: HTTP/2 200"),
        ]  # fmt: skip
        request = next(turn for turn in found.turns if "GET" in turn.head[0])
        assert request.head[1:] == (":authority: lb", "x-tag: 1")
        assert request.body == b"body"
    assert found.tls
    assert found.tls.endswith("ALPN h2")


def test_websocket_messages_are_turns() -> None:
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    upgrade = b"GET /ws HTTP/1.1\r\nHost: lb\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    pieces = [
        (0, upgrade), (1, switched), (0, client.send(TextMessage("hi"))), (1, server.send(TextMessage("ho"))),
        (0, client.send(CloseConnection(1001, "off"))),
    ]  # fmt: skip
    found = followed(on_wire(pieces, Link()))
    assert found.protocol == "WebSocket"
    assert [head for _, head in heads(found)[2:]] == [
        "WebSocket text, 2 bytes", "WebSocket text, 2 bytes", "WebSocket close 1001, 5 bytes"
    ]  # fmt: skip
    assert [turn.body for turn in found.turns[2:]] == [b"hi", b"ho", b"off"]


def test_other_protocols_are_told_in_runs_of_bytes() -> None:
    pieces = [(0, b"PING\r\n"), (0, b"PING\r\n"), (1, b"+PONG\r\n"), (0, b"QUIT\r\n")]
    found = followed(on_wire(pieces, Link(dport=6379)))
    assert found.protocol == "bytes"
    assert [(turn.side, turn.head, turn.body) for turn in found.turns] == [
        ("client", ("12 bytes",), b"PING\r\nPING\r\n"), ("server", ("7 bytes",), b"+PONG\r\n"),
        ("client", ("6 bytes",), b"QUIT\r\n"),
    ]  # fmt: skip


def test_a_datagram() -> None:
    wire = Wire()
    wire.carry(Link().out(udp(b"who"), 1))
    wire.carry(Link().back(udp(b"me"), 2))
    assert [(turn.side, turn.body) for turn in followed(wire).turns] == [("client", b"who"), ("server", b"me")]


def test_every_datagram_is_a_turn() -> None:
    wire = Wire()
    for turn, payload in enumerate((b"one", b"GET / HTTP/1.1\r\n\r\n", b"three")):
        wire.carry(Link().out(udp(payload), turn))
    wire.carry(Link().back(udp(b"answer"), 9))
    found = followed(wire)
    assert [(turn.side, turn.body, len(turn.packets)) for turn in found.turns] == [
        ("client", b"one", 1), ("client", b"GET / HTTP/1.1\r\n\r\n", 1), ("client", b"three", 1),
        ("server", b"answer", 1),
    ]  # fmt: skip
    assert (found.client, found.server, found.why) == (b"oneGET / HTTP/1.1\r\n\r\nthree", b"answer", None)


def test_of_a_datagram_in_fragments_the_rest_is_said_to_be_missing() -> None:
    wire = Wire(("alice",))
    packet = Ether() / IP(src=ALICE, dst=VIP, id=7) / UDP(sport=40000, dport=7) / Raw(b"F" * 3000)
    for frame in fragment(packet, 1000):
        wire.see("alice", frame, at=wire.wait())
    found = followed(wire)
    assert found.client == b"F" * 992
    assert "2,008 bytes of the datagram in packet 1 are missing" in str(found.why)


def test_a_connection_that_said_nothing() -> None:
    wire = Wire()
    Talk(wire, Link()).open()
    found = followed(wire)
    assert (found.turns, found.protocol, found.why) == ((), "bytes", None)


def test_secrets_of_another_leg_open_it_all_the_same() -> None:
    """A key log names a connection by its ClientHello: the leg is a word for people."""
    conversation = encrypted()
    wire = on_wire(conversation.pieces)
    wire.events.append(secrets(conversation.keys, leg=None))
    assert followed(wire).client == ASKED * 2
    recording = wire.recording()
    bare = replace(recording, events=())
    assert Study(bare).content(1).why


def test_requests_are_counted_in_clear_only() -> None:
    """HTTP/1.1 and HTTP/2 that anybody could read; what only the keys open is not in clear."""
    pair = Pair()
    pair.ask(1, GET)
    pair.ask(3, GET)
    conversation = encrypted()
    counts = [
        Study(wire.recording()).requests_in_clear
        for wire in (
            on_wire(SAID, Link()),
            on_wire([(0, pair.said[0])], Link()),
            on_wire(conversation.pieces, keys=conversation.keys),
        )
    ]
    assert counts == [{1: 2}, {1: 2}, {1: 0}]
