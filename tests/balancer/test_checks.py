"""When a place counts as up or down, and what is checked: pure."""

from typing import Any

import pytest

from labkit import Listener
from labkit.balancer.checks import Check, Health, checked, places, unheard
from labkit.balancer.policy import Forward, Target
from labkit.errors import PolicyError

API1, API2 = Target("api1", "10.0.2.11"), Target("api2", "10.0.2.12")
CHECK = Check(rise=2, fall=3)


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("....x", ["unknown", "unknown", "down", "down", "down"]),  # who never answered is down all the same
        ("xx", ["unknown", "up"]),
        ("x.xx", ["unknown", "unknown", "unknown", "up"]),
        ("..x...", ["unknown"] * 5 + ["down"]),
        ("xx..x...", ["unknown", "up", "up", "up", "up", "up", "up", "down"]),
        ("xx...x.xx", ["unknown", "up", "up", "up", "down", "down", "down", "down", "up"]),
    ],
)
def test_it_takes_results_in_a_row(results: str, states: list[str]) -> None:
    health, seen = Health(), []
    for result in results:
        health = health.after(result == "x", CHECK)
        seen.append(health.state)
    assert seen == states


def test_the_first_port_of_a_range_says_nothing_of_the_others_until_it_has_answered() -> None:
    (place,) = places([Forward(Listener(8000, "tcp", through=8009), (API1,))], CHECK)
    health, seen = Health(), []
    for result in "....xx...":
        health = health.after(result == "x", CHECK, place.first)
        seen.append(health.state)
    assert seen == ["unknown"] * 5 + ["up"] * 3 + ["down"]


FORWARDS = (
    Forward(Listener(80, backend_port=8080), (API1, API2)),
    Forward(Listener(443, "https"), (API1,)),
    Forward(Listener(7, "tcp"), (API1,)),
    Forward(Listener(7, "udp"), (API1,)),
)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("tcp", [("api1", 8080, "tcp"), ("api2", 8080, "tcp"), ("api1", 443, "tcp"), ("api1", 7, "tcp")]),
        ("http", [("api1", 8080, "http"), ("api2", 8080, "http"), ("api1", 443, "tcp"), ("api1", 7, "tcp")]),
        (
            "udp",
            [
                ("api1", 8080, "tcp"),
                ("api2", 8080, "tcp"),
                ("api1", 443, "tcp"),
                ("api1", 7, "tcp"),
                ("api1", 7, "udp"),
            ],
        ),
    ],
)
def test_every_port_is_checked_once_in_the_way_that_fits_it(kind: str, how: list[tuple[str, int, str]]) -> None:
    found = places((*FORWARDS, FORWARDS[0]), Check(kind=kind))  # type: ignore[arg-type]
    assert [(place.backend, place.port, place.how) for place in found] == how
    assert {place.address for place in found if place.backend == "api1"} == {"10.0.2.11"}
    assert [place.key for place in found if place.port == 7] == [
        ("api1", transport, 7) for transport in ("tcp", "udp") if transport in (kind, "tcp")
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "icmp"}, "kinds are tcp, http, udp"),
        ({"kind": None}, "kinds are tcp, http, udp"),
        ({"kind": "htp"}, "did you mean 'http'"),
        ({"interval": 0}, "seconds from 0.05"),
        ({"interval": float("nan")}, "seconds from 0.05"),
        ({"interval": True}, "seconds from 0.05"),
        ({"rise": 0}, "rise=0.*1 to 100"),
        ({"fall": 1.5}, "fall=1.5.*1 to 100"),
        ({"path": "health"}, 'path="/health"'),
        ({"path": "/a b"}, 'path="/health"'),
        ({"path": "/\r\nX: y"}, 'path="/health"'),
    ],
)
def test_what_cannot_be_checked_is_refused(wrong: dict[str, object], message: str) -> None:
    asked: dict[str, object] = {"kind": "tcp", "interval": 0.5, "rise": 2, "fall": 2, "path": "/", **wrong}
    with pytest.raises(PolicyError, match=message):
        checked(**asked)


def test_a_dead_backend_is_out_within_two_seconds_by_default() -> None:
    """It dies just after a check: the next ones come an interval apart, and the last may take one to fail."""
    check = Check()
    assert check.interval * check.fall + check.interval <= 2


@pytest.mark.parametrize(
    ("states", "served", "out"),
    [
        ({("api1", "tcp", 80): "down", ("api1", "tcp", 7): "down"}, [("api1", "tcp", 80)], [("api1", "udp", 7)]),
        ({("api1", "tcp", 80): "up", ("api1", "tcp", 7): "down"}, [("api1", "tcp", 80)], []),
        ({("api1", "tcp", 80): "down"}, [("api1", "udp", 7)], []),  # it never served anything over TCP
        ({("api1", "tcp", 80): "down", ("api1", "udp", 7): "up"}, [("api1", "tcp", 80)], []),  # it is asked itself
        ({("api2", "tcp", 80): "down"}, [("api2", "tcp", 80)], []),
    ],
)
def test_unchecked_ports_leave_with_a_backend_that_died_as_a_whole(states: Any, served: Any, out: Any) -> None:
    assert list(unheard(FORWARDS, states, served)) == out
