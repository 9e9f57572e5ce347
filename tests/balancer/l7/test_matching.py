"""Paths, patterns and decisions, as tables."""

import pytest

from labkit.balancer.l7.matching import decide
from labkit.balancer.l7.request import Request
from labkit.balancer.l7.route import Route

DEFAULT = (Route("/api/*", "api"), Route("/images/*", "images"), Route("*", "all"))


@pytest.mark.parametrize(
    ("target", "rule", "pool", "reads"),
    [
        ("/api/users", "/api/*", "api", ("http.target",)),
        ("/images/cat", "/images/*", "images", ("http.target",)),
        ("/api/../images/cat", "/images/*", "images", ("http.target",)),
        ("/api%2fusers", "*", "all", ("http.target",)),
        ("/", "*", "all", ("http.target",)),
        ("*", "*", "all", ("http.target",)),
        ("http://lb/api/x", "/api/*", "api", ("http.target",)),
    ],
)
def test_the_first_match_decides(target: str, rule: str, pool: str, reads: tuple[str, ...]) -> None:
    decision = decide(DEFAULT, Request("GET", target))
    assert (decision.rule, decision.pool, decision.reads) == (rule, pool, reads)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((Route("/a*", "one"), Route("/ab*", "two")), ("/a*", "one", ("http.target",))),
        ((Route("/ab*", "two"), Route("/a*", "one")), ("/ab*", "two", ("http.target",))),
        ((Route("/x", "one"),), (None, None, ("http.target",))),
        ((Route("*", "one"), Route("/ab*", "two")), ("*", "one", ())),
        ((Route("/%61bc", "one"),), ("/%61bc", "one", ("http.target",))),
        ((), (None, None, ())),
    ],
    ids=["order", "other order", "no match", "a lone star reads nothing", "escaped pattern", "no routes"],
)
def test_order_misses_and_reads(routes: tuple[Route, ...], expected: tuple[object, ...]) -> None:
    decision = decide(routes, Request("GET", "/abc"))
    assert (decision.rule, decision.pool, decision.reads) == expected
