"""Fields above TCP and UDP, from bytes written by hand and by wsproto, h2 and OpenSSL."""

import random

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, Ping, TextMessage

from labkit.analysis.messages import fields
from labkit.analysis.messages.http import Request, requests
from labkit.wording import inert
from tests.analysis.tls.test_hello import alpn, answer, extension, hello
from tests.analysis.tls.test_records import record
from tests.analysis.wire import get

from .test_http2 import GET, Pair


def asked(target: str = "/", *headers: tuple[str, str], body: bytes = b"", authority: str | None = None) -> Request:
    return Request("GET", target, "HTTP/1.1", headers, body, True, authority)


@pytest.mark.parametrize(
    ("request_", "values"),
    [
        (asked(), {}),
        (asked("/", ("Host", "lb"), ("COOKIE", "a=1")), {"http.host": "lb", "http.cookie": "a=1"}),
        (asked("/", ("Cookie", "a=1"), ("cookie", "b=2")), {"http.cookie": "a=1; b=2"}),
        (asked("/", ("X-A", "1"), ("x-a", "2")), {"http.header.x-a": "1, 2"}),
        (asked("/", ("host", "other"), authority="lb"), {"http.host": "lb"}),  # RFC 9113 §8.3.1
        (asked(body=b"text"), {"http.body": "text"}),
        (asked(body=b"\0" * 1234), {"http.body": "1,234 bytes"}),
        (asked("/\x1b[31m", ("X\u202e", "a\x07")), {"http.target": "/\\x1b[31m", "http.header.x\\u202e": "a\\x07"}),
    ],
)
def test_the_fields_of_a_request(request_: Request, values: dict[str, str]) -> None:
    every = {"http.method": "GET", "http.target": "/", "http.version": "HTTP/1.1", **values}
    assert fields.of_request(request_) == every


def test_whatever_a_request_holds_is_told_and_harmless() -> None:
    dice = random.Random(12)
    letters = "aZ9-\x1b\u202e\u2028ä\udc80\x7f"
    for _ in range(300):
        names = ["x-" + "".join(dice.choices("abc", k=2)) for _ in range(4)]
        headers = [(name, "".join(dice.choices(letters, k=5))) for name in names]
        found = fields.of_request(asked("/" + "".join(dice.choices(letters, k=5)), *headers))
        for name in names:
            wanted = ", ".join(inert(value) for own, value in headers if own == name)
            assert found[f"http.header.{name}"] == wanted
        assert all(inert(str(text)) == text for text in (*found, *found.values()))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"name=value", "name=value"),
        (b"two\r\nlines\r\n", "two\r\nlines"),
        ("ä".encode(), "ä"),
        (b"x" * 60, "x" * 60),
        (b"x" * 61, "61 bytes"),
        (b"\xff", "1 byte"),
        (b"\x1b[31m", "5 bytes"),
        ("\u202e".encode(), "3 bytes"),
    ],
)
def test_bytes_as_text(data: bytes, text: str) -> None:
    assert fields.as_text(data) == text


def test_requests_of_both_versions_stand_in_a_clients_stream() -> None:
    pair = Pair()
    pair.ask(1, GET)
    pair.ask(3, [*GET[:2], (":path", "/b"), *GET[3:]])
    assert [(one.version, one.target) for one in fields.requests_in(pair.said[0])] == [
        ("HTTP/2", "/a"), ("HTTP/2", "/b")
    ]  # fmt: skip
    assert [(one.version, one.target) for one in fields.requests_in(get("/c") + get("/d"))] == [
        ("HTTP/1.1", "/c"), ("HTTP/1.1", "/d")
    ]  # fmt: skip
    for nothing in (b"", b"\x16\x03\x01", b"SSH-2.0-x\r\n", get()[:-1]):
        assert fields.requests_in(nothing) == []


def test_what_both_hellos_say() -> None:
    chosen = record(22, answer(bytes(32), extension(43, b"\x03\x04"), cipher=0x1301))
    older = record(22, answer(bytes(32), alpn(b"h2")))
    offered = {"tls.sni": "lb.test", "tls.alpn": "h2, http/1.1"}
    assert fields.of_hellos(hello(), chosen) == {"tls.version": "TLS 1.3", **offered}
    assert fields.of_hellos(hello(), older) == {"tls.version": "TLS 1.2", **offered}  # what was agreed on counts
    assert fields.of_hellos(hello(), b"") == {"tls.version": "TLS 1.3", **offered}  # or else what was offered
    assert fields.of_hellos(hello(None, ()), chosen) == {"tls.version": "TLS 1.3"}
    assert fields.of_hellos(get(), chosen) == {}
    assert fields.of_hellos(hello()[:-1], chosen) == {}


def test_the_first_message_after_an_upgrade() -> None:
    upgrade = get("/ws", "Upgrade: websocket", "Connection: Upgrade")
    (request,) = requests(upgrade)
    for event, opcode, length in (
        (TextMessage("ä" * 200), "text", 400), (BytesMessage(b"xyz"), "binary", 3), (Ping(b""), "ping", 0)
    ):  # fmt: skip
        sender = Connection(ConnectionType.CLIENT)
        client = upgrade + sender.send(event) + sender.send(TextMessage("second"))
        assert fields.of_websocket(client, request) == {"websocket.opcode": opcode, "websocket.payload_length": length}
    assert fields.of_websocket(upgrade, request) == {}


def test_fields_stand_in_the_order_in_which_they_are_said() -> None:
    names = [
        "tls.version", "http.method", "http.target", "http.version", "http.host", "http.cookie", "http.header.via",
        "http.body", "websocket.opcode", "payload",
    ]  # fmt: skip
    shuffled = random.Random(3).sample(names, len(names))
    assert sorted(shuffled, key=fields.rank) == names
    assert fields.rank("http.header.a") == fields.rank("http.header.z")
    layers = ["TLS", *["HTTP"] * 7, "WebSocket", "Payload"]
    assert [fields.layer(name) for name in names] == layers
    assert {fields.layer(name) for name in fields.SECRET} <= fields.INSIDE_TLS
