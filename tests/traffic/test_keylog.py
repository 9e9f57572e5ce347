"""`secrets` events of hosts: whose word counts, which leg, and what is missing."""

from types import SimpleNamespace
from typing import Any

from labkit.errors import TaskError
from labkit.traffic.keylog import secrets_events


def line(handshake: int) -> str:
    return f"CLIENT_RANDOM {handshake:064x} {0:096x}"


def host(name: str, role: str, made: list[tuple[int, list[str], bool]], forgot: bool = False) -> Any:
    return SimpleNamespace(name=name, role=role, secrets=lambda since_ns: (made, forgot))


def test_what_the_balancer_tells_of_is_not_told_again_and_the_rest_goes_through() -> None:
    alice = host("alice", "client", [(5, [line(1)], False), (20, [line(2)], False), (25, [line(4)], True)])
    lb = host("lb", "balancer", [(30, [line(3)], False)])
    known = [{"kind": "rules"}, {"kind": "secrets", "leg": "front", "lines": [line(2)]}]
    events, lacks = secrets_events([alice, lb], 10, known)
    assert events == [
        {"kind": "secrets", "time_ns": 10, "leg": "through", "lines": [line(1)]},
        {"kind": "secrets", "time_ns": 25, "leg": "front", "lines": [line(4)]},
        {"kind": "secrets", "time_ns": 30, "leg": "back", "lines": [line(3)]},
    ]
    assert lacks == []


def test_a_host_that_is_silent_or_has_forgotten_is_named() -> None:
    def fail(since_ns: int) -> Any:
        raise TaskError("no answer")

    silent = SimpleNamespace(name="bob", role="client", secrets=fail)
    events, lacks = secrets_events([silent, host("alice", "client", [(5, [line(1)], False)], forgot=True)], 0, [])
    assert [event["lines"] for event in events] == [[line(1)]]
    assert lacks == [
        "the TLS secrets of bob, which did not answer",
        "the TLS secrets of the oldest connections of alice: they are forgotten",
    ]
