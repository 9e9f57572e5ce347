"""What the parts of a request may look like, by RFC 9112 and RFC 9110, read strictly. Pure functions on bytes.

Each raises `BadRequest` with the status to refuse with and the rule that was broken. What the standards leave to
the recipient's choice is refused wherever two recipients could read it differently.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv6Address

Field = tuple[bytes, bytes]  # name and value, as received

_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = re.compile(_TCHAR + rb"+")
TOKEN_BYTES = frozenset(byte for byte in range(128) if _TOKEN.fullmatch(bytes([byte])))  # a method begins with one
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")  # visible ASCII but "#"
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_ABSOLUTE = re.compile(rb"(https?)://([^/?]*)(?:[/?].*)?", re.IGNORECASE)
_LABEL = rb"[0-9A-Za-z_-]{1,63}"
_HOST = re.compile(rb"(" + _LABEL + rb"(?:\." + _LABEL + rb")*\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TCHAR + rb"+(?:[ \t]*=[ \t]*(?:" + _TCHAR + rb"+|" + _QUOTED + rb"))?"
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(?:" + _EXTENSION + rb")*")
_CHUNK_DIGITS = 15  # of a size: more than any body has, less than 63 bits hold

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
# RFC 9110 §6.5.1: what frames, routes, authenticates, modifies the request or says how to process its content.
_NO_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection upgrade te trailer keep-alive proxy-connection "
    b"authorization proxy-authorization cookie expect cache-control pragma max-forwards range if-match if-none-match "
    b"if-modified-since if-unmodified-since if-range content-encoding content-type content-range "
    b"forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
)


class BadRequest(Exception):
    """A request to refuse: *status*, and *rule*: the section and what it does not allow."""

    def __init__(self, status: int, rule: str) -> None:
        super().__init__(rule)
        self.status = status
        self.rule = rule


def request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and version: three words and two spaces (RFC 9112 §3)."""
    no_controls(line, "the request line")
    words = line.split(b" ")
    if len(words) != 3 or b"\t" in line:
        raise BadRequest(
            400, "RFC 9112 §3: the request line is not a method, a target and a version with a space between"
        )
    return words[0], words[1], words[2]


def method(word: bytes) -> None:
    if not _TOKEN.fullmatch(word):
        raise BadRequest(400, "RFC 9110 §9.1: the method is no token")
    if word == b"CONNECT":
        raise BadRequest(400, "RFC 9110 §9.3.6: this balancer is no tunnel, so it takes no CONNECT")


def version(word: bytes) -> None:
    if not _VERSION.fullmatch(word):
        raise BadRequest(400, "RFC 9112 §2.3: no version of HTTP is written like this")
    if word not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505, "RFC 9110 §15.6.6: the balancer speaks HTTP/1.0 and HTTP/1.1 here")


def target(method: bytes, word: bytes) -> tuple[bytes, bytes] | None:
    """Scheme and authority of a target in absolute-form; None for the other forms (RFC 9112 §3.2)."""
    if not _TARGET.fullmatch(word):
        raise BadRequest(400, "RFC 9112 §3.2: the target holds a fragment, or what must be escaped, or nothing")
    if word.startswith(b"/"):
        return None
    if word == b"*":
        if method != b"OPTIONS":
            raise BadRequest(400, "RFC 9112 §3.2.4: the target * is for OPTIONS alone")
        return None
    absolute = _ABSOLUTE.fullmatch(word)
    if absolute is None:
        raise BadRequest(400, "RFC 9112 §3.2: the target is neither a path nor an http or https URI")
    host(absolute[2])
    return absolute[1].lower(), absolute[2]


def with_path(word: bytes) -> bytes:
    """A target in absolute-form, with the path that it may lack before its query (RFC 9112 §3.2.1)."""
    scheme, _, rest = word.partition(b"://")
    authority, mark, query = rest.partition(b"?")
    return b"%s://%s/?%s" % (scheme, authority, query) if mark and b"/" not in authority else word


def host(value: bytes) -> None:
    """A name or an address, and a port or none; no userinfo, and not nothing (RFC 9110 §4.2)."""
    found = _HOST.fullmatch(value)
    if found is None or len(found[1]) > 255 or int(found[2] or 0) > 65535 or not _readable(found[1]):
        raise BadRequest(400, "RFC 9110 §7.2: the host is no name or address with an optional port")


def _readable(name: bytes) -> bool:
    try:
        if name.startswith(b"["):
            IPv6Address(name[1:-1].decode())
        elif b"xn--" in name.lower():
            name.decode("idna")
    except ValueError:
        return False
    return True


def hosts(version: bytes, absolute: tuple[bytes, bytes] | None, fields: Sequence[Field]) -> None:
    """One Host field (none will do in HTTP/1.0), and it says what an absolute-form target says (RFC 9112 §3.2)."""
    named = [value for name, value in fields if name.lower() == b"host"]
    if len(named) > 1:
        raise BadRequest(400, "RFC 9112 §3.2: more than one Host")
    if not named:
        if version == b"HTTP/1.1":
            raise BadRequest(400, "RFC 9112 §3.2: no Host")
        return
    host(named[0])
    if absolute and _plain(absolute[0], absolute[1]) != _plain(absolute[0], named[0]):
        raise BadRequest(400, "RFC 9112 §3.2.2: the target and the Host field name different hosts")


def _plain(scheme: bytes, authority: bytes) -> bytes:
    return authority.lower().removesuffix(_DEFAULT_PORTS[scheme])


def field(line: bytes) -> Field:
    """One field line (RFC 9112 §5), without the whitespace around its value."""
    if line[:1] in (b" ", b"\t"):
        raise BadRequest(
            400, "RFC 9112 §5.2: a field is folded over several lines, or whitespace stands before the first"
        )
    no_controls(line, "a field")
    name, colon, value = line.partition(b":")
    if not colon:
        raise BadRequest(400, "RFC 9112 §5: a field without a colon")
    if not _TOKEN.fullmatch(name):
        if _TOKEN.fullmatch(name.rstrip(b" \t")):
            raise BadRequest(400, "RFC 9112 §5.1: whitespace between a field's name and its colon")
        raise BadRequest(400, "RFC 9110 §5.1: a field's name is no token")
    return name, value.strip(b" \t")


def no_controls(text: bytes, where: str) -> None:
    found = _CONTROL.search(text)
    if found is None:
        return
    if found[0] == b"\r":
        raise BadRequest(400, f"RFC 9112 §2.2: a bare CR in {where}")
    raise BadRequest(400, f"RFC 9110 §5.5: the control character 0x{found[0][0]:02x} in {where}")


def body_length(version: bytes, fields: Sequence[Field]) -> int | None:
    """How long the body is: bytes, or None where it comes in chunks (RFC 9112 §6.3)."""
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    if codings and lengths:
        raise BadRequest(400, "RFC 9112 §6.3: both Content-Length and Transfer-Encoding")
    if codings:
        _chunked(version, codings)
        return None
    if len(lengths) > 1:
        raise BadRequest(400, "RFC 9112 §6.3: more than one Content-Length")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise BadRequest(400, "RFC 9112 §6.3: Content-Length is not one number of decimal digits")
    return int(lengths[0]) if lengths else 0


def _chunked(version: bytes, codings: list[bytes]) -> None:
    if version == b"HTTP/1.0":
        raise BadRequest(400, "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0")
    if len(codings) > 1:
        raise BadRequest(400, "RFC 9112 §6.1: more than one Transfer-Encoding")
    *others, last = (coding.strip(b" \t").lower() for coding in codings[0].split(b","))
    if last != b"chunked":
        raise BadRequest(400, "RFC 9112 §6.3: the last transfer coding is not chunked")
    if b"chunked" in others:
        raise BadRequest(400, "RFC 9112 §6.1: chunked more than once")
    if others:
        raise BadRequest(501, "RFC 9112 §6.1: the balancer knows no transfer coding but chunked")


def chunk(line: bytes) -> tuple[int, int]:
    """Size of a chunk, and how many bytes its extensions take on its line (RFC 9112 §7.1)."""
    no_controls(line, "a chunk's line")
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise BadRequest(400, "RFC 9112 §7.1: a chunk's line is no hexadecimal size with well-formed extensions")
    if len(found[1]) > _CHUNK_DIGITS:
        raise BadRequest(400, "RFC 9112 §7.1: a chunk's size is too large to be one")
    return int(found[1], 16), len(line) - len(found[1])


def trailer(line: bytes) -> None:
    """A trailer field that may stand where it stands (RFC 9110 §6.5.1)."""
    name, _ = field(line)
    if name.lower() in _NO_TRAILERS:
        raise BadRequest(400, f"RFC 9110 §6.5.1: {name.decode()} is no field for a trailer section")


def multiplexed(verb: bytes, path: bytes, authority: bytes, fields: Sequence[Field], *, ended: bool) -> None:
    """A request of HTTP/2 that means the same in HTTP/1.1 (RFC 9113 §8.1.1, §8.3.1, §10.3). ended: without a body."""
    method(verb)
    if path != b"*" and not path.startswith(b"/"):
        raise BadRequest(400, "RFC 9113 §8.3.1: :path does not begin with a slash")
    target(verb, path)
    named = [value for name, value in fields if name == b"host"]
    for value in [authority, *named] if authority or not named else named:
        host(value)
    if len({value.lower() for value in [authority or named[0], *named]}) > 1:
        raise BadRequest(400, "RFC 9113 §8.3.1: :authority and Host name different hosts")
    if len(named) > 1:
        raise BadRequest(400, "RFC 9112 §3.2: more than one Host")
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise BadRequest(400, "RFC 9113 §8.2.1: a field's name is no token")
        no_controls(value, "a field")
    if body_length(b"HTTP/1.1", fields) and ended:
        raise BadRequest(400, "RFC 9113 §8.1.1: Content-Length announces a body, and there is none")
