"""From what hosts say of their networks to the topology that is there."""

from ipaddress import IPv4Network

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.attached.place import placed
from labkit.runtime.network.plan import plan
from labkit.topology import Topology, default, direct_return, moved, without_ipv6


def said(topology: Topology) -> dict[str, dict[str, object]]:
    return {node["name"]: node for node in plan(topology)["nodes"]}


def test_where_the_topology_says():
    assert placed(default(), said(default())) == default()


def test_on_other_subnets_and_without_ipv6():
    there = without_ipv6(moved(default(), {"front": IPv4Network("10.9.1.0/24"), "back": IPv4Network("10.9.7.0/24")}))
    found = placed(default(), said(there))
    assert found == there
    assert str(found.vip4) == "10.9.1.10"


@pytest.mark.parametrize(
    "other",
    [
        moved(default(), {"front": IPv4Network("10.9.0.0/16")}),  # of another size
        direct_return(),  # backends have the VIP too
    ],
)
def test_another_topology_is_refused_by_what_one_of_its_hosts_has(other):
    networks = {name: network for name, network in said(other).items() if name != "gw"}
    with pytest.raises(RuntimeUnavailable, match=r"is not the default lab: its (alice|api1) has (front|back) 10\."):
        placed(default(), networks)
