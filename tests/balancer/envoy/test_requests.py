"""Lines of Envoy's log as request events: what they say is taken over, what they do not say is not made up."""

import json
from typing import Any

import pytest

from labkit.balancer.envoy.requests import event_of
from labkit.balancer.policy import L7Policy, Route
from labkit.recording.events import is_sound

POLICIES = {7: L7Policy((), (Route("*", "all"),)), 8: L7Policy((), (Route("/a/*", "a"), Route("*", "all")))}
PORTS = {15443: 443}
LINE = {
    "kind": "DownstreamEnd",
    "began": "1795879354281557000",
    "asked": 40_000,
    "answering": 3_000_000,
    "answered": 4_000_000,
    "front": 3,
    "client": "[fd00::11]:40000",
    "server": "[fd00::10]:15443",
    "tls": "TLSv1.3",
    "sni": "lb",
    "method": "GET",
    "target": "/x?y",
    "host": "lb",
    "version": "HTTP/2",
    "status": 200,
    "route": "8:1",
    "body": 0,
    "backend": "api1",
    "back": 4,
    "back_client": "10.0.2.10:50000",
    "back_server": "10.0.2.11:80",
    "flags": "-",
    "details": "via_upstream",
    "headers": {"cookie": "a=b", "accept": "*/*"},
}


def event(**changes: Any) -> dict[str, Any]:
    told = {name: value for name, value in {**LINE, **changes}.items() if value is not None}
    found = event_of(json.dumps(told).encode(), 2, 9, POLICIES, PORTS)
    assert found is not None
    assert is_sound(found)
    return found


def test_what_came_over_quic_is_udps() -> None:
    found = event(version="HTTP/3")
    assert (found["version"], found["front"]["proto"], found["front"]["server"][1]) == ("HTTP/3", "UDP", 443)
    assert {"udp.sport", "udp.dport"} < set(found["held"])
    assert not [name for name in found["held"] if name.startswith("tcp.")]
    assert ["host", "lb"] not in found["headers_received"], "that is :authority's"


def test_a_line_says_both_connections_the_rule_and_what_was_read() -> None:
    found = event()
    assert found["request"] == "envoy2.9"
    assert found["front"] == {
        "id": "envoy2-3",
        "client": ["fd00::11", 40000],
        "server": ["fd00::10", 443],
        "tls": "TLSv1.3",
    }
    assert found["back"] == {"id": "envoy2-4", "client": ["10.0.2.10", 50000], "server": ["10.0.2.11", 80]}
    assert (found["rule"], found["read"]) == ("*", ["http.target"]), "the route before was looked at too"
    assert found["decided_ns"] - found["started_ns"] == 40_000
    assert found["ended_ns"] - found["started_ns"] == 4_000_000
    assert found["headers_received"] == [["cookie", "a=b"], ["accept", "*/*"]]
    assert found["held"] == [
        *("ip6.src", "ip6.dst", "tcp.sport", "tcp.dport", "tls.version", "tls.sni", "tls.alpn", "http.method"),
        *("http.target", "http.host", "http.cookie", "http.header.accept", "http.header.*"),
    ]


@pytest.mark.parametrize(
    ("route", "rule", "read", "decided"),
    [
        ("8:0", "/a/*", ["http.target"], True),
        ("7:0", "*", [], True),
        ("8:none", None, ["http.target"], True),
        ("", None, [], False),
        ("99:0", None, [], False),
    ],
)
def test_the_route_is_that_of_the_policy_that_was_in_force(
    route: str, rule: str | None, read: list[str], decided: bool
) -> None:
    found = event(route=route)
    assert (found["rule"], found["read"], found["decided_ns"] is not None) == (rule, read, decided)


def test_what_the_log_does_not_say_is_not_said() -> None:
    found = event(back_client=None, back_server=None, sni=None, headers=None, version="HTTP/1.1", tls=None, status=0)
    assert (found["back"], found["sni"], found["headers_forwarded"], found["status"]) == (None, None, None, None)
    assert found["headers_received"] == [["host", "lb"]]
    assert found["headers_partly"] is True
    refused = event(method=None, target=None, host=None, route=None, status=400, flags="DPE", details="codec_error")
    assert (refused["method"], refused["held"], refused["decided_ns"]) == ("", [], None)
    assert refused["error"] == "the request breaks the rules of HTTP (codec error)"


@pytest.mark.parametrize(
    ("flags", "said", "error"),
    [
        ("-", {}, None),
        ("NR", {}, None),
        (
            "UF",
            {"failure": "delayed_connect_error:_refused"},
            "the backend could not be reached (delayed connect error: refused)",
        ),
        ("UC", {}, "the backend's connection ended before its answer did (via upstream)"),
        ("DC", {}, "the client went away (via upstream)"),
        ("XX,UT", {}, "XX, the backend took too long (via upstream)"),
    ],
)
def test_failures_are_said_in_words_and_decisions_are_none(flags: str, said: dict[str, str], error: str | None) -> None:
    assert event(flags=flags, **said)["error"] == error


def test_a_decision_waits_for_the_head_alone_where_a_body_follows() -> None:
    assert event(body=9)["decided_ns"] == event()["started_ns"]


def test_an_upgraded_connection_is_told_of_once_when_it_begins() -> None:
    begun = event(kind="DownstreamTunnelSuccessfullyEstablished", status=101, answered=None, asked=None)
    assert begun["websocket"] is True
    assert event_of(json.dumps({**LINE, "status": 101}).encode(), 1, 0, POLICIES, PORTS) is None


@pytest.mark.parametrize("line", [b"", b"{", b"{}", b'{"kind":"TcpConnectionEnd"}'])
def test_what_is_no_request_is_passed_over(line: bytes) -> None:
    assert event_of(line, 1, 0, POLICIES, PORTS) is None
