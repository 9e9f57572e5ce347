"""What parsers of streams make of damaged bytes: an answer, whatever they are, and never an error or a long wait."""

import random
import ssl
from collections.abc import Callable, Iterator

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from labkit.analysis.messages import http, http2, websocket
from labkit.analysis.messages.content import of_streams
from labkit.analysis.messages.follow import follow
from labkit.analysis.messages.streams import Stream
from labkit.analysis.packets.index import Index
from labkit.analysis.study import Study
from labkit.analysis.tls import KeyLog, open_session
from labkit.views.follow import Conversation
from tests.analysis.tls.handshakes import contexts, talk
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import Link

from .test_http2 import GET, Pair

MUTANTS = 1_000


def mutants(data: bytes, seed: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    for _ in range(MUTANTS):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 2, 8))):
            place = dice.randrange(len(damaged))
            damaged[place] = dice.choice((damaged[place] ^ 1 << dice.randrange(8), 0, 0xFF, dice.randrange(256)))
        yield bytes(damaged[: dice.choice((len(damaged), dice.randrange(len(damaged) + 1)))])


def http2_pair() -> Pair:
    pair = Pair()
    for stream in (1, 3, 5):
        pair.ask(stream, [*GET, ("x-long", "y" * 200)], b"body" * stream)
        pair.answer(stream, body=b"answer")
    return pair


def websocket_messages() -> bytes:
    sender = Connection(ConnectionType.CLIENT)
    return b"".join(sender.send(TextMessage(text * 20)) for text in ("one", "two", "three"))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n"
PLAIN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nServer: x\r\n\r\nabc"
PARSERS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "http2 client": (lambda: http2_pair().said[0], http2.by_client),
    "http2 server": (lambda: http2_pair().said[1], http2.by_server),
    "websocket": (websocket_messages, lambda data: list(websocket.messages(data, 0))),
    "packed": (websocket_messages, lambda data: list(websocket.messages(data, 0, websocket.Deflate(keeps=True)))),
    "responses": (lambda: (CHUNKED + PLAIN) * 3, lambda data: list(http.responses(data, ["GET"] * 6))),
}


@pytest.mark.parametrize("name", PARSERS)
def test_of_one_stream(name: str) -> None:
    make, parse = PARSERS[name]
    for data in mutants(make(), seed=1):
        parse(data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_of_tls(version: ssl.TLSVersion) -> None:
    conversation = talk(*contexts(version), [(0, b"GET / HTTP/1.1\r\n\r\n"), (1, PLAIN)])
    keys = KeyLog.of(conversation.keys)
    whole = open_session(conversation.client, conversation.server, keys)
    for client, server in zip(mutants(conversation.client, 2), mutants(conversation.server, 3), strict=True):
        found = open_session(client, conversation.server, keys)
        said = [one.data for one in found.client.application]
        assert said in ([], [one.data for one in whole.client.application])
        open_session(conversation.client, server, keys)


def index_of_one_packet() -> Index:
    return Study(on_wire([(0, b"x")], Link()).recording()).index


def test_of_whole_conversations() -> None:
    """Through `follow` to the page, whatever the protocol."""
    index, keys = index_of_one_packet(), KeyLog.of([])
    upgrade = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"
    pair = http2_pair()
    for pieces in (
        (pair.said[0], pair.said[1]),
        (upgrade[0] + websocket_messages(), upgrade[1] + websocket_messages()),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi" * 3, (CHUNKED + PLAIN) * 2),
    ):
        for client, server in zip(mutants(pieces[0], 4), mutants(pieces[1], 5), strict=True):
            streams = (Stream(data, True, (0,), (0,)) for data in (client, server))
            shown = Conversation(follow(of_streams(*streams, keys), index), 1, {"client": "a", "server": "b"}, 50)
            shown.text.encode()
            shown._repr_mimebundle_()["text/html"].encode()
