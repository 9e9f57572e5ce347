"""What the proxy decides, passes on and puts on record, asked of a real one over real connections."""

import json
import time
from typing import Any

import pytest

from labkit.balancer.policy import Route

from .conftest import NAMES, Stand

pytestmark = pytest.mark.measured


VIA = ["Via", "HTTP/1.1 labkit-balancer"]  # what every request gets (RFC 9110 §7.6.3)


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: lb", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_event_has_everything_the_recording_promises(stand: Stand) -> None:
    stand.route()
    before = time.time_ns()

    def act() -> None:
        with stand.client() as client:
            client.send(get("/api/users?id=1", "X-Odd-CASE: 1", "cookie: a=b", "X-Twice: 1", "X-Twice: 2"))
            _, _, body = client.reply()
            seen.update(json.loads(body), local=client.local)

    seen: dict[str, Any] = {}
    (event,) = stand.during(act)
    headers = [["Host", "lb"], ["X-Odd-CASE", "1"], ["cookie", "a=b"], ["X-Twice", "1"], ["X-Twice", "2"]]
    expected = {
        "kind": "request",
        "method": "GET",
        "target": "/api/users?id=1",
        "host": "lb",
        "version": "HTTP/1.1",
        "status": 200,
        "rule": "/api/*",
        "backend": "api1",
        "read": ["http.target"],
        "websocket": False,
        "error": None,
        "headers_received": headers,
        "headers_forwarded": [*headers, VIA],
    }
    assert {name: event[name] for name in expected} == expected
    assert seen["headers"] == [*headers, VIA]
    assert seen["target"] == "/api/users?id=1"
    assert event["front"]["client"] == seen["local"]
    assert event["front"]["server"] == ["127.0.0.1", stand.port]
    assert event["back"]["client"] == seen["peer"]
    assert event["back"]["server"] == [NAMES["api1"], stand.port]
    assert event["front"]["id"] != event["back"]["id"]
    assert before <= event["started_ns"] <= event["decided_ns"] <= event["ended_ns"] <= time.time_ns()
    assert event["time_ns"] == event["ended_ns"]
    assert event["held"] == [
        *("ip.src", "ip.dst", "tcp.sport", "tcp.dport", "http.method", "http.target"),
        *("http.host", "http.header.x-odd-case", "http.cookie", "http.header.x-twice"),
    ]


def test_each_request_of_a_kept_connection_is_decided_on_its_own(stand: Stand) -> None:
    stand.route()

    def act() -> None:
        with stand.client() as client:
            for path in ("/api/1", "/images/1", "/nowhere", "/api/2", "/images/2", "/api/3"):
                client.send(get(path))
                status, _, body = client.reply()
                answers.append(json.loads(body)["backend"] if status == 200 else status)

    answers: list[Any] = []
    events = stand.during(act)
    assert answers == ["api1", "images1", 404, "api2", "images2", "api1"]
    assert [event["backend"] for event in events] == ["api1", "images1", None, "api2", "images2", "api1"]
    assert len({event["front"]["id"] for event in events}) == 1
    assert events[0]["back"] == events[5]["back"], "the connection to a backend is used again"


def test_no_route_is_answered_without_any_backend_connection(stand: Stand) -> None:
    stand.route()
    accepted = {name: backend.accepted for name, backend in stand.backends.items()}
    replies: list[tuple[int, dict[str, str], bytes]] = []
    (event,) = stand.during(lambda: replies.append(stand.ask(get("/none"))))
    status, headers, body = replies[0]
    assert (status, headers["server"]) == (404, "labkit-balancer")
    assert b"/none" in body
    assert b"/api/*, /images/*" in body
    assert {name: backend.accepted for name, backend in stand.backends.items()} == accepted
    assert (event["status"], event["rule"], event["backend"], event["back"]) == (404, None, None, None)
    assert event["headers_forwarded"] is None
    assert event["read"] == ["http.target"]


def test_a_lone_star_decides_without_reading(stand: Stand) -> None:
    stand.route(Route("*", "images"))
    (event,) = stand.during(lambda: stand.ask(get("/api/x")))
    assert (event["rule"], event["backend"], event["read"]) == ("*", "images1", [])


def test_a_new_policy_holds_for_the_next_request_and_begins_its_turns_anew(stand: Stand) -> None:
    stand.route()
    with stand.client() as client:
        client.send(get("/api/1"))
        assert json.loads(client.reply()[2])["backend"] == "api1"
        policy = stand.route(Route("/api/*", "images"))
        client.send(get("/api/1"))
        assert json.loads(client.reply()[2])["backend"] == "images1"
    assert stand.engine.routes() == (policy, [("127.0.0.1", stand.port), ("::1", stand.port)])


def test_ipv6_clients_are_served_and_told_apart(stand: Stand) -> None:
    stand.route()

    def act() -> None:
        with stand.client("::1") as client:
            client.send(get("/api/6"))
            assert client.reply()[0] == 200

    (event,) = stand.during(act)
    assert event["front"]["server"] == ["::1", stand.port]
    assert event["held"][:2] == ["ip6.src", "ip6.dst"]


def test_an_absolute_form_target_goes_on_in_origin_form_with_its_authority_as_host(stand: Stand) -> None:
    stand.route()
    raw = b"GET http://shop.example/api/x?y HTTP/1.1\r\nHost: SHOP.example:80\r\n\r\n"
    bodies: list[bytes] = []
    (event,) = stand.during(lambda: bodies.append(stand.ask(raw)[2]))
    seen = json.loads(bodies[0])
    assert (seen["target"], seen["headers"]) == ("/api/x?y", [["Host", "shop.example"], VIA])
    assert (event["target"], event["host"]) == ("http://shop.example/api/x?y", "shop.example")
    assert event["headers_received"] == [["Host", "SHOP.example:80"]]
    assert event["headers_forwarded"] == [["Host", "shop.example"], VIA]


def test_a_small_body_is_held_when_the_decision_falls_and_a_large_one_is_not(stand: Stand) -> None:
    stand.route()
    small, large = b"a" * 100, b"b" * 300_000
    for body, held in ((small, True), (large, False)):
        raw = b"POST /api/x HTTP/1.1\r\nHost: lb\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        bodies: list[bytes] = []
        (event,) = stand.during(lambda raw=raw, bodies=bodies: bodies.append(stand.ask(raw)[2]))  # type: ignore[misc]
        assert json.loads(bodies[0])["length"] == len(body)
        assert ("http.body" in event["held"]) is held


def test_dot_segments_are_resolved_for_the_choice_and_left_in_the_request(stand: Stand) -> None:
    stand.route()
    seen = json.loads(stand.ask(get("/api/%2e%2e/images/cat"))[2])
    assert (seen["backend"], seen["target"]) == ("images1", "/api/%2e%2e/images/cat")


def test_an_offer_of_clear_http2_is_not_passed_on(stand: Stand) -> None:
    stand.route()
    raw = get("/api/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
    assert json.loads(stand.ask(raw)[2])["headers"] == [["Host", "lb"], VIA]
