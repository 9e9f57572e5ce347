"""An HTTP/1.1 request as bytes (RFC 9112 §3), from what the user gave: pure, shared by clients and load.

Header order and case stay as given; only what is absent is added: Host, User-Agent and Accept before them,
Cookie and Content-Length after them.
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


def compose(
    target: Target,
    method: str = "GET",
    headers: Iterable[Sequence[str]] = (),
    cookies: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """The whole request, head and body; *headers* are pairs. Failure where a name or value would break the framing."""
    if not TOKEN.fullmatch(method):
        raise Failure("bad method", f"{method!r} is not a method: a method is one word, such as GET")
    given = [(name, value) for name, value in headers]
    names = {name.lower() for name, _ in given}
    defaults = [("Host", target.authority), ("User-Agent", "labkit"), ("Accept", "*/*")]
    fields = [field for field in defaults if field[0].lower() not in names] + given
    if cookies and "cookie" not in names:
        fields.append(("Cookie", cookie_value(cookies)))
    if (body or method in EXPECT_CONTENT) and not names & FRAMING:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target.path} HTTP/1.1", *(field_line(name, value) for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


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
