"""The address that checks come from: chosen among those that nobody has, and put where the balancer is."""

import time
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

import pytest

from labkit import Lab, Listener
from labkit.balancer.source import ELSEWHERE, source_of
from labkit.topology import Interface, Link, Node, Topology


def on_subnet(subnet: str) -> Topology:
    """A client, lb and a backend, the latter two at the first addresses of *subnet*; IPv4 alone."""
    front, back = Link("front", IPv4Network("10.0.1.0/24")), Link("back", IPv4Network(subnet))
    first, second = (IPv4Interface((back.subnet4[host], back.subnet4.prefixlen)) for host in (1, 2))
    client, vip = (Interface("front", IPv4Interface(f"10.0.1.{host}/24")) for host in (11, 10))
    nodes = (
        Node("alice", "client", (client,)),
        Node("lb", "balancer", (vip, Interface("back", first))),
        Node("api1", "backend", (Interface("back", second),)),
    )
    return Topology("small", (front, back), nodes, {"api": ("api1",)}, (Listener(7, "tcp"),))


@pytest.mark.parametrize(
    ("subnet", "source"),
    [("10.0.2.0/24", "10.0.2.254"), ("10.0.2.0/29", "10.0.2.6"), ("10.0.2.0/30", str(ELSEWHERE))],
)
def test_it_is_the_last_that_is_free(subnet: str, source: str) -> None:
    topology = on_subnet(subnet)
    assert source_of(topology) == source


def test_one_that_is_taken_is_passed_over() -> None:
    topology = on_subnet("10.0.2.0/24")
    last = Interface("back", IPv4Interface("10.0.2.254/24"))
    nodes = (*topology.nodes, Node("images1", "backend", (last,)))
    assert source_of(replace(topology, nodes=nodes)) == "10.0.2.253"


@pytest.mark.needs("netns")
def test_checks_are_answered_also_where_no_address_is_left() -> None:
    with Lab(on_subnet("10.0.2.0/30")) as lab:
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
