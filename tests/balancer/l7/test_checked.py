"""Values that no request or answer can have: refused in plain words, by whoever is given them, whatever their type."""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from labkit import Answer, ApiKey, Basic, ClientCertificate, Cors, Edit, Jwt, Lab, RateLimit, Redirect, Route
from labkit.balancer.l7.checked import checked_routes
from labkit.balancer.l7.forwarded import Forwarded
from labkit.balancer.l7.resilience import Circuit, Ejection, Retries, Timeouts
from labkit.balancer.l7.sticky import Sticky
from labkit.balancer.limits import Limits
from labkit.balancer.plan import plan_l7
from labkit.errors import PolicyError

TOPOLOGY = Lab().topology
SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


class Unwritable:
    """Something that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 10**5000, 1.5, float("nan"), float("inf"), 1j, "", " ", "a b", "é", "\ud800", "\n",
    "\0", "a" * 100_000, b"x", [], [1], [None], [[]], ["\ud800"], (), (1,), ("a", "b"), (("a",),), ((1, 2),),
    (([], "b"),), {}, {"a": 1}, {"a": 10**400}, {"a": 10**5000}, {"a": float("nan")}, {"a": None}, {"a": []}, {1: 2},
    {"": ""}, {"\ud800": "x"}, {"a": "\ud800"}, {"a b": "c"}, {None: None}, {"a": "\n"}, {"a": "b" * 9000}, {"a"},
    object(), Unwritable(), re.compile("x"), re.compile(b"x"), re.compile("(?=x)"), re.compile("x", re.VERBOSE),
    range(3), type,
)  # fmt: skip
MADE: dict[str, tuple[Callable[..., Any], tuple[str, ...], dict[str, Any]]] = {
    "Answer": (Answer, ("status", "text", "headers"), {}),
    "ApiKey": (ApiKey, ("keys", "header", "user"), {"keys": {"a": "b"}}),
    "Basic": (Basic, ("users", "user"), {"users": {"a": "b"}}),
    "Circuit": (Circuit, ("requests",), {}),
    "ClientCertificate": (ClientCertificate, ("names", "user"), {}),
    "Cors": (Cors, ("origins", "methods", "headers", "credentials", "max_age"), {"origins": ["http://a"]}),
    "Edit": (Edit, ("set", "add", "remove"), {}),
    "Ejection": (Ejection, ("failures", "seconds"), {}),
    "Forwarded": (Forwarded, ("style", "trust"), {}),
    "Jwt": (Jwt, ("key", "issuer", "audience", "user"), {"key": SECRET}),
    "Limits": (Limits, ("header_seconds", "idle_seconds", "head_bytes", "fields", "body_bytes"), {}),
    "RateLimit": (RateLimit, ("requests", "seconds", "burst", "by"), {"requests": 5}),
    "Redirect": (Redirect, ("to", "status"), {"to": "/x"}),
    "Retries": (Retries, ("times",), {}),
    "Sticky": (Sticky, ("cookie", "application"), {}),
    "Timeouts": (Timeouts, ("connect", "answer"), {}),
}
ARGUMENTS = (
    *("path", "pool", "name", "method", "host", "headers", "query", "cookies", "json", "form", "body", "websocket"),
    *("when", "redirect", "respond", "rewrite", "request", "response", "auth", "limit", "cors", "max_body", "timeout"),
)


def made_of(make: Callable[[], Any]) -> Any:
    """What *make* makes; None where it is refused, in words that can be shown."""
    try:
        return make()
    except PolicyError as error:
        words = str(error).encode()
    assert len(words) < 1000
    return None


@pytest.mark.parametrize("name", MADE)
def test_a_value_is_sound_or_refused(name: str) -> None:
    kind, arguments, others = MADE[name]
    for argument, odd in product(arguments, ODD):
        made = made_of(lambda given={**others, argument: odd}: kind(**given))
        if made is not None:
            assert repr(made)
            assert {made}


@pytest.mark.parametrize("engine", ["mitmproxy", "envoy"])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_route_is_sound_or_refused(argument: str, engine: str) -> None:
    whole = {"path": "/*"} if argument in ("redirect", "respond") else {"path": "/*", "pool": "api"}
    for odd in ODD:
        route = made_of(lambda given={**whole, argument: odd}: Route(**given))
        if route is not None:
            assert repr(route)
            policy = made_of(lambda route=route: plan_l7(TOPOLOGY, (), routes=[route], engine=engine))
            assert policy is None or policy.routes[0].label.encode()


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Route("*", pool="api", method=[]), "names no method"),
    (lambda: Route("*", pool="api", json={"a": 10**400}), "JSON has no such number"),
    (lambda: Route("*", pool="api", json={"\ud800": "x"}), "is not a name"),
    (lambda: Route("*", pool="api", headers=("a", "b")), "name and value"),
    (lambda: Route("*", pool="api", cookies={"a": '"1"'}), "no cookie can have this value"),
    (lambda: Route("*", pool="api", method="a" * 10_000), "told apart by case"),
    (lambda: Route("/" + "*/" * 10, redirect="/" + "*/" * 10), "more than 9"),
    (lambda: Route("/a/*", redirect="/b\\c/*"), "write %5C"),
    (lambda: Route("/a/*", redirect="/b/\\1"), "no regular expression"),
    (lambda: Route(re.compile(r"(?i)/v(\d)", re.DOTALL), redirect=r"/\2"), "no group 2"),
    (lambda: Redirect("https://lb:99999/x"), "no host"),
    (lambda: Redirect("https:///x"), "no host"),
    (lambda: Redirect("http://[::1/x"), "no host"),
    (lambda: Answer(200, "é" * 600_000), "at most 1,048,576 bytes"),
    (lambda: Answer(200, headers={"x-a": "b" * 9000}), "at most 8,192 characters"),
    (lambda: Edit(set={"x-a": "1", "X-A": "2"}), "twice"),
    (lambda: Edit(set=(([], "b"),)), "not a header field's name"),
    (lambda: ApiKey(("a", "b")), "the user's name and the secret"),
    (lambda: ApiKey((("a", "b"), ("a", "c"))), "named twice"),
    (lambda: ApiKey({"a": "b"}, user="content-length"), "the balancer sets it itself"),
    (lambda: Jwt(SECRET, user="Transfer-Encoding"), "the balancer sets it itself"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_each_refusal_says_what_is_wrong(wrong: Callable[[], Any], reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        checked_routes([wrong()])


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (Route("*", pool="api", headers={"x-a": "é"}), "Keep to ASCII"),
        (Route("*", pool="api", request=Edit(set={"x-a": "é"})), "Keep to ASCII"),
        (Route("*", respond=Answer(200, headers={"x-a": "é"})), "Keep to ASCII"),
        (Route("*", pool="api", auth=Basic({"#a": "b"})), "for a comment"),
    ],
)
def test_what_envoy_alone_cannot_do_is_refused_there(route: Route, reason: str) -> None:
    plan_l7(TOPOLOGY, (), routes=[route])
    with pytest.raises(PolicyError, match=reason):
        plan_l7(TOPOLOGY, (), routes=[route], engine="envoy")


@pytest.mark.parametrize("wrong", [{"alice": SECRET}, SECRET, [SECRET]], ids=["mapping", "text", "list"])
def test_no_secret_stands_in_a_refusal_or_a_name(wrong: Any) -> None:
    with pytest.raises(PolicyError) as refused:
        checked_routes([Route("*", pool="api", auth=wrong)])
    assert SECRET not in str(refused.value)
    for auth in (ApiKey({"alice": SECRET}), Basic({"alice": SECRET}), Jwt(SECRET)):
        route = Route("*", pool="api", auth=auth)
        assert SECRET not in f"{auth!r}{route!r}{route.label}{plan_l7(TOPOLOGY, (), routes=[route])!r}"
