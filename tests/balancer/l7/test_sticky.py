"""Cookies that keep a session with its backend, on their way there and back."""

import pytest

from labkit.balancer.l7.sticky import Sticky, answered, asked, forwarded, place

OWN, BACKENDS = Sticky(), Sticky("s$d.x", application=True)


@pytest.mark.parametrize(
    ("sticky", "cookie", "found"),
    [
        (OWN, place("10.0.2.11", 80), place("10.0.2.11", 80)),
        (OWN, f'"{place("fd00::11", 80)}"', place("fd00::11", 80)),
        (OWN, None, None),
        (BACKENDS, "api1~4711~x", "api1"),
        (BACKENDS, '"api1~4711"', "api1"),
        (BACKENDS, "4711", None),
        (BACKENDS, "~4711", ""),
        (BACKENDS, "", None),
    ],
)
def test_the_cookie_names_a_backend(sticky: Sticky, cookie: str | None, found: str | None) -> None:
    assert asked(sticky, cookie) == found


@pytest.mark.parametrize(
    ("sticky", "lines", "seen"),
    [
        (OWN, ["labkit-backend=x; a=b"], ["a=b"]),
        (OWN, ["labkit-backend=x", "a=b"], ["a=b"]),
        (OWN, ["a=labkit-backend; xlabkit-backend=1"], ["a=labkit-backend; xlabkit-backend=1"]),
        (BACKENDS, ["s$d.x=api1~1=2; a=b"], ["s$d.x=1=2; a=b"]),
        (BACKENDS, ['s$d.x="api1~q"'], ['s$d.x="q"']),
        (BACKENDS, ["s$d.x=raw; sXdYx=api1~1"], ["s$d.x=raw; sXdYx=api1~1"]),
    ],
)
def test_backends_see_what_they_have_set(sticky: Sticky, lines: list[str], seen: list[str]) -> None:
    assert [value for _, value in forwarded(sticky, [("Cookie", line) for line in lines])] == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("s$d.x=1; Path=/", "s$d.x=api1~1; Path=/"),
        ('s$d.x="1=2"', 's$d.x="api1~1=2"'),
        ("s$d.x=; Max-Age=0", "s$d.x=; Max-Age=0"),
        ("s$d.x", "s$d.x"),
        ("sXdYx=1", "sXdYx=1"),
        ("a=s$d.x=1", "a=s$d.x=1"),
    ],
)
def test_clients_see_whose_cookie_it_is(value: str, seen: str) -> None:
    assert answered(BACKENDS, [("Set-Cookie", value)], "api1") == [("Set-Cookie", seen)]
