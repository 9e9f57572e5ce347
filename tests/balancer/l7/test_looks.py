"""Which fields are behind a decision, told from the policy."""

from dataclasses import replace
from typing import Any

import pytest

from labkit import ApiKey, Cors, Jwt, RateLimit, Route
from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.looks import looked_at
from labkit.balancer.l7.sticky import Sticky
from labkit.balancer.policy import L7Policy

KEYS = ApiKey({"alice": "k"}, header="X-Key", user="x-user")
PLAIN: dict[str, Any] = {"pool": "api"}


@pytest.mark.parametrize(
    ("asks", "fields"),
    [
        ({}, ()),
        ({"auth": KEYS}, ("http.header.x-key",)),
        ({"auth": Jwt("x" * 32)}, ("http.header.authorization",)),
        ({"limit": RateLimit(1)}, ("ip6.src",)),
        ({"limit": RateLimit(1, by="route")}, ()),
        ({"limit": RateLimit(1, by="header:X-User")}, ("http.header.x-user",)),
        ({"limit": RateLimit(1, by="header:X-User"), "auth": KEYS}, ("http.header.x-key",)),
        ({"cors": Cors("*")}, ("http.method", "http.header.origin")),
        ({"json": {"a": 1}}, ("http.header.content-type", "http.body")),
    ],
)
def test_what_a_route_looks_at(asks: dict[str, Any], fields: tuple[str, ...]) -> None:
    policy = L7Policy((), (Route("*", **PLAIN, **asks),), {"api": ()})
    assert looked_at(policy, 0, secure=False, six=True) == fields


def test_the_choice_looks_too_where_a_route_matched() -> None:
    policy = L7Policy((), (Route("*", "api"),), {"api": ()}, sticky=Sticky())
    hashed = replace(policy, sticky=None, balance={"api": Balance("consistent_hash", "header:x-a")})
    found = [looked_at(one, number, secure=True, six=False) for one in (policy, hashed) for number in (0, None)]
    assert found == [("http.cookie",), (), ("http.header.x-a",), ()]
