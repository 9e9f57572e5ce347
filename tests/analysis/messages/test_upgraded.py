"""WebSocket conversations on the wire: packed, cut, without their beginning, and with what must not act when shown."""

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from labkit.analysis.messages.upgraded import MOST_SHOWN, Upgraded
from labkit.analysis.study import Study
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import Link, Talk, Wire

from .test_websocket import packed

ASKED = b"GET /ws HTTP/1.1\r\nHost: lb\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
AGREED = "permessage-deflate"


def answered(extensions: str = "") -> bytes:
    line = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    return f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n{line}\r\n".encode()


def sides(extensions: str = "") -> tuple[Connection, Connection]:
    agreed = (packed(extensions) if extensions else [] for _ in range(2))
    kinds = (ConnectionType.CLIENT, ConnectionType.SERVER)
    return tuple(Connection(kind, one) for kind, one in zip(kinds, agreed, strict=True))  # type: ignore[return-value]


def found(pieces: list[tuple[int, bytes]]) -> Upgraded | None:
    return Study(on_wire(pieces, Link()).recording()).websocket(1)


def test_both_sides_in_order_of_time_and_unpacked() -> None:
    client, server = sides(AGREED)
    text = "hello " * 50
    frames = [(0, client.send(TextMessage(text))), (1, server.send(TextMessage(text))), (0, client.send(Ping(b"p")))]
    frames += [(1, server.send(BytesMessage(b"\0" * 99))), (0, client.send(CloseConnection(1000, "bye")))]
    got = found([(0, ASKED), (1, answered(AGREED)), *frames])
    assert got is not None
    told = [(one.by_client, one.message.opcode, len(one.message.payload), one.text, one.note) for one in got.said]
    assert told == [
        (True, "text", 300, text, None),
        (False, "text", 300, text, None),
        (True, "ping", 1, "p", None),
        (False, "binary", 99, None, None),
        (True, "close", 5, "1000 bye", None),
    ]
    assert (got.count, got.lacks) == (3, ())
    assert got.said[0].message.length < 60, "as it was sent"


def test_what_is_compressed_without_an_agreement_is_said_to_be() -> None:
    client, _ = sides(AGREED)
    got = found([(0, ASKED), (1, answered()), (0, client.send(TextMessage("hello " * 50)))])
    assert got is not None
    (one,) = got.said
    assert (one.text, one.note) == (None, "compressed, and no permessage-deflate is known to be agreed on")


def test_what_does_not_unpack_or_is_no_whole_frame_is_told() -> None:
    client, _ = sides()
    wrong = bytes([0xC1, 3]) + b"\xff\xff\xff"
    opened = [(0, ASKED), (1, answered(AGREED))]
    got = found([*opened, (0, client.send(TextMessage("one")) + client.send(TextMessage("two"))[:-1]), (1, wrong)])
    assert got is not None
    assert [one.text for one in got.said] == ["one"]
    assert got.lacks == (
        "the last 8 bytes that the client said are no whole frame",
        "the last 5 bytes that the server said are compressed and do not unpack",
    )


def test_without_the_answer_to_the_upgrade_the_client_s_messages_are_read() -> None:
    client, server = sides()
    wire = Wire(lacking=lambda vantage, packet: vantage == "alice" and packet["IP"].src != "10.0.1.11")
    wire.vantages = ("alice",)
    talk = Talk(wire, Link()).open()
    talk.ask(ASKED, answered()).ask(client.send(TextMessage("hi")), server.send(TextMessage("ho"))).close()
    got = Study(wire.recording()).websocket(1)
    assert got is not None
    assert [one.text for one in got.said] == ["hi"]
    assert got.lacks == ("the answer to the upgrade was not captured, so what the server said cannot be read",)


def test_what_is_no_websocket_is_none() -> None:
    refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    assert found([(0, ASKED), (1, refused)]) is None
    assert found([(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"HTTP/1.1 204 No Content\r\n\r\n")]) is None
    assert found([(0, b"*1\r\n$4\r\nPING\r\n"), (1, b"+PONG\r\n")]) is None


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\x1b[2J\u202ex", "\\x1b[2J\\u202ex"),
        ("ä" * 1_000, "ä" * 1_000),
        ("🐎" * 1_001, "🐎" * MOST_SHOWN + "…"),
        ("", ""),
    ],
)
def test_text_is_harmless_and_bounded(sent: str, shown: str) -> None:
    client, _ = sides()
    got = found([(0, ASKED), (1, answered()), (0, client.send(TextMessage(sent)))])
    assert got is not None
    assert [one.text for one in got.said] == [shown]
