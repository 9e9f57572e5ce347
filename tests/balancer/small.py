"""A lab that boots fast: a client, lb and one backend, one listener for TCP, IPv4 alone."""

from ipaddress import IPv4Interface, IPv4Network

from labkit import Listener
from labkit.topology import Interface, Link, Node, Topology


def small(subnet: str = "10.0.2.0/24") -> Topology:
    """subnet: of the back link, where lb and the backend have the first two addresses."""
    front, back = Link("front", IPv4Network("10.0.1.0/24")), Link("back", IPv4Network(subnet))
    first, second = (IPv4Interface((back.subnet4[host], back.subnet4.prefixlen)) for host in (1, 2))
    client, vip = (Interface("front", IPv4Interface(f"10.0.1.{host}/24")) for host in (11, 10))
    nodes = (
        Node("alice", "client", (client,)),
        Node("lb", "balancer", (vip, Interface("back", first))),
        Node("api1", "backend", (Interface("back", second),)),
    )
    return Topology("small", (front, back), nodes, {"api": ("api1",)}, (Listener(7, "tcp"),))
