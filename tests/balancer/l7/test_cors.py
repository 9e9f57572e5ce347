"""Which other sites' scripts may read answers, and what they are told."""

import pytest

from labkit import Cors
from labkit.balancer.l7.cors import is_preflight
from labkit.errors import PolicyError

SHOP = Cors(["https://a.test", "http://b.test:8080"], methods=["GET", "PUT"], headers=["x-lab"], credentials=True)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.test", True),
        ("http://b.test:8080", True),
        ("http://b.test", False),
        ("https://A.test", False),
        ("https://a.test/", False),
        ("https://a.test.evil", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_an_origin_is_compared_to_the_letter(origin: str | None, allowed: bool) -> None:
    assert Cors(["http://[::1]:80", *SHOP.origins]).allows(origin) is allowed
    assert Cors("*").allows(origin) is (origin is not None)


def test_what_a_preflight_is_told() -> None:
    assert SHOP.preflight("https://a.test") == [
        ("access-control-allow-origin", "https://a.test"),
        ("vary", "origin"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET,PUT"),
        ("access-control-allow-headers", "x-lab"),
        ("access-control-max-age", "600"),
    ]


@pytest.mark.parametrize(
    ("method", "names", "is_one"),
    [
        ("OPTIONS", ["Origin", "Access-Control-Request-Method"], True),
        ("OPTIONS", ["origin"], False),
        ("GET", ["origin", "access-control-request-method"], False),
    ],
)
def test_what_a_preflight_is(method: str, names: list[str], is_one: bool) -> None:
    assert is_preflight(method, names) is is_one


@pytest.mark.parametrize(
    "origin",
    ["a.test", "https://", "https://a.test/", "https://a.test/x", "https://\ud800", "https://a b", "https://é"],
)
def test_what_no_browser_sends_as_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(PolicyError, match="an origin is a scheme and a host"):
        Cors([origin])
