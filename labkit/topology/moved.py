"""The same topology on other IPv4 subnets: every interface keeps the host part of its address. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

from .model import Interface, Topology


def moved(topology: Topology, subnets: Mapping[str, IPv4Network]) -> Topology:
    """*topology* with the links named in *subnets* on those, each of the same size as before."""
    return replace(
        topology,
        links=tuple(replace(link, subnet4=subnets.get(link.name, link.subnet4)) for link in topology.links),
        nodes=tuple(
            replace(node, interfaces=tuple(_moved(interface, subnets) for interface in node.interfaces))
            for node in topology.nodes
        ),
    )


def without_ipv6(topology: Topology) -> Topology:
    """*topology* on IPv4 alone."""
    return replace(
        topology,
        links=tuple(replace(link, subnet6=None) for link in topology.links),
        nodes=tuple(
            replace(node, interfaces=tuple(replace(interface, address6=None) for interface in node.interfaces))
            for node in topology.nodes
        ),
    )


def _moved(interface: Interface, subnets: Mapping[str, IPv4Network]) -> Interface:
    if interface.link not in subnets:
        return interface
    old, new = interface.address4, subnets[interface.link]
    host = int(old.ip) - int(old.network.network_address)
    return replace(interface, address4=IPv4Interface((new[host], new.prefixlen)))
