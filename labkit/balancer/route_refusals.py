"""Why ``Route(...)`` says no to what it is given. Pure text; `policy` raises."""

from labkit.wording import near_miss

EXAMPLE = 'Route("/api/*", pool="api")'
TAKES = ("path", "pool")

_NOT_BUILT = frozenset(
    {"host", "headers", "cookies", "body", "method", "query", "websocket"}
    | {"rewrites", "weights", "sticky", "backends", "auth"}
)
_SAME = {"header": "headers", "cookie": "cookies", "methods": "method", "hosts": "host", "backend": "backends"}


def unknown_refusal(name: str) -> str:
    """Why ``Route(name=...)`` is refused."""
    meant = _SAME.get(name, name)
    if meant in _NOT_BUILT:
        return f"Route() has no {meant} yet: built now are {' and '.join(TAKES)}, as in {EXAMPLE}."
    return f"Route() has no argument {name!r}{near_miss(name, TAKES)}: it takes path and pool, as in {EXAMPLE}."


def missing_refusal(name: str) -> str:
    """Why a `Route` without *name* is refused."""
    lacks = {"path": "says no path to match", "pool": "names no pool to send to"}
    return f"This Route {lacks[name]}: write it as in {EXAMPLE}."
