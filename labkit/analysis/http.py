"""HTTP/1.1 requests in a stream of bytes (RFC 9112), for showing what was on the wire.

It reads what well-behaved clients send and stops where it no longer understands: judging requests is the balancer's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ \r\n]+) (HTTP/1\.[01])\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as sent. headers: names and values in order, as written. complete: its whole body is there."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool

    def header(self, name: str) -> str | None:
        """The value of a header (case does not matter), several joined by commas (RFC 9110 §5.3), or None."""
        values = [value for own, value in self.headers if own.lower() == name.lower()]
        return ("; " if name.lower() == "cookie" else ", ").join(values) if values else None


def requests(data: bytes) -> Iterator[Request]:
    """The requests whose heads are complete, in order; ends after an upgrade or at what is not HTTP/1."""
    at = 0
    while (found := _head(data, at)) is not None:
        line, headers, at = found
        request, at = _with_body(data, at, line, headers)
        yield request
        if not request.complete or request.method == "CONNECT" or request.header("upgrade") is not None:
            return


def _head(data: bytes, at: int) -> tuple[tuple[str, str, str], tuple[tuple[str, str], ...], int] | None:
    while data[at : at + 2] == b"\r\n":  # RFC 9112 §2.2
        at += 2
    line = _LINE.match(data, at)
    if line is None:
        return None
    at, headers = line.end(), []
    while field := _FIELD.match(data, at):
        headers.append((_text(field[1]), _text(field[2])))
        at = field.end()
    end = next((mark for mark in (b"\r\n", b"\n") if data.startswith(mark, at)), None)
    if end is None:
        return None
    return (_text(line[1]), _text(line[2]), _text(line[3])), tuple(headers), at + len(end)


def _with_body(
    data: bytes, at: int, line: tuple[str, str, str], headers: tuple[tuple[str, str], ...]
) -> tuple[Request, int]:
    bare = Request(*line, headers=headers, body=b"", complete=True)
    if "chunked" in (bare.header("transfer-encoding") or "").lower():
        body, end = _chunked(data, at)
    else:
        length = bare.header("content-length") or "0"
        wanted = int(length) if _LENGTH.fullmatch(length) else 0
        body = data[at : at + wanted]
        end = at + wanted if len(body) == wanted else None
    request = Request(*line, headers=headers, body=body, complete=end is not None)
    return request, len(data) if end is None else end


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
