"""Where on an engine a lab fits: the topology's own subnets, or the nearest others that nobody has. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Network

from labkit.errors import RuntimeUnavailable
from labkit.topology import Link, Topology, moved

_STEP = 1 << 16  # addresses; subnets move together by whole steps, so that they stay recognisable
_ROOM = IPv4Network("10.0.0.0/8")


def placed(topology: Topology, taken: Iterable[IPv4Network]) -> Topology:
    """*topology* where it overlaps none of *taken*. RuntimeUnavailable if there is no such place in 10.0.0.0/8."""
    others = list(taken)
    if _free([link.subnet4 for link in topology.links], others):
        return topology
    first = min(int(link.subnet4.network_address) for link in topology.links)
    last = max(int(link.subnet4.broadcast_address) for link in topology.links)
    base = first - first % _STEP
    step = -(-(last + 1 - base) // _STEP) * _STEP
    start = int(_ROOM.network_address)
    while start + step - 1 <= int(_ROOM.broadcast_address):
        shifted = {link.name: _shifted(link, start - base) for link in topology.links}
        if _free(shifted.values(), others):
            return moved(topology, shifted)
        start += step
    raise RuntimeUnavailable(
        f"{topology.name} finds no free subnets on this Docker engine: all of {_ROOM} is taken. "
        "Remove networks that nobody uses: docker network prune"
    )


def gateway(topology: Topology, link: Link) -> str:
    """An address of *link* that no node has: the engine wants one for itself, and it stays without an owner.

    RuntimeUnavailable if there is none left.
    """
    used = {interface.address4.ip for node in topology.nodes for interface in node.interfaces}
    for address in link.subnet4.hosts():
        if address not in used:
            return str(address)
    raise RuntimeUnavailable(
        f"The hosts of {topology.source} have every address of the link {link.name}, {link.subnet4}, and a Docker "
        "engine needs one for itself: give the link a wider subnet."
    )


def networks(ranges: Iterable[str]) -> list[IPv4Network]:
    """The IPv4 subnets among *ranges*."""
    return [IPv4Network(text, strict=False) for text in ranges if text and ":" not in text]


def _free(wanted: Iterable[IPv4Network], taken: list[IPv4Network]) -> bool:
    return not any(one.overlaps(other) for one in wanted for other in taken)


def _shifted(link: Link, by: int) -> IPv4Network:
    return IPv4Network((int(link.subnet4.network_address) + by, link.subnet4.prefixlen))
