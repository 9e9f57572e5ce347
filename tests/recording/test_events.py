"""Which events are let in from a file."""

import copy
import json
from typing import Any

import pytest

from labkit.recording.events import inert_event, is_sound
from tests.analysis.wire import l4_wire, l7_wire, relayed_wire

REAL = [dict(event) for event in (*l4_wire(1).events, *l7_wire(1).events, *relayed_wire(1, ended_ns=None).events)]
SECRETS = {"kind": "secrets", "time_ns": 1, "leg": "front", "lines": ["CLIENT_RANDOM a b"]}
LOSS = {"kind": "loss", "time_ns": 2, "since_ns": 1, "vantage": "alice", "dropped": 3}


@pytest.mark.parametrize("event", [*REAL, SECRETS, LOSS, {"kind": "later", "time_ns": 1, "any": [{}]}])
def test_what_labkit_writes_is_sound(event: dict[str, Any]) -> None:
    assert is_sound(json.loads(json.dumps(event)))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("topology", {"nodes": None}), ("topology", {"nodes": [{"name": "a", "role": "king", "addresses": []}]}),
        ("topology", {"nodes": [{"role": "client", "addresses": []}]}), ("topology", {"pools": {"api": "api1"}}),
        ("topology", {"vip": "10.0.1.10"}), ("mode", {"mode": "l5"}), ("mode", {"mode": None}),
        ("rules", {"reads": "a"}),
        ("rules", {"text": 1}), ("decision", {"client_port": "80"}), ("decision", {"client_port": 65536}),
        ("decision", {"client_port": True}), ("decision", {"read": [1]}), ("decision", {"server": None}),
        ("request", {"front": []}), ("request", {"front": {"client": ["10.0.1.11"]}}), ("request", {"status": "200"}),
        ("request", {"back": {"client": [1, 2], "server": ["a", 1]}}), ("request", {"started_ns": -1}),
        ("request", {"started_ns": 2**63}), ("request", {"decided_ns": 1.5}), ("request", {"held": "http.host"}),
        ("request", {"headers_received": [["a"]]}), ("request", {"websocket": 1}), ("request", {"time_ns": True}),
        ("relay", {"front": {"client": "10.0.1.11"}}), ("relay", {"bytes_out": -1}), ("relay", {"sni": ["a"]}),
        ("relay", {"read": "ip.dst"}), ("relay", {"ended_ns": 1.5}), ("relay", {"backend": 1}),
        ("request", {"kind": 7}), ("request", {"target": ["/"]}),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_unsound(kind: str, change: dict[str, Any]) -> None:
    event = json.loads(json.dumps(next(event for event in REAL if event["kind"] == kind)))
    assert is_sound(event)
    assert not is_sound({**event, **change})


@pytest.mark.parametrize("value", [None, [], "x", 1, {}, {"kind": "x"}, {"time_ns": 1}, {"kind": "x", "time_ns": -1}])
def test_what_is_no_event(value: Any) -> None:
    assert not is_sound(value)


def test_showing_changes_texts_alone_and_rules_keep_their_lines() -> None:
    event = {"kind": "rules", "time_ns": 1, "text": "a\n\tb\x1b", "x": ["\x1b", {"\x1b": ("\n", 2, None, True)}]}
    before = copy.deepcopy(event)
    shown = inert_event(event)
    assert event == before
    assert shown == {
        "kind": "rules", "time_ns": 1, "text": "a\n\\tb\\x1b", "x": ["\\x1b", {"\\x1b": ("\\n", 2, None, True)}],
    }  # fmt: skip
