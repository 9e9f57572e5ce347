"""A connection as a conversation: what each side said, in turns, decoded as HTTP/1.1, HTTP/2 or WebSocket where it is.

Turns are values; how they look is the business of the views. What is no known protocol is told in bytes, run by run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

from labkit.analysis.packets.index import Index
from labkit.analysis.tls import records

from . import http, http2, websocket
from .content import Content
from .streams import Stream

Side = Literal["client", "server"]
_BOTH: tuple[Side, Side] = ("client", "server")


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that one side said.

    head: what it is, in a line or several ("GET / HTTP/1.1" and its headers). body: what came with it, as bytes.
    packets: numbers of the packets that carried it. time_ns: of the first of them. complete: False if its end is
    missing. note: what else must be known.
    """

    side: Side
    time_ns: int
    packets: tuple[int, ...]
    head: tuple[str, ...]
    body: bytes
    complete: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """A turn whose packets are not looked up yet: spans are places in its side's stream."""

    side: Side
    spans: http.Spans
    head: tuple[str, ...]
    body: bytes
    complete: bool = True
    note: str | None = None


@dataclass(frozen=True)
class Followed:
    """One connection's conversation. protocol: "HTTP/1.1", "HTTP/2", "WebSocket", "TLS" (not decrypted) or "bytes".

    client, server: the bytes that each side said; decrypted if they were encrypted and the keys are there, none if
    not. why: why plain text, or the rest of it, is missing; None if all of it is there. tls: "TLS 1.3, …" or None.
    """

    content: Content
    protocol: str
    turns: tuple[Turn, ...]

    @property
    def client(self) -> bytes:
        return self.content.client.data

    @property
    def server(self) -> bytes:
        return self.content.server.data

    @property
    def why(self) -> str | None:
        return self.content.why

    @cached_property
    def tls(self) -> str | None:
        session = self.content.tls
        if session is None:
            return None
        hello = session.client_hello
        name = hello.server_name if hello else None
        parts = (
            session.version,
            session.cipher,
            name and f"SNI {name}",
            session.protocol and f"ALPN {session.protocol}",
        )
        return ", ".join(filter(None, parts))


def follow(content: Content, index: Index) -> Followed:
    """The conversation in *content*."""
    if not content.opened:
        return Followed(content, "TLS", _turns(content.wire, index, _records(content)))
    streams = content.client, content.server
    protocol, items, why = _decoded(streams)
    if why:
        content = replace(content, why="; ".join(filter(None, (content.why, why))))
    return Followed(content, protocol, _turns(streams, index, items))


def _turns(streams: tuple[Stream, Stream], index: Index, items: Iterable[_Item]) -> tuple[Turn, ...]:
    """The items in order of time, with their packets."""
    found: list[tuple[int, int, Turn]] = []
    for item in items:
        stream = streams[_BOTH.index(item.side)]
        rows = sorted({row for begin, end in item.spans for row in stream.rows_of(begin, end)})
        when = int(index.time_ns[rows[0]]) if rows else 0
        turn = Turn(item.side, when, tuple(row + 1 for row in rows), item.head, item.body, item.complete, item.note)
        found.append((rows[0] if rows else -1, len(found), turn))
    return tuple(turn for *_, turn in sorted(found, key=lambda one: one[:2]))


def _decoded(streams: tuple[Stream, Stream]) -> tuple[str, list[_Item], str | None]:
    """The protocol, its items, and why not all could be decoded."""
    client, server = (stream.data for stream in streams)
    if streams[0].datagrams:
        return "bytes", list(_runs(streams, (0, 0))), None
    if http2.spoken(client):
        return _http2(client, server)
    asked = list(http.requests(client))
    if asked:
        return _http1(streams, asked)
    return "bytes", list(_runs(streams, (0, 0))), None


def _http1(streams: tuple[Stream, Stream], asked: list[http.Request]) -> tuple[str, list[_Item], str | None]:
    server = streams[1]
    closed = server.missing is None
    answered = list(http.responses(server.data, (request.method for request in asked), closed=closed))
    items = [_of_request(request) for request in asked] + [_of_response(answer) for answer in answered]
    ends = _end(asked), _end(answered)
    last = answered[-1] if answered else None
    if last is not None and last.to_websocket:
        extensions = last.header("sec-websocket-extensions")
        for side, stream, end in zip(_BOTH, streams, ends, strict=True):
            items += _websocket(side, stream.data, end, websocket.deflate(extensions, side))
        return "WebSocket", items, None
    items += _runs(streams, ends)
    return asked[0].version, items, None


def _end(messages: Iterable[http.Request | http.Response]) -> int:
    return max((span[1] for message in messages for span in message.spans), default=0)


def _websocket(side: Side, data: bytes, at: int, packing: websocket.Deflate | None) -> Iterator[_Item]:
    last = at
    for message in websocket.messages(data, at, packing):
        size = f"{len(message.payload):,} bytes"
        packed = f", {message.length:,} as sent" if message.length != len(message.payload) else ""
        frames = f", in {message.frames} frames" if message.frames > 1 else ""
        note = f"unpacked up to {websocket.MOST_UNPACKED:,} bytes only" if message.cut else None
        note = "compressed, not unpacked" if message.packed else note
        body, reason = message.payload, ""
        if message.opcode == "close" and len(body) >= 2:
            reason, body = f" {int.from_bytes(body[:2])}", body[2:]
        head = f"WebSocket {message.opcode}{reason}, {size}{packed}{frames}"
        yield _Item(side, ((message.begin, message.end),), (head,), body, message.complete, note)
        last = max(last, message.end)
    if last < len(data):
        rest = data[last:]
        yield _Item(side, ((last, len(data)),), (f"{len(rest):,} bytes that are no whole frame",), rest, False)


def _http2(client: bytes, server: bytes) -> tuple[str, list[_Item], str | None]:
    sides = http2.by_client(client), http2.by_server(server)
    items: list[_Item] = []
    told = []
    for side, read, data in zip(_BOTH, sides, (client, server), strict=True):
        items += [_of_request(one) if isinstance(one, http.Request) else _of_response(one) for one in read.messages]
        items += [_Item(side, ((note.begin, note.end),), (note.words,), b"") for note in read.notes]
        if read.why:
            told.append(f"of what the {side} said, the rest is {read.why}")
            items.append(_Item(side, ((read.at, len(data)),), (f"{len(data) - read.at:,} bytes",), data[read.at :]))
    return http2.VERSION, items, "; ".join(told) or None


def _of_request(one: http.Request) -> _Item:
    start = f"{one.method} {one.target} {one.version}"
    authority = ((":authority", one.authority),) if one.authority is not None else ()
    return _message("client", one, start, (*authority, *one.headers))


def _of_response(one: http.Response) -> _Item:
    return _message("server", one, f"{one.version} {one.status} {one.reason}".rstrip(), one.headers)


def _message(side: Side, one: http.Request | http.Response, start: str, headers: http.Headers) -> _Item:
    stream = f"stream {one.stream}: " if one.stream is not None else ""
    lines = (stream + start, *(f"{name}: {value}" for name, value in headers))
    return _Item(side, one.spans, lines, one.body, one.complete, _coding(one))


def _coding(one: http.Request | http.Response) -> str | None:
    coding = one.header("content-encoding")
    return f"the body is coded: {coding}" if coding and one.body else None


def _runs(streams: tuple[Stream, Stream], begins: tuple[int, int]) -> Iterator[_Item]:
    """The bytes from *begins* on: one item for all that a side sent until the other one spoke, or for each datagram."""
    pieces = sorted(
        (row, side, max(start, begin), end)
        for side, (stream, begin) in enumerate(zip(streams, begins, strict=True))
        for row, (start, end) in zip(stream.rows, pairwise([*stream.starts, len(stream.data)]), strict=True)
        if end > begin
    )
    run: list[tuple[int, int]] = []
    for place, (_, side, begin, end) in enumerate(pieces):
        run.append((begin, end))
        if streams[side].datagrams or place + 1 == len(pieces) or pieces[place + 1][1] != side:
            run.sort()
            body = b"".join(streams[side].data[one:two] for one, two in run)
            yield _Item(_BOTH[side], tuple(run), (f"{len(body):,} bytes",), body)
            run = []


def _records(content: Content) -> Iterator[_Item]:
    """Of TLS without keys: the hellos in words, and how much ciphertext each side sent in a run."""
    begins = []
    for side, stream in zip(_BOTH, content.wire, strict=True):
        end = 0
        hello = _hello(side, content)
        if hello:
            first = next(iter(records(stream.data)), None)
            end = first.end if first else 0
            yield _Item(side, ((0, end),), (hello,), b"")
        begins.append(end)
    for item in _runs(content.wire, (begins[0], begins[1])):
        yield replace(item, head=(f"{len(item.body):,} bytes of TLS records, not decrypted",), body=b"")


def _hello(side: Side, content: Content) -> str | None:
    session = content.tls
    if session is None:
        return None
    if side == "client":
        if session.client_hello is None:
            return None
        hello = session.client_hello
        name = f", SNI {hello.server_name}" if hello.server_name else ", no SNI"
        alpn = f", ALPN {' '.join(hello.protocols)}" if hello.protocols else ""
        return f"ClientHello: up to {hello.version}{name}{alpn}"
    if session.server_hello is None:
        return None
    chosen = f", ALPN {session.server_hello.protocol}" if session.server_hello.protocol else ""
    return f"ServerHello: {session.server_hello.version}, {session.cipher}{chosen}"
