"""Paths, patterns and decisions, as tables."""

import pytest

from labkit.balancer.matching import RequestHead, RoundRobin, decide, matches, path_of, without_dot_segments
from labkit.balancer.policy import L7Policy, Route, Target

DEFAULT = L7Policy((), (Route("/api/*", "api"), Route("/images/*", "images"), Route("*", "all")))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/api/users", "/api/users"),
        ("/api/users?x=/images/1", "/api/users"),
        ("/api/users#part?x", "/api/users"),
        ("/API/users", "/API/users"),
        ("//double//slash", "//double//slash"),
        # RFC 3986 §5.2.4 and its examples
        ("/a/b/c/./../../g", "/a/g"),
        ("/mid/content=5/../6", "/mid/6"),
        ("/api/../images/cat", "/images/cat"),
        ("/api/.", "/api/"),
        ("/api/..", "/"),
        ("/../../api/x", "/api/x"),
        ("/a//../b", "/a/b"),
        ("/api/...", "/api/..."),
        ("/api/.hidden", "/api/.hidden"),
        # escapes: unreserved ones are undone (§6.2.2.2), the rest is data
        ("/api/%2e%2E/images/cat", "/images/cat"),
        ("/%61pi/%7Euser", "/api/~user"),
        ("/api%2fusers", "/api%2Fusers"),
        ("/api/..%2fimages", "/api/..%2Fimages"),
        ("/a%zz%", "/a%zz%"),
        ("/caf\xc3\xa9", "/caf%C3%A9"),
        ("/\u20ac", "/%E2%82%AC"),
        # the other forms of RFC 9112 §3.2
        ("http://lb/api/x?q", "/api/x"),
        ("HTTP://lb:80/api/../x", "/x"),
        ("http://lb", "/"),
        ("http://lb?q=/api/", "/"),
        ("*", "*"),
        ("lb:443", ""),
        ("", ""),
    ],
)
def test_path_of(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/api/*", "/api/", True),
        ("/api/*", "/api/a/b/c", True),
        ("/api/*", "/api", False),
        ("/api/*", "/apix/a", False),
        ("/api/*", "/API/a", False),
        ("/api", "/api", True),
        ("/api", "/api/", False),
        ("*", "", True),
        ("*.png", "/images/cat.png", True),
        ("*.png", "/images/cat.png/x", False),
        ("/*/users/*", "/v1/users/7", True),
        ("/*/users/*", "/users/7", False),
        ("/a*b*c", "/abc", True),
        ("/a*b*c", "/acb", False),
        ("/ab*ba", "/aba", False),
        ("/a**b", "/ab", True),
        ("/a.c", "/abc", False),
        ("/[a]*", "/[a]x", True),
        ("/a*aa*a", "/aaa", False),
        ("/a*aa*a", "/aaaa", True),
    ],
)
def test_matches(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_many_stars_take_no_longer_than_the_path_is() -> None:
    assert matches("/" + "*a" * 200 + "*b", "/" + "a" * 20_000) is False


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b/../c", "//", "/./", "/a/./.."])
def test_a_path_without_dots_stays_as_it_is(path: str) -> None:
    once = without_dot_segments(path)
    assert once.startswith("/")
    assert without_dot_segments(once) == once


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
    decision = decide(DEFAULT, RequestHead("GET", target))
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
    decision = decide(L7Policy((), routes), RequestHead("GET", "/abc"))
    assert (decision.rule, decision.pool, decision.reads) == expected


def test_round_robin_takes_turns_in_each_pool_on_its_own() -> None:
    one, two, three = Target("one", "10.0.0.1"), Target("two", "10.0.0.2"), Target("three", "10.0.0.3")
    turns = RoundRobin({"pair": (one, two), "single": (three,)})
    taken = [turns.next(pool).name for pool in ("pair", "single", "pair", "single", "pair")]
    assert taken == ["one", "three", "two", "three", "one"]
    with pytest.raises(KeyError):
        turns.next("none")
