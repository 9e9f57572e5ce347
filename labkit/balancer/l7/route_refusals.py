"""Why ``Route(...)`` says no to what it is given. Pure text; `route` and `checked` raise."""

import re
from collections.abc import Sequence

from labkit.balancer.l7.paths import unescaped
from labkit.wording import near_miss

EXAMPLE = 'Route("/api/*", pool="api")'

_NOT_BUILT = frozenset({"weights", "sticky", "backends"})
_SAME = {
    "header": "headers",
    "cookie": "cookies",
    "methods": "method",
    "hosts": "host",
    "params": "query",
    "backend": "backends",
    "url": "path",
    "prefix": "path",
    "regex": "path",
    **dict.fromkeys(("function", "match", "rule"), "when"),
    **dict.fromkeys(("transform", "modify", "transform_body"), "transform_response"),
    "ws": "websocket",
    "contains": "body",
    "rewrites": "rewrite",
}


def unknown_refusal(name: str, takes: Sequence[str]) -> str:
    """Why ``Route(name=...)`` is refused."""
    meant = _SAME.get(name, name)
    if meant in takes:
        return f"Route() has no argument {name!r} (did you mean {meant!r}?), as in {EXAMPLE}."
    if meant in _NOT_BUILT:
        return f"Route() has no {meant}: it takes {', '.join(takes)}, as in {EXAMPLE}."
    return f"Route() has no argument {name!r}{near_miss(name, takes)}: it takes {', '.join(takes)}, as in {EXAMPLE}."


def missing_refusal(name: str) -> str:
    """Why a `Route` without *name* is refused."""
    lacks = {"path": "says no path to match", "pool": "names no pool to send to"}
    return f"This Route {lacks[name]}: write it as in {EXAMPLE}."


_PATTERN_RULES = (
    (r"", "an empty pattern names none. Write a path such as '/api/*', or '*' for every request."),
    (r"[^*/].*", "a path begins with '/'. Write '/...', or '*' for every request."),
    (r".*[?#].*", "the query is not part of the path. Leave out what follows '?' or '#'."),
    (r".*[\x00-\x20\x7f].*", "a request target holds no spaces or control characters. Percent-encode them (%20)."),
    (r".*[^\x00-\x7f].*", "a request target is ASCII. Percent-encode other characters, as in '/caf%C3%A9/*'."),
    (r".*%(?![0-9A-Fa-f]{2}).*", "'%' begins an escape of two hexadecimal digits. Write a literal one as %25."),
    (r"(.*/)?\.\.?(/.*)?", "dot segments are resolved before matching (RFC 3986 §5.2.4). Write the path they lead to."),
)


def pattern_refusal(pattern: object) -> str | None:
    """What is wrong with a route's path pattern, or None."""
    if not isinstance(pattern, str):
        return f"a pattern is text, not {type(pattern).__name__}. Write a path such as '/api/*'."
    plain = unescaped(pattern)
    return next((reason for rule, reason in _PATTERN_RULES if re.fullmatch(rule, plain, re.DOTALL)), None)
