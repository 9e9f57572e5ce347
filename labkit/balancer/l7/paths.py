"""The path that a request target names, ready for matching, and the patterns that are matched with it. Pure.

- The path alone is matched: not the query (RFC 3986 §3.4), not the authority of an absolute-form target.
- ``.`` and ``..`` are resolved first (RFC 3986 §5.2.4), also when written ``%2e``: unreserved characters
  mean the same encoded or not (§6.2.2.2). ``%2F`` stays what it is: data, not a slash.
- ``*`` in a pattern stands for any run of characters, also none, also slashes.
"""

import re

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
ANYTHING = "*"


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


def filled(pattern: str, path: str) -> list[str] | None:
    """What each ``*`` of *pattern* stands for in *path*, each as short as can be but the last; None if no match."""
    if not matches(pattern, path):
        return None
    expression = "(.*?)".join(map(re.escape, pattern.split("*")))
    found = re.fullmatch(expression, path, re.DOTALL)
    return list(found.groups()) if found else None


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


def query_of(target: str) -> str:
    """The query of a request target, as sent, without its question mark."""
    return target.split("#", 1)[0].partition("?")[2]


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
