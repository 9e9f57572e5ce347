"""Whether the hosts that are there are those of a topology, and on which subnets. Pure."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from labkit.errors import RuntimeUnavailable
from labkit.runtime.network.plan import plan
from labkit.topology import Topology, moved, without_ipv6

_ALIKE = ("interfaces", "gateways", "shared")


def placed(topology: Topology, networks: Mapping[str, Mapping[str, Any]]) -> Topology:
    """*topology* where its nodes live, each with the network that it says it has (as of `plan`).

    RuntimeUnavailable if they are the nodes of another topology.
    """
    interfaces = [interface for network in networks.values() for interface in network["interfaces"]]
    there = moved(topology, _subnets(topology, interfaces))
    if not any(":" in address for interface in interfaces for address, _ in interface["addresses"]):
        there = without_ipv6(there)
    wanted = {node["name"]: node for node in plan(there)["nodes"]}
    wrong = [name for name, has in networks.items() if any(wanted[name][kind] != has[kind] for kind in _ALIKE)]
    if wrong:
        has = ", ".join(f"{each['name']} {each['addresses'][0][0]}" for each in networks[wrong[0]]["interfaces"])
        raise RuntimeUnavailable(
            f"The lab that is there is not {topology.source}: its {wrong[0]} has {has}. Lab() without a topology takes "
            "the default one; docker/README.md says how to have Compose start another."
        )
    return there


def _subnets(topology: Topology, interfaces: list[Any]) -> dict[str, IPv4Network]:
    """The subnet of each link, where the nodes have it, and as large as the topology's."""
    found = {}
    for interface in interfaces:
        address, length = interface["addresses"][0]
        found[interface["link"]] = IPv4Network(f"{address}/{length}", strict=False)
    return {
        link.name: found[link.name]
        for link in topology.links
        if link.name in found and found[link.name].prefixlen == link.subnet4.prefixlen
    }
