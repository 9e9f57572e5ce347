"""From a topology to the plain data that the processes of a lab are told; pure."""

from typing import Any

from labkit.topology import Interface, Node, Topology

_EVERYWHERE = {
    "net.ipv4.ip_forward": "0",  # a new namespace does as the machine's, which forwards where Docker runs
    "net.ipv6.conf.all.forwarding": "0",
    "net.ipv4.tcp_max_tw_buckets": "500",  # or new-connection tests measure TIME_WAIT, not the balancer
    "net.ipv4.ip_local_port_range": "10000 65000",
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.core.somaxconn": "16384",
    "net.ipv4.tcp_max_syn_backlog": "16384",
    "net.ipv4.ping_group_range": "0 0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.addr_gen_mode": "1",  # none: no link-local noise in captures
}
_SWITCH = {"net.ipv6.conf.default.disable_ipv6": "1"}  # a switch has no addresses and says nothing
_ROUTER = {
    "net.ipv6.conf.default.addr_gen_mode": "0",  # a router solicits neighbours from its link-local address
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
}
_NO_WAY_BACK = {  # where answers go another way than requests came, no check of the way back must drop them
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
_QUIET = {  # a backend that has the VIP on its loopback tells nobody on the link
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
    "net.ipv6.conf.default.addr_gen_mode": "0",  # what leaves from the VIP: the router is solicited as by a router
    **_NO_WAY_BACK,
}


def plan(topology: Topology) -> dict[str, Any]:
    """Links, nodes with interfaces, routes and sysctls, and the text of /etc/hosts, as plain data."""
    return {
        "links": [link.name for link in topology.links],
        "sysctls": dict(_SWITCH),
        "nodes": [_node(topology, node) for node in topology.nodes],
        "hosts": hosts(topology),
    }


def hosts(topology: Topology) -> str:
    """The nodes' /etc/hosts: ``lb`` is the balancer's VIP, ``ip6-lb`` its IPv6 one, and so for every node.

    A plain name has one address only, so that nobody's address selection decides which family a lab shows.
    """
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    for node in topology.nodes:
        first = node.interfaces[0]
        lines.append(f"{first.address4.ip} {node.name}")
        if first.address6:
            lines.append(f"{first.address6.ip} ip6-{node.name}")
    return "\n".join(lines) + "\n"


def _node(topology: Topology, node: Node) -> dict[str, Any]:
    routes = node.role in ("balancer", "router")
    direct = node.role == "backend" and topology.router is not None
    sysctls = {**_EVERYWHERE, **(_ROUTER if routes else {}), **(_QUIET if direct else {})}
    return {
        "name": node.name,
        "interfaces": [_interface(interface) for interface in node.interfaces],
        "gateways": [] if routes else _gateways(node, topology.balancer),
        "shared": _shared(topology, node) if direct else [],
        "sysctls": sysctls | (_NO_WAY_BACK if node.role == "router" else {}),
    }


def _shared(topology: Topology, node: Node) -> list[list[str]]:
    """The VIP's addresses, each with the router over which a backend that has it too sends what leaves from it."""
    router = topology.router
    vips = [str(vip) for vip in (topology.vip4, topology.vip6) if vip]
    return [list(pair) for pair in zip(vips, _gateways(node, router), strict=True)] if router else []


def _interface(interface: Interface) -> dict[str, Any]:
    addresses = [a for a in (interface.address4, interface.address6) if a]
    return {
        "name": interface.name,
        "link": interface.link,
        "mac": interface.mac,
        "addresses": [[str(a.ip), a.network.prefixlen] for a in addresses],
    }


def _gateways(node: Node, gateway: Node) -> list[str]:
    """The gateway's addresses on the node's first link."""
    for interface in gateway.interfaces:
        if interface.link == node.interfaces[0].link:
            return [str(a.ip) for a in (interface.address4, interface.address6) if a]
    return []
