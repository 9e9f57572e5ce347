"""A request as a route looks at it, and the note of what was looked at. Pure.

`Request` is the letter: everything the balancer holds of it. `Watched` reads from one and writes down the names of
the fields it read, so that a decision never claims to have read what it did not.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from labkit.balancer.l7.paths import path_of, query_of

HELD_BODY = 64 * 1024  # bytes of a request body that is waited for before deciding; nothing looks into a larger one
_DEEPEST = 200  # values within values: JSON that is nested deeper is none
_JSON, _FORM = "json", "application/x-www-form-urlencoded"
NOTHING = object()  # where JSON has no such value; None would be its null


class Headers(Mapping[str, str]):
    """Header fields by name, whatever its case; the values of several lines of one name stand beside each other."""

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self._lines = lines

    @cached_property
    def _joined(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self._lines:
            key = name.lower()
            joined[key] = f"{joined[key]},{value}" if key in joined else value
        return joined

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __repr__(self) -> str:
        return repr(self._joined)


@dataclass(frozen=True)
class Request:
    """A request as received: method, target (one character a byte), header lines in order.

    authority: the host where it is not in a Host field (HTTP/2, absolute-form). body: None where it is not held: it is
    larger than `HELD_BODY`, or of unknown length and nobody asks for it. client: the address it came from. secure: it
    came over TLS; then sni: the name that the client asked the certificate for, in small letters, and certificate: the
    names (DNS) in the client's own, which has been verified; None where it showed none.
    """

    method: str
    target: str
    lines: Sequence[tuple[str, str]] = ()
    authority: str = ""
    body: bytes | None = b""
    client: str = ""
    secure: bool = False
    sni: str = ""
    certificate: tuple[str, ...] | None = None

    @property
    def path(self) -> str:
        """The path, without dot segments and needless escapes."""
        return path_of(self.target)

    @cached_property
    def headers(self) -> Headers:
        return Headers(self.lines)

    @property
    def host(self) -> str:
        """The host it asks for, in small letters, without a port."""
        name = (self.authority or self.headers.get("host", "")).lower()
        if name.startswith("["):
            return name[: name.find("]") + 1]
        return name.partition(":")[0]

    @property
    def origin(self) -> str:
        """Scheme and authority that it was sent to: ``http://lb:8080``."""
        return f"{'https' if self.secure else 'http'}://{self.authority or self.headers.get('host', '')}"

    @cached_property
    def raw_query(self) -> Mapping[str, str]:
        """Names and values of the query, as sent; of several of one name the first."""
        found: dict[str, str] = {}
        for part in query_of(self.target).split("&"):
            name, _, value = part.partition("=")
            if name:
                found.setdefault(name, value)
        return MappingProxyType(found)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The same with the values decoded."""
        return MappingProxyType({name: unquote_plus(value) for name, value in self.raw_query.items()})

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name, without quotes around their values; of several of one name the first."""
        found: dict[str, str] = {}
        for name, value in self.lines:
            if name.lower() == "cookie":
                for crumb in value.split(";"):
                    key, equals, text = crumb.strip(" \t").partition("=")
                    if key and equals:
                        found.setdefault(key, text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)
        return MappingProxyType(found)

    @property
    def upgrades(self) -> bool:
        """Whether it asks for a WebSocket (RFC 6455 §4.1)."""
        tokens = [token.strip().lower() for token in self.headers.get("connection", "").split(",")]
        return "upgrade" in tokens and self.headers.get("upgrade", "").lower() == "websocket"

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The fields of a form in its body, decoded, by name; of several of one name the first."""
        if self.body is None or not self._is(_FORM):
            return MappingProxyType({})
        return MappingProxyType(dict(reversed(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))))

    @cached_property
    def json(self) -> Any:
        """The JSON in its body; `NOTHING` if it has none."""
        if self.body is None or not self._is(_JSON):
            return NOTHING
        try:
            found = json.loads(self.body.decode("utf-8-sig"), parse_constant=_no_number)
        except (ValueError, RecursionError):
            return NOTHING
        return found if _depth(found) <= _DEEPEST else NOTHING

    def json_field(self, place: str) -> Any:
        """The value at *place* (names joined by dots) of the JSON in its body; `NOTHING` if there is none."""
        found = self.json
        for name in place.split("."):
            if not isinstance(found, dict) or name not in found:
                return NOTHING
            found = found[name]
        return found

    def _is(self, kind: str) -> bool:
        given = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return given == kind or (kind == _JSON and (given == "application/json" or given.endswith("+json")))


class Watched:
    """A request that notes which of its fields somebody looked at, in the order of the first look.

    The names are those of `labkit.recording.model`.
    """

    def __init__(self, request: Request) -> None:
        self.unwatched = request
        self._read: dict[str, None] = {}

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields looked at so far."""
        return tuple(self._read)

    def note(self, *names: str) -> None:
        """These fields are looked at."""
        self._read |= dict.fromkeys(names)

    @property
    def method(self) -> str:
        self.note("http.method")
        return self.unwatched.method

    @property
    def path(self) -> str:
        self.note("http.target")
        return self.unwatched.path

    @property
    def host(self) -> str:
        self.note("http.host")
        return self.unwatched.host

    @property
    def client(self) -> str:
        self.note("ip6.src" if ":" in self.unwatched.client else "ip.src")
        return self.unwatched.client

    @property
    def sni(self) -> str:
        self.note("tls.sni")
        return self.unwatched.sni

    @property
    def certificate(self) -> tuple[str, ...] | None:
        self.note("tls.client_certificate")
        return self.unwatched.certificate

    def header(self, name: str) -> str | None:
        """The value of a header field; None if it is not there."""
        self.note(field_of(name))
        return self.unwatched.headers.get(name)

    def query(self, name: str, *, raw: bool = False) -> str | None:
        """The value of a name of the query, decoded or *raw*; None if it is not there."""
        self.note("http.target")
        return (self.unwatched.raw_query if raw else self.unwatched.query).get(name)

    def cookie(self, name: str) -> str | None:
        """The value of a cookie; None if it is not there."""
        self.note("http.cookie")
        return self.unwatched.cookies.get(name)

    @property
    def upgrades(self) -> bool:
        self.note("http.header.connection", "http.header.upgrade")
        return self.unwatched.upgrades

    @property
    def body(self) -> bytes | None:
        self.note("http.body")
        return self.unwatched.body

    def form(self, name: str) -> str | None:
        """The value of a field of the form in the body; None if it is not there."""
        self.note("http.body", "http.header.content-type")
        return self.unwatched.form.get(name)

    def json(self, place: str) -> Any:
        """The value at *place* of the JSON in the body; `NOTHING` if it is not there."""
        self.note("http.body", "http.header.content-type")
        return self.unwatched.json_field(place)


def _no_number(name: str) -> Any:
    """Python's own NaN and Infinity are no JSON (RFC 8259 §6)."""
    raise ValueError(name)


def _depth(value: Any) -> int:
    """How many values of *value* stand within each other."""
    depth, level = 0, [value]
    while level := [each for one in level if isinstance(one, dict | list) for each in _parts(one)]:
        depth += 1
    return depth


def _parts(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def field_of(header: str) -> str:
    """What a header field is called in recordings."""
    name = header.lower()
    return {"host": "http.host", "cookie": "http.cookie"}.get(name, f"http.header.{name}")
