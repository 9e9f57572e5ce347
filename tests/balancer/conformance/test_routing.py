"""Which pool a request goes to: by everything that a route can ask of it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from labkit import Lab, Route

pytestmark = pytest.mark.needs("netns")

API, IMAGES = {"api1", "api2"}, {"images1", "images2"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}

# What the first route asks for (it leads to api; all else to images), what is asked, and whether the route matches.
CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"path": "/api/*"}, {"path": "/api/users"}, True),
    ({"path": "/api/*"}, {"path": "/api/"}, True),
    ({"path": "/api/*"}, {"path": "/api"}, False),
    ({"path": "/api/*"}, {"path": "/API/users"}, False),
    ({"path": "/api/*"}, {"path": "/x?/api/users"}, False),
    ({"path": "/api/*"}, {"path": "/images/../api/users"}, True),
    ({"path": "/api/*"}, {"path": "/api/%2e%2e/images/cat"}, False),
    ({"path": "/api/*"}, {"path": "/api%2Fusers"}, False),
    ({"path": "/api/*"}, {"path": "/%61pi/users"}, True),
    ({"path": "/exact"}, {"path": "/exact?x=1"}, True),
    ({"path": "/exact"}, {"path": "/exact/"}, False),
    ({"path": "*.png"}, {"path": "/cat.png"}, True),
    ({"path": "*.png"}, {"path": "/cat.png/x"}, False),
    ({"path": "/a.c"}, {"path": "/abc"}, False),
    ({"path": "/*/users/*"}, {"path": "/v1/users/7"}, True),
    ({"path": re.compile(r"/v\d+/users")}, {"path": "/v12/users?x"}, True),
    ({"path": re.compile(r"/v\d+/users")}, {"path": "/v12/users/7"}, False),
    ({"path": re.compile(r"/V\d", re.IGNORECASE)}, {"path": "/v1"}, True),
    ({"method": "POST"}, {"method": "POST"}, True),
    ({"method": ["PUT", "PATCH"]}, {"method": "PATCH"}, True),
    ({"method": ["PUT", "PATCH"]}, {"method": "GET"}, False),
    ({"host": "shop.test"}, {"headers": {"host": "shop.test"}}, True),
    ({"host": "shop.test"}, {"headers": {"host": "SHOP.test:8080"}}, True),
    ({"host": "shop.test"}, {"headers": {"host": "shop.test.evil"}}, False),
    ({"host": "*.shop.test"}, {"headers": {"host": "a.b.shop.test"}}, True),
    ({"host": "*.shop.test"}, {"headers": {"host": "shop.test"}}, False),
    ({"host": re.compile(r"(a|b)\.test")}, {"headers": {"host": "b.test"}}, True),
    ({"headers": {"x-beta": "1"}}, {"headers": {"X-Beta": "1"}}, True),
    ({"headers": {"x-beta": "1"}}, {"headers": {"x-beta": "10"}}, False),
    ({"headers": {"x-beta": "1"}}, {}, False),
    ({"headers": {"x-beta": True}}, {"headers": {"x-beta": ""}}, True),
    ({"headers": {"x-beta": False}}, {}, True),
    ({"headers": {"x-beta": False}}, {"headers": {"x-beta": "0"}}, False),
    ({"headers": {"x-beta": re.compile("a+")}}, {"headers": {"x-beta": "aaa"}}, True),
    ({"headers": {"x-beta": re.compile("a+")}}, {"headers": {"x-beta": "aab"}}, False),
    ({"headers": {"x-a": "1", "x-b": "2"}}, {"headers": {"x-a": "1"}}, False),
    ({"query": {"v": "2"}}, {"path": "/?a=1&v=2"}, True),
    ({"query": {"v": "2"}}, {"path": "/?v=3&v=2"}, False),
    ({"query": {"v": "2"}}, {"path": "/?vv=2"}, False),
    ({"query": {"q": "a b"}}, {"path": "/?q=a%20b"}, True),
    ({"query": {"q": "a b"}}, {"path": "/?q=a+b"}, True),
    ({"query": {"v": True}}, {"path": "/?v"}, True),
    ({"query": {"v": False}}, {"path": "/?w=1"}, True),
    ({"query": {"v": re.compile(r"\d")}}, {"path": "/?v=7"}, True),
    ({"cookies": {"beta": "1"}}, {"cookies": {"a": "b", "beta": "1"}}, True),
    ({"cookies": {"beta": "1"}}, {"cookies": {"xbeta": "1"}}, False),
    ({"cookies": {"beta": "1"}}, {"cookies": {"beta": "11"}}, False),
    ({"cookies": {"beta": True}}, {"cookies": {"beta": "x"}}, True),
    ({"cookies": {"beta": False}}, {"cookies": {"alpha": "x"}}, True),
    ({"cookies": {"beta": re.compile("[xy]")}}, {"cookies": {"beta": "y"}}, True),
    ({"json": {"role": "admin"}}, {"method": "POST", "body": b'{"role": "admin"}', "headers": JSON}, True),
    ({"json": {"user.role": "admin"}}, {"method": "POST", "body": b'{"user":{"role":"admin"}}', "headers": JSON}, True),
    ({"json": {"role": "admin"}}, {"method": "POST", "body": b'{"role": "user"}', "headers": JSON}, False),
    ({"json": {"n": 7}}, {"method": "POST", "body": b'{"n": 7}', "headers": JSON}, True),
    ({"json": {"n": 7}}, {"method": "POST", "body": b'{"n": "7"}', "headers": JSON}, False),
    ({"json": {"n": True}}, {"method": "POST", "body": b'{"n": null}', "headers": JSON}, True),
    ({"json": {"n": False}}, {"method": "POST", "body": b'{"m": 1}', "headers": JSON}, True),
    ({"json": {"role": "admin"}}, {"method": "POST", "body": b'{"role": "admin"', "headers": JSON}, False),
    ({"json": {"role": "admin"}}, {"method": "POST", "body": b'{"role": "admin"}'}, False),
    ({"json": {"role": "admin"}}, {}, False),
    ({"form": {"action": "buy now"}}, {"method": "POST", "body": b"x=1&action=buy+now", "headers": FORM}, True),
    ({"form": {"action": "buy"}}, {"method": "POST", "body": b"xaction=buy", "headers": FORM}, False),
    ({"body": "needle"}, {"method": "POST", "body": b"hay needle hay"}, True),
    ({"body": "needle"}, {"method": "POST", "body": b"hay" * 30000 + b"needle"}, False),
    ({"body": "needle"}, {"method": "POST", "body": b"hay"}, False),
    ({"websocket": True}, {}, False),
    ({"websocket": False}, {}, True),
    ({"path": "/api/*", "method": "GET", "headers": {"x": "1"}}, {"path": "/api/", "headers": {"x": "1"}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("asks", "request_", "matches"), CASES, ids=[f"{a} {r}"[:110] for a, r, _ in CASES])
def test_a_route_matches_what_it_asks_for(
    lab: Lab, l7: Callable[..., None], asks: dict[str, Any], request_: dict[str, Any], matches: bool
) -> None:
    asked = {"path": "*", **asks}
    l7(routes=[Route(pool="api", **asked), Route("*", pool="images")])
    sent = {"method": "GET", "path": "/", **request_}
    reply = lab.alice.request(sent.pop("method"), f"http://lb{sent.pop('path')}", **sent)
    assert reply.status == 200
    assert reply.backend in (API if matches else IMAGES)


def test_the_first_match_wins_and_no_match_is_a_404(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/a*", pool="api"), Route("/ab*", pool="images")])
    assert lab.alice.get("http://lb/abc").backend in API
    refused = lab.alice.get("http://lb/x")
    assert (refused.status, refused.backend) == (404, None)


def test_upgrades_are_routed_apart_from_requests(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/ws/*", pool="images", websocket=True), Route("/ws/*", pool="api")])
    assert lab.alice.get("http://lb/ws/chat").backend in API
    with lab.alice.websocket("ws://lb/ws/chat") as ws:
        ws.send("hi")
        assert ws.recv() == "hi"
    chosen = lab.balancer.decisions().iloc[-1]
    assert chosen["backend"] in IMAGES
    assert chosen["rule"] == "/ws/* websocket"


def test_the_record_says_which_rule_and_what_was_read(lab: Lab, l7: Callable[..., None], engine: str) -> None:
    l7(
        routes=[
            Route("/api/*", pool="api", headers={"x-beta": "1"}, name="beta"),
            Route("/api/*", pool="api", method="POST"),
            Route("*", pool="images"),
        ]
    )
    lab.alice.get("http://lb/api/x", headers={"x-beta": "1"})
    lab.alice.post("http://lb/api/x", body=b"x")
    lab.alice.get("http://lb/other")
    rows = lab.balancer.decisions().tail(3)
    assert list(rows["rule"]) == ["beta", "POST /api/*", "*"]
    headers = {"http.target", "http.header.x-beta", "http.method"}
    least = [headers - {"http.method"}, headers, {"http.target"}]
    most = (
        least if engine == "mitmproxy" else [headers - {"http.method"}, headers, headers]
    )  # it does not look in order
    assert [set(read) for read in rows["read"]] == most


def test_explain_tells_the_same_without_sending(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/api/*", pool="api", cookies={"beta": "1"}), Route("/api/*", pool="images")])
    before = len(lab.balancer.decisions())
    told = lab.balancer.explain("GET /api/x", cookies={"beta": "0"})
    assert (told.rule, told.pool) == ("/api/*", "images")
    assert told.passed == (("/api/* cookie beta=1", "asks that cookie beta is '1', and it is '0'"),)
    assert lab.balancer.explain("GET /x").rule is None
    assert len(lab.balancer.decisions()) == before
