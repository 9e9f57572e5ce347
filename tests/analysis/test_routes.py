"""From where to where, and whether through the balancer, with every set of vantage points."""

import pytest

from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from . import ladders as made
from . import wire as w


def routes(recording: object) -> list[tuple[object, ...]]:
    return [
        (route.proto, route.mode, route.source, route.target, route.via, route.passed)
        for route in Routes(Study(recording)).all  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("vantages", "found"),
    [
        (("alice", "lb:front", "lb:back", "api1"), ("TCP", "l4", "alice", "api1", "lb", True)),
        (("alice", "api1"), ("TCP", "l4", "alice", "api1", "lb", True)),
        (("lb:front", "lb:back"), ("TCP", "l4", "alice", "api1", "lb", True)),
        (("lb:back",), ("TCP", "l4", "alice", "api1", "lb", None)),
        (("lb:front",), ("TCP", "l4", "alice", "api1", "lb", None)),  # by the balancer's word
        (("alice",), ("TCP", "l4", "alice", "api1", None, None)),
    ],
)
def test_one_connection_through_nat(vantages: tuple[str, ...], found: tuple[object, ...]) -> None:
    assert routes(made.only(w.l4_wire(1), *vantages)) == [found]


def test_two_that_end_in_a_proxy() -> None:
    assert routes(w.l7_wire(1).recording()) == [
        ("TCP", "l7", "alice", "lb", None, False), ("TCP", "l7", "lb", "api1", None, False)
    ]  # fmt: skip


def test_without_any_record_addresses_stand_for_nodes() -> None:
    assert routes(made.without_events(w.l4_wire(1), "alice")) == [("TCP", None, w.ALICE, w.VIP, None, None)]


def test_datagrams_have_routes_too() -> None:
    assert routes(made.datagrams().recording()) == [("UDP", "l4", "alice", "api1", "lb", True)]


def test_the_mode_is_the_one_in_which_a_connection_began() -> None:
    wire = w.l4_wire(3)
    began = [wire.seen[place][0] for place in (0, 40, 80)]
    wire.events = [w.TOPOLOGY, w.mode("l4"), w.mode("l7", at=began[1] - 1), w.mode("l4", at=began[2] - 1)]
    found = Routes(Study(made.only(wire, "alice", "bob")))
    assert found.modes == {1: "l4", 2: "l7", 3: "l4"}
    assert found.in_force == {"l4"}


def test_what_came_out_of_the_balancer_again_was_forwarded() -> None:
    wire = w.l4_wire(1)
    wire.events = [w.TOPOLOGY, w.mode("l7")]  # it began before the switch, and was first seen after it
    assert Routes(Study(wire.recording())).modes == {1: "l4"}


def test_without_a_mode_nothing_is_claimed() -> None:
    wire = w.l4_wire(1)
    wire.events = [w.TOPOLOGY]
    assert Routes(Study(wire.recording())).modes == {}
    assert Routes(Study(wire.recording())).in_force == set()
