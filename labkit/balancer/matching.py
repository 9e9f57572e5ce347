"""Which route a request takes: pure functions on text. No socket, no clock, no engine.

`decide` walks the routes in order and the first match wins; what it looked at on the way is recorded by
the looking itself (`Watched`), so a `Decision` never claims to have read what it did not. Spreading over
the backends of a pool is `RoundRobin`, the only state, kept apart and owned by the caller.

Rules kept here:
- The path alone is matched: not the query (RFC 3986 §3.4), not the authority of an absolute-form target.
- ``.`` and ``..`` are resolved first (RFC 3986 §5.2.4), also when written ``%2e``: unreserved characters
  mean the same encoded or not (§6.2.2.2). ``%2F`` stays what it is: data, not a slash.
- ``*`` in a pattern stands for any run of characters, also none, also slashes. A lone ``*`` matches
  without looking.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.balancer.policy import L7Policy, Target

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
ANYTHING = "*"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request line and its headers as received: method, target (one character a byte), headers in order."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()


class Watched:
    """A request head that notes which of its fields somebody looked at, in the order of the first look."""

    def __init__(self, head: RequestHead) -> None:
        self._head = head
        self._read: dict[str, None] = {}

    @property
    def target(self) -> str:
        self._read["http.target"] = None
        return self._head.target

    @property
    def reads(self) -> tuple[str, ...]:
        """The field names looked at so far, as `labkit.recording.model` writes them."""
        return tuple(self._read)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the routes say. rule: the pattern that matched, or None; pool: where to, or None; reads: field names."""

    rule: str | None
    pool: str | None
    reads: tuple[str, ...]


def decide(policy: L7Policy, head: RequestHead) -> Decision:
    """The first route of *policy* whose pattern matches, and the fields that were read to find it."""
    watched = Watched(head)
    for route in policy.routes:
        if route.path == ANYTHING or matches(unescaped(route.path), path_of(watched.target)):
            return Decision(route.path, route.pool, watched.reads)
    return Decision(None, None, watched.reads)


def matches(pattern: str, path: str) -> bool:
    """Whether *pattern* covers the whole of *path*; ``*`` is any run of characters. Linear time, case counts."""
    first, *rest = pattern.split("*")
    if not rest:
        return path == pattern
    *middle, last = rest
    position, end = len(first), len(path) - len(last)
    if position > end or not path.startswith(first) or not path.endswith(last):
        return False
    for piece in middle:
        found = path.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def path_of(target: str) -> str:
    """The path that a request target names, ready for matching (RFC 9112 §3.2, all four forms).

    origin-form and absolute-form give their path, normalized; asterisk-form gives ``*``; authority-form
    (CONNECT) names no path and gives the empty string, so a lone ``*`` alone can match it.
    """
    if target == "*":
        return target
    authority = _SCHEME.match(target)
    rest = target[authority.end() :] if authority else target
    path = re.split("[?#]", rest, maxsplit=1)[0]
    if authority and not path:
        return "/"  # RFC 9110 §4.2.3
    return normalized(path) if path.startswith("/") else ""


def normalized(path: str) -> str:
    """*path* with needless escapes undone, the others in capitals, and dot segments resolved."""
    ascii_path = "".join(character if character < "\x80" else _escaped(character) for character in path)
    return without_dot_segments(unescaped(ascii_path))


def unescaped(text: str) -> str:
    """*text* with the escapes of unreserved characters undone and all others in capitals (RFC 3986 §6.2.2)."""
    return _ESCAPE.sub(_plain, text)


def _escaped(character: str) -> str:
    encoding = "latin-1" if character <= "\xff" else "utf-8"
    return "".join(f"%{byte:02X}" for byte in character.encode(encoding))


def _plain(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def without_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4 for a path that begins with a slash: ``/a/./b/../c`` is ``/a/c``; above the root is the root."""
    *segments, last = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    return "/" + "/".join([*kept, "" if last in (".", "..") else last])


class RoundRobin:
    """Turns per pool: each call of `next` gives the pool's next target, beginning with the first."""

    def __init__(self, pools: Mapping[str, tuple[Target, ...]]) -> None:
        self._pools = pools
        self._turns = dict.fromkeys(pools, 0)

    def next(self, pool: str) -> Target:
        """KeyError if there is no such pool."""
        targets = self._pools[pool]
        turn = self._turns[pool]
        self._turns[pool] = (turn + 1) % len(targets)
        return targets[turn]
