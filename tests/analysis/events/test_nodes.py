import pytest

from labkit.analysis.events.nodes import Nodes, canonical, endpoint
from tests.analysis.wire import TOPOLOGY, Wire


@pytest.mark.parametrize(
    ("written", "short"),
    [
        ("10.0.1.11", "10.0.1.11"), ("::ffff:10.0.1.11", "10.0.1.11"), ("FD00:0:0::1", "fd00::1"),
        ("fe80::1%front", "fe80::1"), ("10.0.1.11/24", "10.0.1.11"), ("lb", "lb"),
    ],
)  # fmt: skip
def test_one_spelling_for_an_address(written: str, short: str) -> None:
    assert canonical(written) == short


def test_endpoints_are_written_so_that_the_port_can_be_told() -> None:
    assert (endpoint("10.0.1.11", 80), endpoint("fd00::1", 80)) == ("10.0.1.11:80", "[fd00::1]:80")


def test_the_topology_says_who_is_who() -> None:
    wire = Wire()
    wire.events.append({**TOPOLOGY, "vip": ["10.9.9.9"]})
    nodes = Nodes.of(wire.recording())
    assert (nodes.balancer, nodes.at("10.9.9.9"), nodes.at("fd00:10:0:2::11"), nodes.at("1.1.1.1")) == (
        "lb",
        "lb",
        "api1",
        "1.1.1.1",
    )
    assert nodes.at_vantage == ("alice", "bob", "lb", "lb", "api1", "api2")
    assert [nodes.is_balancer(place) for place in range(6)] == [False, False, True, True, False, False]


def test_without_one_vantage_points_name_their_own() -> None:
    nodes = Nodes.of(Wire().recording())
    assert (nodes.balancer, nodes.at("10.0.1.10"), nodes.at_vantage[2]) == (None, "10.0.1.10", "lb")
    wire = Wire()
    wire.events.append({**TOPOLOGY, "nodes": [{"name": "x", "role": "client", "addresses": []}]})
    assert (Nodes.of(wire.recording()).balancer, Nodes.of(wire.recording()).at("10.0.1.10")) == (None, "10.0.1.10")
