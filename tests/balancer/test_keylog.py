"""The owner's key log: whose secrets are given for which time, and what is forgotten."""

from typing import Any

from labkit.balancer import keylog
from labkit.balancer.keylog import KeyLog


def told(connection: str, time_ns: int) -> dict[str, Any]:
    return {
        "kind": "secrets",
        "time_ns": time_ns,
        "leg": "front",
        "connection": connection,
        "lines": [f"A {connection}"],
    }


def times(log: KeyLog, since_ns: int) -> dict[str, int]:
    return {event["lines"][0].removeprefix("A "): event["time_ns"] for event in log.since(since_ns)}


def test_connections_that_were_open_at_the_time_are_stamped_with_it() -> None:
    log = KeyLog()
    for connection, time_ns in (("gone", 10), ("long", 20), ("ends", 30), ("late", 60)):
        log.put(told(connection, time_ns))
    log.close("gone", 40)
    log.close("ends", 55)
    log.close("unknown", 56)
    assert times(log, 50) == {"long": 50, "ends": 50, "late": 60}
    assert times(log, 5) == {"gone": 10, "long": 20, "ends": 30, "late": 60}
    assert set(log.since(5)[0]) == {"kind", "time_ns", "leg", "lines"}
    log.close_all(70)
    assert times(log, 71) == {}


def test_the_oldest_are_forgotten_and_that_is_said(monkeypatch) -> None:
    monkeypatch.setattr(keylog, "_KEPT", 3)
    log = KeyLog()
    for number in range(5):
        log.put(told(str(number), number + 1))
    assert list(times(log, 0)) == ["2", "3", "4"]
    assert (log.lacks(0), log.lacks(2)) == (["the TLS secrets of the oldest connections at L7"],) * 2
    assert log.lacks(3) == []


def test_where_nobody_says_what_has_ended_few_from_before_are_given_and_that_is_said(monkeypatch) -> None:
    monkeypatch.setattr(keylog, "_OLD", 2)
    log = KeyLog(ends_unknown=True)
    for number in range(5):
        log.put(told(str(number), 10 * number + 10))
    assert times(log, 35) == {"1": 35, "2": 35, "3": 40, "4": 50}
    assert (log.lacks(35), log.lacks(25)) == (["the TLS secrets of the oldest connections at L7"], [])
    log.close_all(60)
    assert times(log, 61) == {}
