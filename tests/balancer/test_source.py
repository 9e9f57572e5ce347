"""The address that checks come from: chosen among those that nobody has, and put where the balancer is."""

import time
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from labkit import Lab
from labkit.balancer.source import ELSEWHERE, source_of
from labkit.topology import Interface, Node
from tests.balancer.small import small


@pytest.mark.parametrize(
    ("subnet", "source"),
    [("10.0.2.0/24", "10.0.2.254"), ("10.0.2.0/29", "10.0.2.6"), ("10.0.2.0/30", str(ELSEWHERE))],
)
def test_it_is_the_last_that_is_free(subnet: str, source: str) -> None:
    topology = small(subnet)
    assert source_of(topology) == source


def test_one_that_is_taken_is_passed_over() -> None:
    topology = small("10.0.2.0/24")
    last = Interface("back", IPv4Interface("10.0.2.254/24"))
    nodes = (*topology.nodes, Node("images1", "backend", (last,)))
    assert source_of(replace(topology, nodes=nodes)) == "10.0.2.253"


@pytest.mark.needs("netns")
def test_checks_are_answered_also_where_no_address_is_left() -> None:
    with Lab(small("10.0.2.0/30")) as lab:
        lab.balancer.health.check(interval=0.1, rise=1, fall=1)
        lab.api1.kill()
        wait(lab, "down")
        lab.api1.restore()
        wait(lab, "up")


def wait(lab: Lab, state: str) -> None:
    deadline = time.monotonic() + 20
    while lab.balancer.health["api1"] != state:
        assert time.monotonic() < deadline
        time.sleep(0.01)
