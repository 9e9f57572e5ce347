"""What the balancer answers itself, before a backend is thought of: refusals, limits, preflights, redirects. Pure but
for the buckets, which the engine owns; the clock is the caller's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.balancer.l7.auth import Refused
from labkit.balancer.l7.cors import Lines, is_preflight
from labkit.balancer.l7.rates import Buckets, RateLimit, retry_after
from labkit.balancer.l7.request import Watched
from labkit.balancer.l7.rewriting import rewritten
from labkit.balancer.l7.route import Route


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the balancer's own. text: the whole text, or else *reason*, after the status in words."""

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may go to a pool. user: who asks, where the route wants to know."""

    user: str | None = None


class Admission:
    """Judges requests by their routes; keeps the buckets of the routes' limits, over changes of policy too: a limit
    that the same route still has goes on."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, RateLimit], Buckets] = {}

    def use(self, routes: Iterable[Route]) -> None:
        """*routes* are in force: forget the buckets of limits that they do not have."""
        there = {(route.label, route.limit) for route in routes}
        self._buckets = {known: buckets for known, buckets in self._buckets.items() if known in there}

    def judge(self, route: Route, request: Watched, size: int | None, now: float) -> Reply | Admitted:
        """What becomes of *request*, which *route* matches. size: of its body, None if it does not say."""
        origin = request.header("origin") if route.cors else None
        if route.cors and origin and route.cors.allows(origin) and is_preflight(*_preflight(request)):
            return Reply(200, headers=tuple(route.cors.preflight(origin)), text="")
        user = None
        if route.auth:
            verdict = route.auth.judge(request)
            if isinstance(verdict, Refused):
                challenge = (("WWW-Authenticate", verdict.challenge),) if verdict.challenge else ()
                return Reply(verdict.status, verdict.reason, challenge)
            user = verdict
        if route.limit and (wait := self._take(route, route.limit, request, user, now)):
            much = f"{route.limit.requests} in {route.limit.seconds:g} s"
            return Reply(429, f"this route lets {much} through", (("Retry-After", retry_after(wait)),))
        if route.max_body is not None and size is not None and size > route.max_body:
            return Reply(413, too_large(route.max_body))
        return self._own(route, request) or Admitted(user)

    def _take(self, route: Route, limit: RateLimit, request: Watched, user: str | None, now: float) -> float:
        buckets = self._buckets.setdefault((route.label, limit), Buckets(limit))
        told = route.auth is not None and route.auth.user is not None and limit.header == route.auth.user
        return buckets.take(limit.key_of(user or None) if told else limit.key(request), now)

    def _own(self, route: Route, request: Watched) -> Reply | None:
        if route.respond:
            return Reply(route.respond.status, headers=route.respond.headers, text=route.respond.text)
        if route.redirect:
            where = rewritten(route.redirect.to, route.path, request.unwatched.target)
            if where.startswith("/"):
                where = f"{request.unwatched.origin}{where}"
            return Reply(route.redirect.status, f"see {where}", (("Location", where),))
        return None


def too_large(most: int) -> str:
    """Why a body is refused."""
    return f"this route takes bodies of {most} bytes at most"


def granted(route: Route | None, request: Watched) -> Lines:
    """What an answer on *route* says to a script of another site."""
    origin = request.unwatched.headers.get("origin") if route and route.cors else None
    return route.cors.granted(origin) if route and route.cors and origin and route.cors.allows(origin) else []


def _preflight(request: Watched) -> tuple[str, list[str]]:
    return request.method, list(request.unwatched.headers)
