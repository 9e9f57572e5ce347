"""Lines of Envoy's log as relay events: one event a connection, completed when it is over."""

import json
from typing import Any

from labkit.balancer.envoy.relayed import Open, event_of, is_one, of_this_moment
from labkit.recording.events import is_sound

BEGUN = {
    "kind": "TcpUpstreamConnected",
    "began": "1795879354281557000",
    "chosen": 40_000,
    "connected": 90_000,
    "front": 3,
    "client": "[fd00::11]:40000",
    "server": "[fd00::10]:16443",
    "sni": "shop.test",
    "backend": "api1",
    "back": 4,
    "back_client": "10.0.2.10:50000",
    "back_server": "10.0.2.11:443",
    "rule": "https sni shop.test",
    "read": "ip6.dst tcp.dport tls.sni",
    "flags": "-",
}
OVER = {**BEGUN, "kind": "TcpConnectionEnd", "lasted": 2, "sent": 70, "answered": 400}
PORTS = {16443: 443}


def line(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def test_both_connections_the_rule_and_the_name_are_told() -> None:
    assert is_one(line(BEGUN))
    event = event_of(line(BEGUN), 2, PORTS)
    assert event
    assert is_sound(event)
    assert event["front"] == {"id": "envoy2-3", "client": ["fd00::11", 40000], "server": ["fd00::10", 443]}
    assert event["back"] == {"id": "envoy2-4", "client": ["10.0.2.10", 50000], "server": ["10.0.2.11", 443]}
    assert [event[name] for name in ("rule", "backend", "sni")] == ["https sni shop.test", "api1", "shop.test"]
    assert event["read"] == ["ip6.dst", "tcp.dport", "tls.sni"]
    assert {"tls.sni", "ip6.src"} <= set(event["held"])
    assert event["decided_ns"] - event["started_ns"] == 40_000
    assert [event[name] for name in ("ended_ns", "bytes_out", "bytes_in", "error")] == [None] * 4


def test_the_end_completes_what_was_begun_and_not_what_was_handed_out() -> None:
    relays = Open()
    event = relays.take(line(BEGUN), 1, PORTS)
    assert event
    earlier = of_this_moment(event)
    assert relays.take(line(OVER), 1, PORTS) is None
    assert (event["bytes_out"], event["bytes_in"], event["ended_ns"] - event["started_ns"]) == (70, 400, 2_000_000)
    assert (earlier["bytes_out"], earlier["ended_ns"]) == (None, None)
    assert of_this_moment(event) is event


def test_a_backend_that_cannot_be_reached_is_an_error_without_a_back_connection() -> None:
    told = {name: value for name, value in OVER.items() if not name.startswith("back_")}
    event = Open().take(line({**told, "flags": "UF", "failure": "Connection_refused"}), 1, PORTS)
    assert event
    assert is_sound(event)
    assert (event["back"], event["error"]) == (None, "the backend could not be reached (Connection refused)")


def test_lines_of_requests_and_broken_ones_are_no_relays() -> None:
    assert not is_one(b'{"kind":"DownstreamEnd"}')
    assert event_of(b'{"kind":"Tcp', 1, PORTS) is None
