"""What a connection said: in clear, decrypted, or why not; and which packets carried it."""

import random
import ssl

import pytest

from labkit.analysis.messages.content import Content, content, of_streams
from labkit.analysis.messages.streams import Stream
from labkit.analysis.study import Study
from labkit.analysis.tls import KeyLog
from labkit.recording import Recording
from tests.analysis.ladders import only
from tests.analysis.tls.handshakes import contexts
from tests.analysis.tls.handshakes import talk as tls_talk
from tests.analysis.tls.test_records import record
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import Link, Nat, Wire, get, udp

NO_KEYS = KeyLog.of([])
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def of(recording: Recording) -> Content:
    study = Study(recording)
    return content(study.index, study.sightings, study.connections.members[0], study.keys)


def test_plain_text_is_what_was_on_the_wire() -> None:
    found = of(on_wire([(0, get()), (1, ANSWER)]).recording())
    assert (found.client.data, found.server.data, found.wire) == (get(), ANSWER, (found.client, found.server))
    assert (found.tls, found.why, found.encrypted, found.opened) == (None, None, False, True)


def test_with_keys_each_byte_knows_the_packets_of_its_record() -> None:
    dice = random.Random(2)
    said = [(turn % 2, dice.randbytes(dice.choice((1, 50, 4000)))) for turn in range(6)]
    conversation = tls_talk(*contexts(ssl.TLSVersion.TLSv1_3), said)
    wire = on_wire(conversation.pieces, Link(dport=443), keys=conversation.keys)
    found = of(wire.recording())
    assert (found.encrypted, found.opened, found.why) == (True, True, None)
    for side, stream in ((0, found.client), (1, found.server)):
        assert stream.data == b"".join(text for by, text in said if by == side)
        ciphered = found.wire[side]
        at = 0
        for by, text in said:
            if by == side:
                rows = stream.rows_of(at, at + len(text))
                assert set(rows) <= set(ciphered.rows)
                assert sum(int(wire.recording().packets["captured"][row]) - 54 for row in rows) >= len(text)
                at += len(text)
    without = of(on_wire(conversation.pieces, Link(dport=443)).recording())
    assert (without.client.data, without.server.data, without.opened) == (b"", b"", False)
    assert without.why == "encrypted: TLS 1.3, and this file has no keys for it"


def test_it_is_taken_where_most_of_it_was_captured() -> None:
    wire = on_wire([(0, get()), (1, ANSWER)], Nat())
    lost = [one for one in wire.seen if not (one[1] == "alice" and len(one[2]) > 54)]
    wire.seen = lost
    assert of(wire.recording()).client.data == get()
    assert of(only(wire, "alice")).client.data == b""


@pytest.mark.parametrize(
    ("client", "server", "why"),
    [
        (Stream(b"x", True), Stream(b"y", True), None),
        (
            Stream(b"x", True, missing="the last 2 bytes were not captured"), Stream(b"", True),
            "of what the client said, the last 2 bytes were not captured",
        ),
        (
            Stream(b"x", True, missing="a"), Stream(b"y", True, missing="b"),
            "of what the client said, a; of what the server said, b",
        ),
        (
            Stream(record(23, b"x"), False), Stream(b"", False),
            "encrypted: TLS, and the beginning of this connection was not captured",
        ),
        (
            Stream(b"", True), Stream(record(22, b"x"), True),
            "encrypted: TLS, and the beginning of this connection was not captured",
        ),
        (
            Stream(record(22, b"x"), True), Stream(b"", True),
            "encrypted: TLS, and this capture does not have the whole ClientHello",
        ),
    ],
)  # fmt: skip
def test_why_there_is_no_more(client: Stream, server: Stream, why: str | None) -> None:
    found = of_streams(client, server, NO_KEYS)
    assert found.why == why
    assert found.wire == (client, server)
    assert found.encrypted is (why or "").startswith("encrypted")


def test_a_datagram_conversation_is_all_its_datagrams() -> None:
    wire = Wire(("alice",))
    for by, text in ((0, b"one"), (0, b"two"), (1, b"three")):
        wire.carry((Link().out if by == 0 else Link().back)(udp(text), 1))
    found = of(wire.recording())
    assert (found.client.data, found.server.data, found.tls) == (b"onetwo", b"three", None)
