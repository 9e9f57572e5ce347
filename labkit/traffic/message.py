"""A request from what the user gave, as bytes in HTTP/1.1 (RFC 9112 §3), as fields in HTTP/2 (RFC 9113 §8.3): pure.

Header order and case stay as given; only what is absent is added: Host, User-Agent and Accept before them,
Cookie and Content-Length after them. HTTP/2 has no upper case, and ``:authority`` for Host.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from labkit.traffic.failure import Failure
from labkit.traffic.target import Target

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NOT_IN_VALUE = re.compile(r"[\r\n\x00]")
NOT_IN_COOKIE = re.compile(r"[\r\n\x00;]")
EXPECT_CONTENT = frozenset({"POST", "PUT", "PATCH"})
FRAMING = frozenset({"content-length", "transfer-encoding"})
OF_CONNECTIONS = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})


def compose(
    target: Target,
    method: str = "GET",
    headers: Iterable[Sequence[str]] = (),
    cookies: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """The whole request, head and body; *headers* are pairs. Failure where a name or value would break the framing."""
    fields = _fields(target, method, headers, cookies, body)
    lines = [f"{method} {target.path} HTTP/1.1", *(field_line(name, value) for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def compose_fields(
    target: Target,
    method: str = "GET",
    headers: Iterable[Sequence[str]] = (),
    cookies: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> list[tuple[bytes, bytes]]:
    """The head of the request in HTTP/2, pseudo-header fields first. Failure for what `compose` fails for, and for
    fields that are about one connection, which HTTP/2 does not have (RFC 9113 §8.2.2).
    """
    fields = [(name.lower(), value) for name, value in _fields(target, method, headers, cookies, body)]
    for name, value in fields:
        field_line(name, value)
        if name in OF_CONNECTIONS:
            raise Failure("bad header", f"HTTP/2 has no {name}: it is about one connection, and streams share theirs")
    authority = next(value for name, value in fields if name == "host")
    pseudo = [(":method", method), (":scheme", target.scheme), (":authority", authority), (":path", target.path)]
    rest = [field for field in fields if field[0] != "host"]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo, *rest)]


def _fields(
    target: Target,
    method: str,
    headers: Iterable[Sequence[str]],
    cookies: Mapping[str, str] | None,
    body: bytes,
) -> list[tuple[str, str]]:
    """Names and values, with what is absent added."""
    if not TOKEN.fullmatch(method):
        raise Failure("bad method", f"{method!r} is not a method: a method is one word, such as GET")
    given: list[tuple[str, str]] = [(name, value) for name, value in headers]
    names = {name.lower() for name, _ in given}
    defaults = [("Host", target.authority), ("User-Agent", "labkit"), ("Accept", "*/*")]
    fields = [field for field in defaults if field[0].lower() not in names] + given
    if cookies and "cookie" not in names:
        fields.append(("Cookie", cookie_value(cookies)))
    if (body or method in EXPECT_CONTENT) and not names & FRAMING:
        fields.append(("Content-Length", str(len(body))))
    return fields


def cookie_value(cookies: Mapping[str, str]) -> str:
    """``a=1; b=2`` (RFC 6265 §4.2)."""
    for name, value in cookies.items():
        if not TOKEN.fullmatch(name) or NOT_IN_COOKIE.search(value):
            raise Failure("bad cookie", f"{name}={value!r} cannot be sent as a cookie: no ';' and no line ends")
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def field_line(name: str, value: str) -> str:
    """``name: value``. Failure where it would break the framing, or cannot be sent."""
    if not TOKEN.fullmatch(name):
        raise Failure("bad header", f"{name!r} is not a header name (to send broken HTTP, use tcp)")
    if NOT_IN_VALUE.search(value):
        raise Failure("bad header", f"the value of {name} has a line end in it (to send broken HTTP, use tcp)")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Failure("bad header", f"{error.object[error.start]!r} cannot be sent in a header: encode it") from None
    return f"{name}: {value}"
