"""Frames by the h2 library, read back: what one side sent."""

from collections.abc import Callable

import h2.connection
import h2.settings
import pytest
from h2.config import H2Configuration

from labkit.analysis.messages import http2
from labkit.analysis.messages.http import Request

GET = [(":method", "GET"), (":scheme", "https"), (":path", "/a"), (":authority", "lb"), ("X-Tag".lower(), "1")]


class Pair:
    """A client and a server that hear each other at once; client, server: all bytes of each."""

    def __init__(self) -> None:
        self.ends = [
            h2.connection.H2Connection(H2Configuration(client_side=side == 0, header_encoding=None)) for side in (0, 1)
        ]
        self.said = [b"", b""]
        for end in self.ends:
            end.initiate_connection()
        self.carry()

    def carry(self) -> None:
        for side in (0, 1, 0):
            piece = self.ends[side].data_to_send()
            self.said[side] += piece
            self.ends[1 - side].receive_data(piece)

    def ask(self, stream: int, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self.ends[0].send_headers(stream, headers, end_stream=not body)
        if body:
            self.ends[0].send_data(stream, body, end_stream=True)
        self.carry()

    def answer(self, stream: int, status: str = "200", body: bytes = b"") -> None:
        self.ends[1].send_headers(stream, [(":status", status), ("server", "x")], end_stream=not body)
        if body:
            self.ends[1].send_data(stream, body, end_stream=True)
        self.carry()


def test_requests_and_answers_on_streams_that_overlap() -> None:
    pair = Pair()
    pair.ends[0].send_headers(1, [*GET[:2], (":path", "/one"), *GET[3:], ("cookie", "a=1"), ("cookie", "b=2")])
    pair.ask(3, [*GET[:2], (":path", "/three"), *GET[3:]])
    pair.ends[0].send_data(1, b"body", end_stream=True)
    pair.carry()
    pair.answer(3, body=b"third")
    pair.answer(1, "404")
    side = http2.by_client(pair.said[0])
    assert http2.spoken(pair.said[0])
    assert [(one.stream, one.target, one.body, one.complete) for one in side.requests] == [
        (1, "/one", b"body", True), (3, "/three", b"", True)
    ]  # fmt: skip
    one = side.requests[0]
    assert (one.method, one.version, one.host, one.header("cookie")) == ("GET", "HTTP/2", "lb", "a=1; b=2")
    assert one.headers == (("x-tag", "1"), ("cookie", "a=1"), ("cookie", "b=2"))
    assert len(one.spans) == 2  # HEADERS and DATA, the other stream's frame between them
    assert one.spans[0][1] <= side.requests[1].spans[0][0] < one.spans[1][0]
    answers = http2.by_server(pair.said[1]).responses
    assert [(one.stream, one.status, one.body) for one in answers] == [(3, 200, b"third"), (1, 404, b"")]
    assert side.why is None


def test_long_fields_go_on_in_another_frame_and_padding_is_no_body() -> None:
    pair = Pair()
    pair.ends[0].send_headers(1, [*GET, ("x-long", "y" * 30_000)])
    pair.ends[0].send_data(1, b"abc", pad_length=20, end_stream=True)
    pair.carry()
    (request,) = http2.by_client(pair.said[0]).requests
    assert request.header("x-long") == "y" * 30_000
    assert request.body == b"abc"


def test_a_table_that_the_other_side_allowed_to_grow() -> None:
    pair = Pair()
    pair.ends[1].update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 65_536})
    pair.carry()
    pair.carry()
    for stream in (1, 3):
        pair.ask(stream, [*GET, ("x-long", "z" * 9_000)])
    assert [one.header("x-long") for one in http2.by_client(pair.said[0]).requests] == ["z" * 9_000] * 2


def test_interim_answers_and_trailers() -> None:
    pair = Pair()
    pair.ask(1, GET)
    pair.ends[1].send_headers(1, [(":status", "103"), ("link", "</a>")])
    pair.ends[1].send_headers(1, [(":status", "200")])
    pair.ends[1].send_data(1, b"x")
    pair.ends[1].send_headers(1, [("checksum", "1")], end_stream=True)
    pair.carry()
    answers = http2.by_server(pair.said[1]).responses
    assert [(one.status, one.body, one.complete) for one in answers] == [(103, b"", True), (200, b"x", True)]
    assert answers[1].headers == ()


def test_what_ends_streams_and_connections_is_told() -> None:
    pair = Pair()
    pair.ask(1, GET)
    pair.ends[0].reset_stream(1, 8)
    pair.ends[0].close_connection()
    pair.carry()
    words = [note.words for note in http2.by_client(pair.said[0]).notes]
    assert words == ["SETTINGS", "RST_STREAM stream 1: CANCEL", "GOAWAY after stream 0: NO_ERROR"]


def _broken_fields(data: bytes) -> bytes:
    return data + bytes.fromhex("000001 01 05 00000005 ff")  # an index that is not whole


def _on_no_stream(data: bytes) -> bytes:
    return data + bytes.fromhex("000000 00 00 00000000")  # DATA on stream 0


@pytest.mark.parametrize("spoil", [_broken_fields, _on_no_stream])
def test_what_is_not_understood_ends_it_and_is_told(spoil: Callable[[bytes], bytes]) -> None:
    pair = Pair()
    pair.ask(1, GET)
    whole = pair.said[0]
    side = http2.by_client(spoil(whole))
    assert [one.target for one in side.requests] == ["/a"]
    assert side.why
    assert side.why.startswith("HTTP/2 frames that are not understood")
    assert side.at == len(whole)


def test_cut_off_anywhere_it_gives_what_is_whole() -> None:
    pair = Pair()
    pair.ask(1, GET, b"body")
    for cut in range(len(http2.PREFACE), len(pair.said[0])):
        side = http2.by_client(pair.said[0][:cut])
        assert side.why is None
        assert not any(request.complete for request in side.requests)


def test_few_bytes_that_stand_for_many_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MOST_FIELDS", 30_000)
    pair = Pair()
    for stream in range(1, 41, 2):
        pair.ask(stream, [*GET, ("x-long", "q" * 2_000)])  # from the second on, one byte
        pair.answer(stream)
    assert len(pair.said[0]) < 20_000
    side = http2.by_client(pair.said[0])
    assert side.why
    assert "labkit decodes" in side.why
    assert sum(len(one.header("x-long") or "") for one in side.requests if isinstance(one, Request)) < 30_000


def test_http_1_is_something_else() -> None:
    assert not http2.spoken(b"GET / HTTP/1.1\r\n\r\n")
    assert not http2.spoken(http2.PREFACE[:-1])
