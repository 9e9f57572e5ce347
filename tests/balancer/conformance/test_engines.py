"""What every L7 engine that claims a feature must do alike, asked of real ones over real connections."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from labkit.balancer.l7.matching import decide
from labkit.balancer.l7.request import Request
from labkit.balancer.policy import L7Policy, Route, Target
from tests.balancer.envoy.conftest import envoy_stand
from tests.balancer.mitmproxy.conftest import NAMES, NOBODY, Stand, mitmproxy_stand
from tests.balancer.mitmproxy.test_router import get

pytestmark = pytest.mark.measured

STANDS = {"mitmproxy": mitmproxy_stand, "envoy": envoy_stand}
POOLS = {name: (Target(name, address),) for name, address in NAMES.items()}
PATTERNS = (
    ("/api/*", "/images/*", "*"),
    ("/ap%69", "/API/*", "/a*b*c", "*.png", "/*/users/*"),
    ("/a.c", "/[a]*", "/(a|b)+*", "/x$^*", "/a**b", "/api%2Fusers", "/ab*ba"),
    ("/", "/api/", "/caf%C3%A9/*", "/~*"),
)
TARGETS = (
    "/", "/?x", "/api", "/api/", "/api/users", "/api/users?x=/images/1", "/API/users", "/apix/a", "/api/a/b/c",
    "//double//slash", "/a/b/c/./../../g", "/api/../images/cat", "/api/.", "/api/..", "/../../api/x", "/a//../b",
    "/api/...", "/api/.hidden", "/api/%2e%2E/images/cat", "/%61pi/%7Euser", "/%7Euser", "/api%2fusers", "/api%2Fusers",
    "/api/..%2fimages", "/a%zz%", "/caf%c3%a9/x", "/abc", "/acb", "/a1b2c", "/ab", "/aba", "/abba", "/x.png",
    "/images/cat.png", "/images/cat.png/x", "/images/cat.png?a.gif", "/v1/users/7", "/a.c", "/axc", "/[a]x", "/ax",
    "/(a|b)+x", "/b", "/x$^1", "/x?y=/api/", "/api?/users", "/a%2Eb/..%2e/x", "/api\\users", "/a%25b%3fc",
)  # fmt: skip


@pytest.fixture(scope="module", params=STANDS)
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with STANDS[request.param]() as stand:
        yield stand


@pytest.mark.parametrize("patterns", PATTERNS, ids=" ".join)
def test_the_route_is_the_one_that_the_rules_of_matching_say_and_the_target_goes_on_as_it_came(
    stand: Stand, patterns: tuple[str, ...]
) -> None:
    pools = list(POOLS)
    routes = tuple(Route(pattern, pools[place % len(pools)]) for place, pattern in enumerate(patterns))
    policy = L7Policy((stand.listener,), routes, POOLS)
    stand.engine.apply(policy)
    wanted, found = {}, {}

    def ask() -> None:
        with stand.client() as client:
            for target in TARGETS:
                client.send(get(target))
                status, _, body = client.reply()
                answer = json.loads(body) if status == 200 else {}
                decision = decide(policy.routes, Request("GET", target))
                found[target] = (answer.get("backend"), answer.get("target"))
                told = re.sub("^//", "/", target)  # this backend's own way of telling it
                wanted[target] = (decision.pool, told if decision.pool else None)

    events = stand.during(ask)
    assert found == wanted
    told = {event["target"]: (event["rule"], event["backend"], tuple(event["read"])) for event in events}
    decisions = {target: decide(policy.routes, Request("GET", target)) for target in TARGETS}
    assert told == {target: (one.rule, one.pool, one.reads) for target, one in decisions.items()}


def test_a_pools_backends_take_turns(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        answers = []
        for number in range(20):
            client.send(get(f"/api/{number}"))
            answers.append(json.loads(client.reply()[2])["backend"])
    assert answers in (["api1", "api2"] * 10, ["api2", "api1"] * 10)


def test_no_route_and_nobody_there_are_answered_by_the_balancer_alone(stand: Stand) -> None:
    policy = stand.route(Route("/api/*", "api"), Route("/images/*", "images"))
    stand.engine.apply(replace(policy, pools={**policy.pools, "images": ()}))
    accepted = {name: backend.accepted for name, backend in stand.backends.items()}
    replies: list[tuple[int, dict[str, str], bytes]] = []

    def ask() -> None:
        replies.extend(stand.ask(get(path)) for path in ("/none?100%", "/images/x"))

    events = stand.during(ask)
    assert [(status, headers["server"]) for status, headers, _ in replies] == [
        (404, "labkit-balancer"),
        (503, "labkit-balancer"),
    ]
    assert replies[0][2] == b"404 Not Found: no route of the balancer matches /none?100% (routes: /api/*, /images/*)\n"
    assert replies[1][2] == b"503 Service Unavailable: no backend of the pool images takes requests\n"
    assert {name: backend.accepted for name, backend in stand.backends.items()} == accepted
    told = [(event["status"], event["rule"], event["backend"], event["back"], event["error"]) for event in events]
    assert told == [(404, None, None, None, None), (503, "/images/*", None, None, None)]


def test_a_backend_that_is_not_there_is_named_and_asked_again_next_time(stand: Stand) -> None:
    stand.route(Route("*", "gone"), gone=NOBODY)
    replies: list[tuple[int, dict[str, str], bytes]] = []
    (event,) = stand.during(lambda: replies.append(stand.ask(get("/x"))))
    status, headers, body = replies[0]
    assert (status, headers["server"]) == (502, "labkit-balancer")
    assert b"the balancer cannot reach gone (127.0.0.99" in body
    assert (event["status"], event["rule"], event["backend"]) == (502, "*", "gone")
    assert event["error"]
    stand.route()
    assert stand.ask(get("/api/x"))[0] == 200


def test_an_event_says_what_the_recording_promises(stand: Stand) -> None:
    stand.route()
    seen: dict[str, Any] = {}

    def ask() -> None:
        with stand.client() as client:
            client.send(get("/api/users?id=1", "cookie: a=b", "User-Agent: odd"))
            seen.update(json.loads(client.reply()[2]), local=client.local)

    (event,) = stand.during(ask)
    expected = {
        "kind": "request",
        "method": "GET",
        "target": "/api/users?id=1",
        "host": "lb",
        "version": "HTTP/1.1",
        "status": 200,
        "rule": "/api/*",
        "backend": seen["backend"],
        "read": ["http.target"],
        "websocket": False,
        "error": None,
        "sni": None,
    }
    assert {name: event[name] for name in expected} == expected
    assert event["front"]["client"] == seen["local"]
    assert event["front"]["server"] == ["127.0.0.1", stand.port]
    assert event["back"]["client"] == seen["peer"]
    assert event["back"]["server"] == [NAMES[seen["backend"]], stand.port]
    assert event["front"]["id"] != event["back"]["id"]
    assert event["started_ns"] <= event["decided_ns"] <= event["ended_ns"] == event["time_ns"]
    received = {name.lower(): value for name, value in event["headers_received"]}
    assert received == {"host": "lb", "cookie": "a=b", "user-agent": "odd"}
    assert {"ip.src", "tcp.dport", "http.method", "http.target", "http.host", "http.cookie"} <= set(event["held"])


def test_whoever_has_an_answer_is_in_the_record(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        for number in range(40):
            client.send(get(f"/api/{number}"))
            client.reply()
            assert stand.engine.events()[-1]["target"] == f"/api/{number}"


def test_ipv6_clients_are_served_and_told_apart(stand: Stand) -> None:
    stand.route()

    def ask() -> None:
        with stand.client("::1") as client:
            client.send(get("/api/6"))
            assert client.reply()[0] == 200

    (event,) = stand.during(ask)
    assert event["front"]["server"] == ["::1", stand.port]
    assert event["held"][:2] == ["ip6.src", "ip6.dst"]


@pytest.mark.parametrize(
    "fields",
    [
        "Host: lb\r\nContent-Length: x",
        "Host: lb\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
    ],
    ids=["length", "two framings"],
)
def test_a_request_that_breaks_the_rules_is_refused_and_told(stand: Stand, fields: str) -> None:
    stand.route()
    replies: list[int] = []
    raw = f"GET /api/x HTTP/1.1\r\n{fields}\r\n\r\n".encode("latin-1")
    (event,) = stand.during(lambda: replies.append(stand.ask(raw)[0]))
    assert replies == [400]
    assert (event["status"], event["backend"], event["rule"]) == (400, None, None)
    assert event["error"]


def test_a_policy_is_in_force_for_the_next_request_on_a_kept_connection(stand: Stand) -> None:
    with stand.client() as client:
        for _ in range(10):
            for pool in ("api", "images"):
                policy = stand.route(Route("/api/*", pool))
                client.send(get("/api/1"))
                assert json.loads(client.reply()[2])["backend"].startswith(pool)
    served, listening = stand.engine.routes()
    assert (served.routes, served.pools) == (policy.routes, policy.pools)
    assert [address for address, _ in listening] == ["127.0.0.1", "::1"]


def test_a_body_goes_on_and_comes_back_whole(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        for size in (0, 100, 300_000):
            head = f"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: {size}\r\n\r\n".encode()
            client.send(head + b"a" * size)
            assert json.loads(client.reply()[2])["length"] == size
        client.send(get("/api/bytes/500000"))
        assert len(client.reply()[2]) == 500_000
        client.send(get("/api/chunked"))
        assert client.reply()[2] == b"onetwo"


def test_backends_answer_in_fair_shares_whatever_the_connection(stand: Stand) -> None:
    stand.route()
    answered = Counter(json.loads(stand.ask(get("/api/x"))[2])["backend"] for _ in range(40))
    assert min(answered["api1"], answered["api2"]) >= 18


def test_answers_on_a_kept_connection_do_not_wait_for_the_clients_acknowledgement(stand: Stand) -> None:
    """Head and body are written one after the other; with Nagle's algorithm the body would wait 40 ms for an ACK."""
    stand.route()
    seconds = []
    with stand.client() as client:
        for number in range(9):
            began = time.perf_counter()
            client.send(get(f"/api/{number}"))
            client.reply()
            seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[4] < 0.035
