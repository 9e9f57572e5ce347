"""Where a lab finds room on an engine."""

from ipaddress import IPv4Interface, IPv4Network

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.docker.subnets import gateway, networks, placed
from labkit.topology import Interface, Link, Node, Topology, default, direct_return, sized


def subnets(topology):
    return [str(link.subnet4) for link in topology.links]


def test_where_nothing_is_taken_the_topology_stays_as_it_is():
    topology = default()
    assert placed(topology, networks(["172.17.0.0/16", "", "fd00::/64"])) is topology


@pytest.mark.parametrize("taken", ["10.0.1.0/24", "10.0.0.0/16", "10.0.2.128/25"])
def test_all_links_move_together_by_whole_steps(taken):
    assert subnets(placed(default(), networks([taken]))) == ["10.1.1.0/24", "10.1.2.0/24"]


def test_what_is_next_may_be_taken_too():
    assert subnets(placed(default(), networks(["10.0.0.0/14", "10.4.2.0/24"]))) == ["10.5.1.0/24", "10.5.2.0/24"]


def test_wide_links_move_by_what_they_cover_together():
    assert subnets(sized()) == ["10.1.0.0/16", "10.2.0.0/16"]
    assert subnets(placed(sized(), networks(["10.2.7.0/24"]))) == ["10.0.0.0/16", "10.1.0.0/16"]
    assert subnets(placed(sized(), networks(["10.1.0.0/24"]))) == ["10.2.0.0/16", "10.3.0.0/16"]


def test_where_there_is_no_room_the_remedy_is_said():
    with pytest.raises(RuntimeUnavailable, match="docker network prune"):
        placed(default(), networks(["10.0.0.0/8"]))


def test_the_engine_gets_an_address_that_no_host_has():
    assert gateway(default(), default().front) == "10.0.1.1"
    assert gateway(direct_return(), direct_return().back) == "10.0.2.2", "gw has the first one"


def test_where_hosts_have_every_address_the_remedy_is_said():
    full = Link("front", IPv4Network("10.0.1.8/30"))
    hosts = (Node("a", "client", (Interface("front", IPv4Interface("10.0.1.9/30")),)),)
    one = Topology("full", (full,), hosts, source="full.toml")
    assert gateway(one, full) == "10.0.1.10"
    other = Node("b", "client", (Interface("front", IPv4Interface("10.0.1.10/30")),))
    both = Topology("full", (full,), (*hosts, other), source="full.toml")
    with pytest.raises(RuntimeUnavailable, match=r"full\.toml have every address of the link front.*wider subnet"):
        gateway(both, full)
