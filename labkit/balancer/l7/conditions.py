"""What a route asks of a request, condition by condition, in the order in which they are looked at. Pure.

Cheap and telling ones first; the body last, so that no route that is passed over for its path is said to have looked
into it. A condition that is not asked for is not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from labkit.balancer.l7.paths import ANYTHING, matches, unescaped
from labkit.balancer.l7.patterns import Regex, fits, wanted
from labkit.balancer.l7.request import NOTHING, Watched, field_of
from labkit.balancer.l7.route import Route
from labkit.wording import shown


@dataclass(frozen=True, slots=True)
class Failed:
    """The first condition that did not hold. asked: what the route wanted; found: what the request has."""

    asked: str
    found: str

    def __str__(self) -> str:
        return f"{self.asked}, and {self.found}"


def first_failing(route: Route, request: Watched) -> Failed | None:
    """The first condition of *route* that *request* does not meet, but for its function; None if it meets all."""
    return next(_failing(route, request), None)


def looks_at(route: Route) -> tuple[str, ...]:
    """The names of all fields that *route* may look at, whatever the request."""
    found = ["http.target"] if route.path != ANYTHING or route.query else []
    found += ["http.method"] if route.method else []
    found += ["http.host"] if route.host not in (None, ANYTHING) else []
    found += ["http.header.connection", "http.header.upgrade"] if route.websocket is not None else []
    found += [field_of(name) for name, _ in route.headers]
    found += ["http.cookie"] if route.cookies else []
    found += ["http.header.content-type"] if route.json or route.form else []
    found += ["http.body"] if route.opens_body else []
    return tuple(dict.fromkeys(found))


def _failing(route: Route, request: Watched) -> Iterator[Failed]:
    if route.path != ANYTHING and not _covers(route.path, path := request.path):
        yield Failed(f"the path has to be {_named(route.path)}", f"it is {shown(path)}")
    if route.method and (method := request.method) not in route.method:
        yield Failed(f"the method has to be {' or '.join(route.method)}", f"it is {method}")
    if route.host not in (None, ANYTHING) and not _is_host(route.host, host := request.host):
        yield Failed(f"the host has to be {_named(route.host)}", f"it is {shown(host)}")
    if route.websocket is not None and request.upgrades is not route.websocket:
        what = "has to be a WebSocket upgrade" if route.websocket else "must be no WebSocket upgrade"
        yield Failed(f"it {what}", "it is one" if request.unwatched.upgrades else "it is none")
    looks = [("header", name, test, request.header) for name, test in route.headers]
    looks += [("query", name, test, partial(request.query, raw=isinstance(test, Regex))) for name, test in route.query]
    looks += [("cookie", name, test, request.cookie) for name, test in route.cookies]
    for kind, name, test, look in looks:
        if not fits(test, value := look(name)):
            yield Failed(f"asks that {kind} {name} {wanted(test)}", _had(value))
    yield from _failing_body(route, request)


def _failing_body(route: Route, request: Watched) -> Iterator[Failed]:
    for place, wish in route.json:
        if not _json_fits(wish, value := request.json(place)):
            yield Failed(f"asks that JSON field {place} {wanted(wish)}", _had(None if value is NOTHING else value))
    for name, test in route.form:
        if not fits(test, found := request.form(name)):
            yield Failed(f"asks that form field {name} {wanted(test)}", _had(found))
    if route.body is not None and route.body.encode() not in ((body := request.body) or b""):
        yield Failed(f"asks that the body holds {shown(route.body)}", _body(body))


def _covers(pattern: str | Regex, path: str) -> bool:
    return pattern.matches(path) if isinstance(pattern, Regex) else matches(unescaped(pattern), path)


def _is_host(pattern: str | Regex | None, host: str) -> bool:
    if isinstance(pattern, Regex):
        return Regex(f"(?i){pattern.pattern}").matches(host)
    return matches((pattern or "").lower(), host)


def _json_fits(wish: Any, value: Any) -> bool:
    """JSON has types: 1 is not "1", and true is not 1; True and False ask whether it is there, as everywhere."""
    if isinstance(wish, bool):
        return (value is not NOTHING) is wish
    if isinstance(wish, Regex):
        return isinstance(value, str) and wish.matches(value)
    return type(value) is not bool and value == wish and isinstance(value, str) is isinstance(wish, str)


def _named(pattern: str | Regex | None) -> str:
    return f"~{pattern.pattern}" if isinstance(pattern, Regex) else shown(pattern)


def _had(value: Any) -> str:
    return "it is not there" if value is None else f"it is {shown(value)}"


def _body(body: bytes | None) -> str:
    if body is None:
        return "it is too large to be held"
    return "it does not" if body else "there is none"
