"""Requests whose framing is right, wrong or doubtful, each with the rule and with what a strict recipient answers.

Data only, from RFC 9112 and RFC 9110. What must reach nobody names /bad or /smuggled; what may, names /ok.
"""

from dataclasses import dataclass
from typing import Literal

AFTER = b"GET /ok/after HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"  # sent behind every payload that is whole
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: lb\r\n\r\n"


@dataclass(frozen=True)
class Payload:
    """What a client sends, and the statuses that a strict recipient answers it with, in order; 200: passed on.

    repairable: the RFC lets a recipient also mend or read it otherwise, and pass that on instead of refusing it.
    whole: more may be sent behind it; otherwise the client has ended its side.
    """

    name: str
    group: str
    rule: str
    raw: bytes
    answers: tuple[int, ...] = (400,)
    repairable: bool = False
    whole: bool = True

    @property
    def expected(self) -> Literal["ok", "refused"]:
        return "ok" if all(status < 300 for status in self.answers) else "refused"


def _head(*fields: bytes, line: bytes = b"POST /bad HTTP/1.1", host: bytes | None = b"Host: lb") -> bytes:
    return b"\r\n".join([line, *([host] if host is not None else []), *fields, b"", b""])


def _get(*fields: bytes, line: bytes = b"GET /bad HTTP/1.1", host: bytes | None = b"Host: lb") -> bytes:
    return _head(*fields, line=line, host=host)


def _chunks(body: bytes, line: bytes = b"POST /bad HTTP/1.1") -> bytes:
    return _head(b"Transfer-Encoding: chunked", line=line) + body


_FOUR = b"Content-Length: 4"
_CHUNKED = b"Transfer-Encoding: chunked"
_NOTHING = b"0\r\n\r\n"

_LENGTHS = [
    ("both lengths", _head(_FOUR, _CHUNKED) + _NOTHING + SMUGGLED),
    ("both lengths, the other way round", _head(_CHUNKED, b"Content-Length: 50") + _NOTHING + SMUGGLED),
    ("both lengths, of nothing", _head(b"Content-Length: 0", _CHUNKED) + _NOTHING),
    ("two lengths", _head(_FOUR, b"Content-Length: 40") + SMUGGLED),
    ("a list of two lengths", _head(b"Content-Length: 5, 6") + SMUGGLED),
    ("a signed length", _head(b"Content-Length: +4") + b"abcd"),
    ("a negative length", _head(b"Content-Length: -1") + SMUGGLED),
    ("a hexadecimal length", _head(b"Content-Length: 0x10") + SMUGGLED),
    ("an empty length", _head(b"Content-Length:") + SMUGGLED),
    ("a length with an underscore", _head(b"Content-Length: 1_0") + SMUGGLED),
    ("a length with a space in it", _head(b"Content-Length: 1 0") + SMUGGLED),
    ("a fractional length", _head(b"Content-Length: 4.0") + b"abcd"),
    ("a length beyond 64 bits", _head(b"Content-Length: 18446744073709551620") + b"abcd"),
    ("a length of a hundred digits", _head(b"Content-Length: " + b"9" * 100) + b"abcd"),
    ("a length in other digits", _head("Content-Length: ٤".encode()) + b"abcd"),
]
_CODINGS = [
    ("identity", _head(b"Transfer-Encoding: identity") + SMUGGLED, 400),
    ("chunked is not the last", _head(b"Transfer-Encoding: chunked, identity") + _NOTHING + SMUGGLED, 400),
    ("chunked behind a vertical tab", _head(b"Transfer-Encoding: \x0bchunked") + _NOTHING + SMUGGLED, 400),
    ("xchunked", _head(b"Transfer-Encoding: xchunked") + _NOTHING + SMUGGLED, 400),
    ("quoted", _head(b'Transfer-Encoding: "chunked"') + _NOTHING + SMUGGLED, 400),
    ("with a parameter", _head(b"Transfer-Encoding: chunked;q=1") + _NOTHING + SMUGGLED, 400),
    ("empty", _head(b"Transfer-Encoding:") + SMUGGLED, 400),
    ("chunked twice", _head(b"Transfer-Encoding: chunked, chunked") + _NOTHING + SMUGGLED, 400),
    ("two fields", _head(_CHUNKED, _CHUNKED) + _NOTHING + SMUGGLED, 400),
    ("two fields, one unknown", _head(b"Transfer-Encoding: x", _CHUNKED) + _NOTHING + SMUGGLED, 400),
    ("in HTTP/1.0", _head(_CHUNKED, line=b"POST /bad HTTP/1.0") + _NOTHING + SMUGGLED, 400),
    ("gzip before chunked", _head(b"Transfer-Encoding: gzip, chunked") + _NOTHING, 501),
    ("a space before its colon", _head(b"Transfer-Encoding : chunked") + _NOTHING + SMUGGLED, 400),
    ("folded", _head(b"Transfer-Encoding:\r\n chunked") + _NOTHING + SMUGGLED, 400),
]
_CHUNK_LINES = [
    ("a signed size", b"+3\r\nabc\r\n" + _NOTHING),
    ("a negative size", b"-3\r\nabc\r\n" + _NOTHING),
    ("a size with 0x", b"0x3\r\nabc\r\n" + _NOTHING),
    ("a space before the size", b" 3\r\nabc\r\n" + _NOTHING),
    ("a space behind the size", b"3 \r\nabc\r\n" + _NOTHING),
    ("no size", b"\r\nabc\r\n" + _NOTHING),
    ("no hexadecimal size", b"zz\r\nabc\r\n" + _NOTHING),
    ("a size with an underscore", b"1_0\r\n0123456789abcdef\r\n" + _NOTHING),
    ("a size beyond 64 bits", b"10000000000000003\r\nabc\r\n" + _NOTHING),
    ("a size that would be negative", b"ffffffffffffffff\r\nabc\r\n" + _NOTHING),
    ("a chunk longer than its size", b"3\r\nabcd\r\n" + _NOTHING),
    ("a chunk without its CRLF", b"3\r\nabc" + _NOTHING),
    ("a size that ends with a bare LF", b"3\nabc\r\n" + _NOTHING),
    ("data that end with a bare LF", b"3\r\nabc\n" + _NOTHING),
    ("the last chunk ends with a bare LF", b"3\r\nabc\r\n0\n\r\n"),
    ("a bare CR in an extension", b"3;a\rb\r\nabc\r\n" + _NOTHING),
    ("a bare LF in an extension", b"3;a=b\nabc\r\n" + _NOTHING),
    ("a bad extension", b"3;=\r\nabc\r\n" + _NOTHING),
    ("an extension with an open quote", b'3;a="b\r\nabc\r\n' + _NOTHING),
    ("an endless extension", b"3;" + b"a" * 9000 + b"\r\nabc\r\n" + _NOTHING),
    ("too many extensions", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 9 + _NOTHING),
]
_TRAILERS = [
    ("a Content-Length", b"Content-Length: 4\r\n"),
    ("a Transfer-Encoding", b"Transfer-Encoding: chunked\r\n"),
    ("a Host", b"Host: evil\r\n"),
    ("an Authorization", b"Authorization: Basic YTpi\r\n"),
    ("a Cookie", b"cookie: a=b\r\n"),
    ("no colon", b"X-Sum\r\n"),
    ("a space before the colon", b"X-Sum : 1\r\n"),
    ("a bare LF", b"X-Sum: 1\n"),
    ("a NUL", b"X-Sum: \x00\r\n"),
    ("a folded field", b"X-Sum: 1\r\n 2\r\n"),
]
_FIELDS = [
    ("folded", "RFC 9112 §5.2", _get(b"X: 1\r\n 2"), True),
    ("whitespace before the first field", "RFC 9112 §2.2", _get(host=b" Host: lb"), True),
    ("a space before the colon", "RFC 9112 §5.1", _get(b"X : 1"), False),
    ("a tab before the colon", "RFC 9112 §5.1", _get(b"X\t: 1"), False),
    ("no colon", "RFC 9112 §5", _get(b"nonsense"), False),
    ("no name", "RFC 9110 §5.1", _get(b": 1"), False),
    ("a space in the name", "RFC 9110 §5.1", _get(b"X Y: 1"), False),
    ("a bracket in the name", "RFC 9110 §5.1", _get(b"X(Y): 1"), False),
    ("a letter beyond ASCII in the name", "RFC 9110 §5.1", _get("Xé: 1".encode()), False),
    ("a NUL in the name", "RFC 9110 §5.1", _get(b"X\x00: 1"), False),
    ("a bare CR in the value", "RFC 9112 §2.2", _get(b"X: 1\rY: 2"), True),
    ("a bare CR at the end", "RFC 9112 §2.2", _get(b"X: 1\r"), True),
    ("a bare LF at the end", "RFC 9112 §2.2", b"GET /bad HTTP/1.1\r\nHost: lb\nX: 1\r\n\r\n", True),
    ("bare LF throughout", "RFC 9112 §2.2", b"GET /bad HTTP/1.1\nHost: lb\n\n", True),
    ("a NUL in the value", "RFC 9110 §5.5", _get(b"X: a\x00b"), True),
    ("a vertical tab in the value", "RFC 9110 §5.5", _get(b"X: a\x0bb"), True),
    ("an escape in the value", "RFC 9110 §5.5", _get(b"X: \x1b[2J"), True),
    ("a DEL in the value", "RFC 9110 §5.5", _get(b"X: \x7f"), True),
]
_HOSTS = [
    ("none", "RFC 9112 §3.2", _get(host=None)),
    ("two", "RFC 9112 §3.2", _get(b"Host: evil")),
    ("two of the same", "RFC 9112 §3.2", _get(b"host: lb")),
    ("two in one", "RFC 9112 §3.2", _get(host=b"Host: lb, evil")),
    ("empty", "RFC 9110 §4.2.1", _get(host=b"Host:")),
    ("with userinfo", "RFC 9110 §4.2.4", _get(host=b"Host: me@lb")),
    ("with a space", "RFC 9112 §3.2", _get(host=b"Host: lb evil")),
    ("with a path", "RFC 9112 §3.2", _get(host=b"Host: lb/evil")),
    ("with a port that is none", "RFC 9112 §3.2", _get(host=b"Host: lb:x")),
    ("with a port too large", "RFC 9112 §3.2", _get(host=b"Host: lb:65536")),
    ("with half a bracket", "RFC 9112 §3.2", _get(host=b"Host: [::1")),
    ("two in HTTP/1.0", "RFC 9112 §3.2", _get(b"Host: evil", line=b"GET /bad HTTP/1.0")),
    ("another than the target's", "RFC 9112 §3.2.2", _get(line=b"GET http://evil/bad HTTP/1.1")),
    ("another port than the target's", "RFC 9112 §3.2.2", _get(line=b"GET http://lb:81/bad HTTP/1.1")),
]
_LINES = [
    ("no version", "RFC 9112 §3", b"GET /bad", 400),
    ("two spaces", "RFC 9112 §3", b"GET  /bad HTTP/1.1", 400),
    ("a tab for a space", "RFC 9112 §3", b"GET\t/bad HTTP/1.1", 400),
    ("a space at the end", "RFC 9112 §3", b"GET /bad HTTP/1.1 ", 400),
    ("a space before it", "RFC 9112 §2.2", b" GET /bad HTTP/1.1", 400),
    ("a bracket in the method", "RFC 9110 §9.1", b"GE(T /bad HTTP/1.1", 400),
    ("CONNECT", "RFC 9110 §9.3.6", b"CONNECT lb:80 HTTP/1.1", 400),
    ("a target without a slash", "RFC 9112 §3.2", b"GET bad HTTP/1.1", 400),
    ("an authority for a target", "RFC 9112 §3.2.3", b"GET lb:80 HTTP/1.1", 400),
    ("* for another than OPTIONS", "RFC 9112 §3.2.4", b"GET * HTTP/1.1", 400),
    ("a fragment", "RFC 9112 §3.2", b"GET /bad#x HTTP/1.1", 400),
    ("a space in the target", "RFC 9112 §3.2", b"GET /bad /x HTTP/1.1", 400),
    ("letters beyond ASCII in the target", "RFC 9112 §3.2", "GET /bad/é HTTP/1.1".encode(), 400),
    ("a NUL in the target", "RFC 9112 §3.2", b"GET /bad\x00 HTTP/1.1", 400),
    ("a bare CR in the target", "RFC 9112 §2.2", b"GET /bad\rX: HTTP/1.1", 400),
    ("another scheme", "RFC 9112 §3.2.2", b"GET file://lb/bad HTTP/1.1", 400),
    ("userinfo in the target", "RFC 9110 §4.2.4", b"GET http://me@lb/bad HTTP/1.1", 400),
    ("no host in the target", "RFC 9110 §4.2.1", b"GET http:///bad HTTP/1.1", 400),
    ("a version in small letters", "RFC 9112 §2.3", b"GET /bad http/1.1", 400),
    ("a version of two digits", "RFC 9112 §2.3", b"GET /bad HTTP/1.10", 400),
    ("HTTP/1.2", "RFC 9110 §15.6.6", b"GET /bad HTTP/1.2", 505),
    ("HTTP/0.9", "RFC 9110 §15.6.6", b"GET /bad HTTP/0.9", 505),
    ("HTTP/3.0", "RFC 9110 §15.6.6", b"GET /bad HTTP/3.0", 505),
]
_SIZES = [
    ("an endless method", "RFC 9112 §3", _get(line=b"A" * 9000 + b" /bad HTTP/1.1"), 501),
    ("an endless target", "RFC 9112 §3", _get(line=b"GET /bad" + b"a" * 9000 + b" HTTP/1.1"), 414),
    ("an endless field", "RFC 6585 §5", _get(b"X: " + b"a" * 9000), 431),
    ("too many fields", "RFC 6585 §5", _get(*(b"X%d: 1" % number for number in range(101))), 431),
    ("an endless head", "RFC 6585 §5", _get(*(b"X%d: %s" % (number, b"a" * 8000) for number in range(9))), 431),
]
_FOREIGN = [
    ("a TLS hello", "RFC 9112 §3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
    ("an HTTP/2 preface", "RFC 9110 §15.6.6", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("two empty lines first", "RFC 9112 §2.2", b"\r\n\r\n" + _get(), 400),
    ("a bare LF first", "RFC 9112 §2.2", b"\n" + _get(), 400),
    ("a bare CR first", "RFC 9112 §2.2", b"\r" + _get(), 400),
    ("nonsense first", "RFC 9112 §2.2", b"\x00\xff" + _get(), 400),
]
_BROKEN_OFF = [
    ("within the request line", b"GET /bad HT"),
    ("within the head", b"GET /bad HTTP/1.1\r\nHost: lb\r\n"),
    ("within a body", _head(b"Content-Length: 40") + b"abc"),
    ("within a chunk", _chunks(b"5\r\nabc")),
    ("before the last chunk", _chunks(b"3\r\nabc\r\n")),
]
_OK_LINE = b"POST /ok HTTP/1.1"
_OK_GET = b"GET /ok HTTP/1.1"
_GOOD = [
    ("plain", "RFC 9112 §3", _get(line=_OK_GET)),
    ("an empty line first", "RFC 9112 §2.2", b"\r\n" + _get(line=_OK_GET)),
    ("a body", "RFC 9112 §6.2", _head(_FOUR, line=_OK_LINE) + b"abcd"),
    ("a body that looks like a request", "RFC 9112 §6.2", _head(b"Content-Length: 36", line=_OK_LINE) + SMUGGLED),
    ("no body", "RFC 9112 §6.2", _head(b"Content-Length: 0", line=_OK_LINE)),
    ("whitespace around a value", "RFC 9112 §5", _head(b"content-length:\t 4 \t", line=_OK_LINE) + b"abcd"),
    ("chunks", "RFC 9112 §7.1", _chunks(b"3\r\nabc\r\n1\r\nd\r\n" + _NOTHING, _OK_LINE)),
    ("CHUNKED", "RFC 9112 §7", _head(b"Transfer-Encoding: Chunked", line=_OK_LINE) + b"A\r\n0123456789\r\n" + _NOTHING),
    (
        "a chunk that looks like a request",
        "RFC 9112 §7.1",
        _chunks(b"24\r\n" + SMUGGLED + b"\r\n0\r\n\r\n", _OK_LINE),
    ),
    ("chunk extensions", "RFC 9112 §7.1.1", _chunks(b'3;a;b=c;d="e;\\"f"\r\nabc\r\n0;z\r\n\r\n', _OK_LINE)),
    ("zeros before a size", "RFC 9112 §7.1", _chunks(b"0003\r\nabc\r\n000\r\n\r\n", _OK_LINE)),
    ("harmless trailers", "RFC 9112 §7.1.2", _chunks(b"3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-More:\r\n\r\n", _OK_LINE)),
    ("absolute-form", "RFC 9112 §3.2.2", _get(line=b"GET HTTP://LB:80/ok HTTP/1.1")),
    ("a query", "RFC 9112 §3.2.1", _get(line=b"GET /ok?a=b&c=/../%20 HTTP/1.1")),
    ("letters beyond ASCII in a value", "RFC 9110 §5.5", _get("X: é".encode(), line=_OK_GET)),
    ("an IPv6 host with a port", "RFC 3986 §3.2.2", _get(line=_OK_GET, host=b"Host: [fd00::1]:80")),
    ("another method", "RFC 9110 §9.1", _head(line=b"X-OWN!method /ok HTTP/1.1")),
    ("Expect", "RFC 9110 §10.1.1", _head(b"Expect: 100-continue", _FOUR, line=_OK_LINE) + b"abcd"),
    ("an upgrade that is not taken", "RFC 9110 §7.8", _get(b"Connection: upgrade", b"Upgrade: x/1", line=_OK_GET)),
    ("a hundred fields", "RFC 6585 §5", _get(*(b"X%d: 1" % number for number in range(99)), line=_OK_GET)),
]
_ONE = _get(line=_OK_GET)
_PIPELINED = [
    ("two good ones", _ONE + _ONE, (200, 200)),
    ("a good and a bad one", _ONE + _head(_FOUR, _CHUNKED) + _NOTHING, (200, 400)),
    ("one with a body and a bad one", _head(_FOUR, line=_OK_LINE) + b"abcd" + _get(host=None), (200, 400)),
    ("chunks and a bad one", _chunks(b"3\r\nabc\r\n" + _NOTHING, _OK_LINE) + _get(b"X : 1"), (200, 400)),
    (
        "an upgrade and a bad one",
        _get(b"Connection: upgrade", b"Upgrade: x/1", line=_OK_GET) + _get(b"X\x00"),
        (200, 400),
    ),
    ("h2c and a bad one", _get(b"Connection: upgrade", b"Upgrade: h2c", line=_OK_GET) + _get(b"X\x00"), (200, 400)),
    ("more body than announced", _head(_FOUR, line=_OK_LINE) + b"abcd\x00" + SMUGGLED, (200, 400)),
]
_DOUBTFUL = [
    ("the same length twice", "RFC 9110 §8.6", _head(_FOUR, _FOUR) + b"abcd"),
    ("a list of the same length", "RFC 9110 §8.6", _head(b"Content-Length: 4, 4") + b"abcd"),
    ("a length with zeros before it", "RFC 9110 §8.6", _head(b"Content-Length: 0004") + b"abcd"),
]


def _continued(name: str) -> tuple[int, ...]:
    return (100, 200) if name == "Expect" else (200,)


TABLE: tuple[Payload, ...] = (
    *(Payload(name, "length", "RFC 9112 §6.3", raw) for name, raw in _LENGTHS),
    *(Payload(name, "length", rule, raw, repairable=True) for name, rule, raw in _DOUBTFUL),
    *(Payload(name, "transfer coding", "RFC 9112 §6.1", raw, (status,)) for name, raw, status in _CODINGS),
    *(Payload(name, "chunk", "RFC 9112 §7.1", _chunks(body + SMUGGLED)) for name, body in _CHUNK_LINES),
    *(
        Payload(name, "trailer", "RFC 9110 §6.5.1", _chunks(b"3\r\nabc\r\n0\r\n" + line + b"\r\n"), repairable=True)
        for name, line in _TRAILERS
    ),
    *(Payload(name, "field", rule, raw, repairable=mended) for name, rule, raw, mended in _FIELDS),
    *(Payload(name, "host", rule, raw, repairable="target" in name) for name, rule, raw in _HOSTS),
    *(Payload(name, "request line", rule, _get(line=line), (status,)) for name, rule, line, status in _LINES),
    *(Payload(name, "size", rule, raw, (status,)) for name, rule, raw, status in _SIZES),
    *(Payload(name, "no request", rule, raw, (status,)) for name, rule, raw, status in _FOREIGN),
    *(Payload(name, "broken off", "RFC 9112 §8", raw, whole=False) for name, raw in _BROKEN_OFF),
    *(Payload(name, "pipelined", "RFC 9112 §9.3.2", raw, answers) for name, raw, answers in _PIPELINED),
    *(Payload(name, "good", rule, raw, _continued(name)) for name, rule, raw in _GOOD),
)
