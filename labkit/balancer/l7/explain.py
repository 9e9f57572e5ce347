"""Which rule a request would match, and why not the others: asked of the policy alone, with nothing sent. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from json import dumps
from string import printable
from typing import Any
from urllib.parse import quote

from labkit.balancer.l7.admission import Admission, Reply
from labkit.balancer.l7.matching import Decision, decide
from labkit.balancer.l7.request import HELD_BODY, Request, Watched
from labkit.balancer.l7.route import Route
from labkit.balancer.l7.tls import Tls, at_the_door
from labkit.errors import PolicyError
from labkit.wording import encodable, shown

_EXAMPLE = 'lab.balancer.explain("GET /api/users", headers={"x-beta": "1"})'
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request. rule and pool: as in the record, None if no route matches; reads: the fields
    looked at; passed: rule and reason of each route passed over; then: what follows, in words."""

    request: str
    rule: str | None
    pool: str | None
    reads: tuple[str, ...]
    passed: tuple[tuple[str, str], ...]
    then: str

    def __repr__(self) -> str:
        return "\n".join(f"{mark} {rule:{self._width}}  {text}" for mark, rule, text in self._rows()).rstrip()

    def _repr_html_(self) -> str:
        cell = 'style="text-align:left;padding:2px 12px 2px 0"'
        rows = (
            f"<tr><td {cell}>{mark}</td><td {cell}><code>{escape(rule)}</code></td><td {cell}>{escape(text)}</td></tr>"
            for mark, rule, text in self._rows()
        )
        return f"<table><caption {cell}>{escape(self.request)}</caption>{''.join(rows)}</table>"

    @property
    def _width(self) -> int:
        return max(len(rule) for _, rule, _ in self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("✗", rule, reason) for rule, reason in self.passed]
        return [*rows, ("◆", self.rule or "no match", self.then)]


def request_of(
    line: object, headers: object, cookies: object, body: object, client: str, secure: bool = False
) -> Request:
    """The request that *line* (``"GET /api/x"``, a full URL too) and the rest describe. Raises PolicyError."""
    words = line.split() if isinstance(line, str) else []
    if len(words) != 2 or not _TOKEN.fullmatch(words[0]) or not encodable(words[1]):
        raise PolicyError(f"lab.balancer.explain({shown(line)}): a request is a method and a path, as in {_EXAMPLE}.")
    method, target = words
    url = re.match(r"(https?)://([^/?#]*)(.*)", target, re.IGNORECASE)
    authority = url[2] if url else "lb"
    path = quote(url[3] or "/" if url else target, safe=printable)
    lines = [("host", authority), *_texts("headers", headers)]
    if any(name.lower() == "host" for name, _ in lines[1:]):
        del lines[0]
    crumbs = "; ".join(f"{name}={value}" for name, value in _texts("cookies", cookies))
    if crumbs:
        lines.append(("cookie", crumbs))
    content, kind = _body(body)
    if kind and not any(name.lower() == "content-type" for name, _ in lines):
        lines.append(("content-type", kind))
    return Request(method.upper(), path, lines, "", content, client, secure or bool(url and url[1].lower() == "https"))


def explanation(
    routes: tuple[Route, ...], request: Request, tls: Tls | None = None, https_port: int = 443
) -> Explanation:
    """What the routes would do with *request*, if *tls* lets them see it, and no limit stands in its way. Functions of
    routes are asked here; raises what they raise."""
    if tls and tls.redirect and not request.secure:
        watched = Watched(request)
        reply = at_the_door(tls, watched, https_port)
        said = f"{reply.status}, {reply.reason}" if reply else ""
        then = f"the balancer answers {said}; no route is asked. Ask with the https:// URL for the routes"
        return Explanation(f"{request.method} {request.target}", None, None, watched.reads, (), then)
    held = request if len(request.body or b"") <= HELD_BODY else replace(request, body=None)
    decision = decide(routes, held)
    watched = Watched(held)
    then = _then(decision, watched, len(request.body or b""))
    reads = tuple(dict.fromkeys([*decision.reads, *watched.reads]))
    passed = tuple((route.label, why) for route, why in decision.passed)
    return Explanation(f"{request.method} {request.target}", decision.rule, decision.pool, reads, passed, then)


def _then(decision: Decision, watched: Watched, size: int) -> str:
    """What follows, where no limit has been reached and a backend is there."""
    if decision.route is None:
        return "the balancer answers 404; no backend is contacted"
    admitted = Admission().judge(decision.route, watched, size, 0.0)
    if isinstance(admitted, Reply):
        said = f"{admitted.status}, {admitted.reason}" if admitted.reason else str(admitted.status)
        return f"the balancer answers {said}; no backend is contacted"
    return f"goes to the pool {decision.pool}"


def _texts(argument: str, given: object) -> list[tuple[str, str]]:
    if given is None:
        return []
    if not isinstance(given, Mapping) or not all(
        isinstance(one, str) and encodable(one) for pair in given.items() for one in pair
    ):
        raise PolicyError(
            f"lab.balancer.explain({argument}={shown(given)}): they are name and value, both text, as in {_EXAMPLE}."
        )
    return list(given.items())


def _body(given: Any) -> tuple[bytes, str]:
    """The body's bytes and what kind it is: text and bytes as they are, a dictionary of texts as in
    ``body={"a": 1}`` as JSON."""
    if given is None:
        return b"", ""
    if isinstance(given, bytes):
        return given, ""
    if isinstance(given, str) and encodable(given):
        return given.encode(), ""
    if isinstance(given, Mapping | list):
        try:
            return dumps(given).encode(), "application/json"
        except (TypeError, ValueError, RecursionError):
            pass
    raise PolicyError(
        f"lab.balancer.explain(body={shown(given)}): a body is text, bytes, or what JSON can write, as in "
        'body={"user": {"role": "admin"}}.'
    )
