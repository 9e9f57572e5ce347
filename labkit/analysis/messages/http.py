"""HTTP messages, and those of HTTP/1.1 in a stream of bytes (RFC 9112), for showing what was on the wire.

It reads what well-behaved clients and servers send and stops where it no longer understands: judging requests is the
balancer's. HTTP/2 gives the same messages out of its frames (`http2`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Headers = tuple[tuple[str, str], ...]
Spans = tuple[tuple[int, int], ...]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(" + _TOKEN + rb") ([^ \r\n]+) (HTTP/1\.[01])\r?\n")
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(.*?)[ \t]*\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as sent. headers: names and values in order, as written. complete: its whole body is there.

    authority: HTTP/2's, which stands for Host. stream: HTTP/2's. spans: where in the bytes of its side it stands.
    """

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes
    complete: bool
    authority: str | None = None
    stream: int | None = None
    spans: Spans = ()

    def header(self, name: str) -> str | None:
        """The value of a header (case does not matter), several joined by commas (RFC 9110 §5.3), or None."""
        return _joined(self.headers, name)

    @property
    def host(self) -> str | None:
        return self.authority if self.authority is not None else self.header("host")

    @property
    def upgrades(self) -> bool:
        """Whether the bytes after it may be no HTTP."""
        return self.version != "HTTP/2" and (self.method == "CONNECT" or self.header("upgrade") is not None)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as sent, interim ones (1xx) too. The fields are as a `Request`'s."""

    status: int
    reason: str
    version: str
    headers: Headers
    body: bytes
    complete: bool
    stream: int | None = None
    spans: Spans = ()

    def header(self, name: str) -> str | None:
        return _joined(self.headers, name)

    @property
    def to_websocket(self) -> bool:
        """Whether WebSocket frames follow it (RFC 6455 §4.2.2)."""
        return self.status == 101 and "websocket" in (self.header("upgrade") or "").lower()


def _joined(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """All values of a header as one (RFC 9110 §5.3), cookies by semicolons (RFC 9113 §8.2.3), or None."""
    values = [value for own, value in headers if own.lower() == name.lower()]
    return ("; " if name.lower() == "cookie" else ", ").join(values) if values else None


def requests(data: bytes) -> Iterator[Request]:
    """The requests whose heads are complete, in order; ends after an upgrade or at what is not HTTP/1."""
    at = 0
    while (found := _head(data, at, _LINE)) is not None:
        begin, line, headers, at = found
        method, target, version = line
        body, end = _body(data, at, headers, until_close=False)
        at = len(data) if end is None else end
        request = Request(method, target, version, headers, body, end is not None, spans=((begin, at),))
        yield request
        if not request.complete or request.upgrades:
            return


def responses(data: bytes, methods: Iterable[str], *, closed: bool = True) -> Iterator[Response]:
    """The answers to requests with these *methods*, in order; ends after a switch of protocols.

    closed: whether the stream goes to the connection's end, which may be what ends a body (RFC 9112 §6.3).
    """
    at, asked = 0, iter(methods)
    method = next(asked, None)
    while method is not None and (found := _head(data, at, _STATUS)) is not None:
        begin, (version, status, reason), headers, at = found
        code = int(status)
        interim = code < 200 and code != 101
        end: int | None
        switched = code == 101 or (method == "CONNECT" and code < 300)
        if code < 200 or code in (204, 304) or method == "HEAD" or switched:
            body, end = b"", at
        else:
            framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)
            body, end = _body(data, at, headers, until_close=not framed)
            if not framed and not closed:
                end = None
        at = len(data) if end is None else end
        yield Response(code, reason, version, headers, body, end is not None, spans=((begin, at),))
        if end is None or switched:
            return
        method = method if interim else next(asked, None)


def _head(data: bytes, at: int, first: re.Pattern[bytes]) -> tuple[int, tuple[str, str, str], Headers, int] | None:
    """Where a head begins, the three parts of its first line, its fields, and where it ends; None if there is none."""
    while data[at : at + 2] == b"\r\n":  # RFC 9112 §2.2
        at += 2
    line = first.match(data, at)
    if line is None:
        return None
    begin, at, headers = at, line.end(), []
    while field := _FIELD.match(data, at):
        headers.append((_text(field[1]), _text(field[2])))
        at = field.end()
    end = next((mark for mark in (b"\r\n", b"\n") if data.startswith(mark, at)), None)
    if end is None:
        return None
    return begin, (_text(line[1]), _text(line[2]), _text(line[3] or b"")), tuple(headers), at + len(end)


def _body(data: bytes, at: int, headers: Headers, *, until_close: bool) -> tuple[bytes, int | None]:
    """The body that begins at *at* and where it ends, None if it does not (RFC 9112 §6)."""
    if until_close:
        return data[at:], len(data)
    if "chunked" in (_joined(headers, "transfer-encoding") or "").lower():
        return _chunked(data, at)
    length = _joined(headers, "content-length") or "0"
    wanted = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0
    body = data[at : at + wanted]
    return body, at + wanted if len(body) == wanted else None


def _chunked(data: bytes, at: int) -> tuple[bytes, int | None]:
    """The body of chunks (RFC 9112 §7.1) and where it ends, None if it does not."""
    body = bytearray()
    while chunk := _CHUNK.match(data, at):
        size, at = int(chunk[1], 16), chunk.end()
        if size == 0:
            while field := _FIELD.match(data, at):  # trailers
                at = field.end()
            return bytes(body), at + 2 if data.startswith(b"\r\n", at) else None
        body += data[at : at + size]
        at += size + 2
    return bytes(body), None


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
