"""Which route a request takes: the first whose conditions it meets. Pure.

A route's function is asked by whoever drives `walk`: in the notebook at once, in a proxy in a process of its own.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from labkit.balancer.l7.code import called, verdict
from labkit.balancer.l7.conditions import first_failing
from labkit.balancer.l7.request import Request, Watched
from labkit.balancer.l7.route import Route


@dataclass(frozen=True, slots=True)
class Decision:
    """What the routes say. route: the one that matched, or None; reads: the fields that were looked at to find it;
    passed: the routes before it, each with why it was passed over."""

    route: Route | None
    reads: tuple[str, ...]
    passed: tuple[tuple[Route, str], ...] = ()

    @property
    def rule(self) -> str | None:
        """What the record calls the route."""
        return self.route.label if self.route else None

    @property
    def pool(self) -> str | None:
        """Where to."""
        return self.route.pool if self.route else None


Walk = Generator[Route, bool, Decision]


def walk(routes: Sequence[Route], watched: Watched) -> Walk:
    """The decision on a request; on the way gives each route whose function has to be asked, and is sent its answer."""
    passed: list[tuple[Route, str]] = []
    for route in routes:
        failed = first_failing(route, watched)
        if failed is None and route.when is not None:
            watched.note("http.method", "http.target", "http.body")  # what it looked at is its own affair
            if not (yield route):
                failed_text = f"its function {called(route.when)} said no"
                passed.append((route, failed_text))
                continue
        if failed is None:
            return Decision(route, watched.reads, tuple(passed))
        passed.append((route, str(failed)))
    return Decision(None, watched.reads, tuple(passed))


def decide(routes: Sequence[Route], request: Request) -> Decision:
    """The decision on *request*, functions asked here and now. Raises what they raise; TypeError for no verdict."""
    steps = walk(routes, Watched(request))
    try:
        route = next(steps)
        while True:
            assert route.when is not None
            route = steps.send(verdict(route.when(request)))
    except StopIteration as end:
        decision: Decision = end.value
        return decision
