"""Where the requests of one HTTP/1 connection begin and end: RFC 9112, read strictly, piece by piece. No I/O here.

`feed` takes bytes as they come, `next` gives what they amount to:

    Head, Data*, End, Head, Data*, End, …          or at any point a Refusal, and then nothing more

Every piece has the bytes to pass on (`raw`), which are never fewer than validated: a chunk's extensions and the trailer
fields are read and left out. Nothing depends on how the bytes were split: each rule looks at what stands before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from labkit.balancer import syntax
from labkit.balancer.limits import Limits
from labkit.balancer.syntax import BadRequest, Field

_CRLF = b"\r\n"
_HELLO = 0x16  # the record type that a TLS handshake begins with (RFC 8446 §5.1)
_TOO_LONG = {400: "RFC 9112 §7.1.1", 414: "RFC 9112 §3", 431: "RFC 6585 §5", 501: "RFC 9112 §3"}
Waiting = Literal["idle", "head", "body"]


@dataclass(slots=True)
class Head:
    """A request line and its fields, as far as they were read. raw: for the wire, once all is read and good."""

    method: bytes = b""
    target: bytes = b""
    version: bytes = b""
    fields: list[Field] = field(default_factory=list)
    raw: bytes = b""

    def value(self, name: bytes) -> bytes:
        """The first field called *name* (in small letters), or nothing."""
        return next((value for other, value in self.fields if other.lower() == name), b"")


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of a body."""

    content: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The request is complete."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No request, or none to be passed on: *status* and *rule*, and what had been read of its head."""

    status: int
    rule: str
    head: Head


Piece = Head | Data | End | Refusal


class Framer:
    """The requests of one connection. `limits` may be replaced between two requests."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self._searched = 0  # so far there is no LF in the buffer
        self._read: Callable[[], Piece | None] = self._start
        self._begin()

    def _begin(self) -> None:
        self._head = Head()
        self._absolute: tuple[bytes, bytes] | None = None  # scheme and authority of its target
        self._lines: list[bytes] = []
        self._bytes = 0  # of the head, then of the trailer section
        self._left = 0  # of the body, or of a chunk
        self._total = 0  # of the body, as announced
        self._extensions = 0
        self._trailers = 0
        self._skipped = False

    @property
    def between(self) -> bool:
        """The last request is complete, and nothing of the next one has been looked at."""
        return self._read == self._start

    @property
    def waiting(self) -> Waiting:
        """What the next byte would belong to."""
        if self._read == self._start:
            return "head" if self._buffer else "idle"
        return "head" if self._read in (self._request_line, self._field) else "body"

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Piece | None:
        """The next piece; None if it takes more bytes, or if no more are wanted."""
        try:
            return self._read()
        except BadRequest as fault:
            return self._refuse(fault.status, fault.rule)

    def end(self) -> Refusal | None:
        """No more bytes will come: a refusal, if they break off within a request."""
        if self.waiting == "idle":
            return None
        return self._refuse(400, f"RFC 9112 §8: the connection ended before the request's {self.waiting} did")

    def late(self) -> Refusal:
        """The bytes did not come in time."""
        return self._refuse(408, f"RFC 9110 §15.5.9: the request's {self.waiting} did not come in time")

    def rest(self) -> bytes:
        """What was fed and not looked at: bytes of whatever follows the upgrade that was agreed on."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    @property
    def unread(self) -> int:
        """How many bytes were fed and not looked at."""
        return len(self._buffer)

    def _refuse(self, status: int, rule: str) -> Refusal:
        self._read = self._over
        self._buffer.clear()
        return Refusal(status, rule, self._head)

    def _over(self) -> None:
        self._buffer.clear()

    def _line(self, too_long: int, what: str) -> bytes | None:
        """The next line without its CRLF, or None while it is not complete."""
        most = self.limits.line_bytes
        end = self._buffer.find(b"\n", self._searched)
        if end > most + 1 or (end < 0 and len(self._buffer) > most + 1):
            raise BadRequest(too_long, f"{_TOO_LONG[too_long]}: {what} is longer than {most:,} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        if end == 0 or self._buffer[end - 1] != 0x0D:
            raise BadRequest(400, "RFC 9112 §2.2: a line ends with a bare LF")
        line = bytes(self._buffer[: end - 1])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _counted(self, what: str) -> bytes | None:
        """A field's line; all of a section together are limited too."""
        line = self._line(431, f"a field of the {what}")
        if line is not None:
            self._bytes += len(line) + len(_CRLF)
            if self._bytes > self.limits.head_bytes:
                raise BadRequest(431, f"RFC 6585 §5: the {what} is longer than {self.limits.head_bytes:,} bytes")
        return line

    def _start(self) -> Piece | None:
        buffer = self._buffer
        if not self._skipped and buffer.startswith(_CRLF):  # one, as RFC 9112 §2.2 advises
            del buffer[:2]
            self._skipped = True
        if not buffer or (not self._skipped and buffer == b"\r"):
            return None
        if buffer[0] not in syntax.TOKEN_BYTES:
            if buffer[0] == _HELLO:
                raise BadRequest(400, "RFC 9112 §3: this is TLS, on a port that speaks HTTP in clear")
            raise BadRequest(400, "RFC 9112 §2.2: a request does not begin with its method")
        self._read = self._request_line
        return self._read()

    def _request_line(self) -> Piece | None:
        # RFC 9112 §3: 501 for a method longer than any that is known, 414 for a target
        in_method = self._buffer.find(b" ", 0, self.limits.line_bytes + 1) < 0
        line = self._line(501 if in_method else 414, "the method" if in_method else "the request line")
        if line is None:
            return None
        head = self._head
        self._bytes = len(line) + len(_CRLF)
        head.method, head.target, head.version = syntax.request_line(line)
        syntax.method(head.method)
        syntax.version(head.version)
        self._absolute = syntax.target(head.method, head.target)
        written = syntax.with_path(head.target) if self._absolute else head.target
        self._lines.append(b"%s %s %s" % (head.method, written, head.version))
        self._read = self._field
        return self._read()

    def _field(self) -> Piece | None:
        while (line := self._counted("head")) is not None:
            if not line:
                return self._headed()
            if len(self._head.fields) == self.limits.fields:
                raise BadRequest(431, f"RFC 6585 §5: more than {self.limits.fields} fields")
            self._head.fields.append(syntax.field(line))
            self._lines.append(line)
        return None

    def _headed(self) -> Piece:
        head = self._head
        syntax.hosts(head.version, self._absolute, head.fields)
        length = syntax.body_length(head.version, head.fields)
        if length is None:
            self._read = self._chunk
        else:
            self._announce(length)
            self._read = self._content
        head.raw = _CRLF.join([*self._lines, b"", b""])
        self._lines.clear()
        self._bytes = 0
        return head

    def _announce(self, size: int) -> None:
        self._left = size
        self._total += size
        most = self.limits.body_bytes
        if most is not None and self._total > most:
            raise BadRequest(413, f"RFC 9110 §15.5.14: the body is longer than {most:,} bytes")

    def _content(self) -> Piece | None:
        if not self._left:
            return self._complete(b"")
        data = self._take()
        return Data(data, data) if data else None

    def _take(self) -> bytes:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        return data

    def _chunk(self) -> Piece | None:
        line = self._line(400, "a chunk's line")
        if line is None:
            return None
        size, extensions = syntax.chunk(line)
        self._extensions += extensions
        if self._extensions > self.limits.line_bytes:
            raise BadRequest(400, "RFC 9112 §7.1.1: more chunk extensions than anybody could need")
        self._announce(size)
        self._read = self._chunk_data if size else self._trailer
        return self._read()

    def _chunk_data(self) -> Piece | None:
        data = self._take()
        if not self._left:
            self._read = self._chunk_end
        return Data(data, b"%x\r\n%s\r\n" % (len(data), data)) if data else None

    def _chunk_end(self) -> Piece | None:
        found = self._buffer[:2]
        if not _CRLF.startswith(found):
            raise BadRequest(400, "RFC 9112 §7.1: a chunk is longer than its size says")
        if len(found) < len(_CRLF):
            return None
        del self._buffer[:2]
        self._read = self._chunk
        return self._read()

    def _trailer(self) -> Piece | None:
        while (line := self._counted("trailer section")) is not None:
            if not line:
                return self._complete(b"0\r\n\r\n")
            self._trailers += 1
            if self._trailers > self.limits.fields:
                raise BadRequest(431, f"RFC 6585 §5: more than {self.limits.fields} trailer fields")
            syntax.trailer(line)
        return None

    def _complete(self, raw: bytes) -> End:
        self._begin()
        self._read = self._start
        return End(raw)
