"""What a route asks of a request, as Envoy's conditions: to the same result as `labkit.balancer.l7.conditions`.

What a body has to have is found by a script before (`bodies`), which leaves it in header fields of its own.
"""

import re
from typing import Any

from labkit.balancer.l7.patterns import Regex, Test
from labkit.balancer.l7.route import ANY, Route

from . import bodies
from .paths import path_match

Matcher = dict[str, Any]
_PORT = r"(?::[0-9]*)?"
_WEBSOCKET: Matcher = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
UPGRADING: Matcher = _WEBSOCKET
NOT_UPGRADING: Matcher = {**_WEBSOCKET, "invert_match": True, "treat_missing_header_as_empty": True}


def match(route: Route) -> Matcher:
    """The condition of *route*."""
    headers = [*_method(route), *_host(route), *_websocket(route)]
    headers += [_header(name, test) for name, test in route.headers]
    headers += [_no_query(name) for name, test in route.query if test is False]
    headers += [_header(name, test) for name, test in bodies.fields(route)]
    queries = [_query(name, test) for name, test in route.query if test is not False]
    cookies = [_cookie(name, test) for name, test in route.cookies]
    told = {"headers": headers, "query_parameters": queries, "cookies": cookies}
    return path_match(route.path) | {name: asked for name, asked in told.items() if asked}


def only(match: Matcher, *headers: Matcher) -> Matcher:
    """*match*, where *headers* match too."""
    return {**match, "headers": [*match.get("headers", []), *headers]}


def methods(names: frozenset[str]) -> Matcher:
    """One of these methods."""
    return {"name": ":method", **regex("|".join(sorted(names)))}


def longer_than(size: int) -> Matcher:
    """A body of more than *size* bytes, by its Content-Length."""
    return {"name": "content-length", "range_match": {"start": size + 1, "end": 2**63 - 1}}


def glob(pattern: str) -> str:
    """A regular expression for a pattern in which ``*`` is any run of characters."""
    return ".*".join(map(literal, pattern.split("*")))


def regex(expression: str) -> dict[str, Any]:
    """That *expression*, one of RE2's, covers the whole of a field."""
    return {"string_match": {"safe_regex": {"regex": expression or "(?:)"}}}  # it takes none that is empty


def literal(text: str) -> str:
    """*text* as a part of a regular expression of RE2's."""
    return re.sub(r"([^A-Za-z0-9_/ -])", r"\\\1", text)


def _method(route: Route) -> list[Matcher]:
    return [{"name": ":method", **regex("|".join(map(literal, route.method)))}] if route.method else []


def _host(route: Route) -> list[Matcher]:
    if route.host is None or route.host == ANY:
        return []
    name = route.host.pattern if isinstance(route.host, Regex) else glob(route.host)
    return [{"name": ":authority", **regex(f"(?i)(?:{name}){_PORT}")}]


def _websocket(route: Route) -> list[Matcher]:
    return [] if route.websocket is None else [UPGRADING if route.websocket else NOT_UPGRADING]


def _header(name: str, test: Test) -> Matcher:
    if isinstance(test, bool):
        return {"name": name, "present_match": True, **({} if test else {"invert_match": True})}
    if isinstance(test, Regex):
        return {"name": name, **regex(test.pattern)}
    return {"name": name, "string_match": {"exact": test}}


def _cookie(name: str, test: Test) -> Matcher:
    """The first cookie of that name, in whatever line, without the quotes around its value."""
    found = {"name": name, **regex(test.pattern if isinstance(test, Regex) else ".*")}
    if isinstance(test, str):
        found = {"name": name, "string_match": {"exact": test}}
    return {**found, "invert_match": True} if test is False else found


def _query(name: str, test: Test) -> Matcher:
    if test is True:
        return {"name": name, "present_match": True}
    expression = test.pattern if isinstance(test, Regex) else "".join(map(_in_any_writing, str(test)))
    return {"name": name, **regex(expression)}


def _no_query(name: str) -> Matcher:
    found = rf"[^?]*\?(?:.*&)?{literal(name)}(?:[=&].*)?"
    return {"name": ":path", **regex(found), "invert_match": True}


def _in_any_writing(character: str) -> str:
    """*character* as a query may hold it: as it is, if it can be, or escaped; a blank also as a plus."""
    escaped = "".join(f"%{byte:02X}" for byte in character.encode())
    ways = [f"(?i:{escaped})"]
    if character == " ":
        ways.append(r"\+")
    elif character.isascii() and character not in "&+#%":
        ways.append(literal(character))
    return f"(?:{'|'.join(ways)})"
