"""Targets to paths, and patterns that cover them, as tables."""

import pytest

from labkit.balancer.l7.paths import filled, matches, path_of, without_dot_segments


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
    ("pattern", "path", "caught"),
    [
        ("/api/*", "/api/a/b", ["a/b"]),
        ("/*/users/*", "/v1/users/7", ["v1", "7"]),
        ("/a/*/*", "/a/b/c/d", ["b", "c/d"]),
        ("/api", "/api", []),
        ("*", "/x", ["/x"]),
        ("/api/*", "/images/", None),
    ],
)
def test_what_the_stars_stand_for(pattern: str, path: str, caught: list[str] | None) -> None:
    assert filled(pattern, path) == caught
