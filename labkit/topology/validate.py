"""Checks a topology before anything is created: one `TopologyError` names file, place in it and remedy.

Pure functions over `Topology` values. `reader` turns text into values and comes here too, so a lab built in
Python and one read from a file obey the same rules; docs/topology.md states them.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import combinations
from keyword import iskeyword
from typing import NoReturn, get_args

from .message import error, listed, shown
from .model import Interface, Link, Listener, Node, Protocol, Role, Topology
from .shape import check_shape

MAX_NODES = 1_000
MAX_NAME = 15  # Linux: IFNAMSIZ is 16, with the final zero byte

# Attributes of a Lab (a node of that name could not be reached as lab.NAME), and names with a meaning of their own.
_RESERVED = """
    address attach backends balancer capture clients close compare events faults interrupt link links listeners
    localhost mode name node nodes panel pools ready_seconds report reset restart running runtime start started
    status stop stopped topology vantages vip vip4 vip6
"""
RESERVED = frozenset(_RESERVED.split())

Places = Mapping[tuple[str, str, int], str]
"""(node, link, 4 or 6) -> where that address is written, when the topology comes from a file."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,29}")

type _Subnet = IPv4Network | IPv6Network
type _Address = IPv4Interface | IPv6Interface


def validate_links(links: tuple[Link, ...], source: str) -> None:
    """The rules for links alone, before `reader` looks for the link of each address."""
    _Check(Topology("links", links, nodes=(), source=source), {}).links()


def validate(topology: Topology, places: Places | None = None) -> None:
    """Raise `TopologyError` at the first thing wrong with *topology*; return None if nothing is.

    *places* lets messages name an address as it stands in the file it came from.
    """
    check_shape(topology)
    check = _Check(topology, places or {})
    check.title()
    check.links()
    check.node_names()
    check.roles()
    check.interfaces()
    check.addresses()
    check.pools()
    check.listeners()


class _Check:
    """The rules. Each may rely on those that `validate` asks before it."""

    def __init__(self, topology: Topology, places: Places) -> None:
        self.topology = topology
        self.places = places

    def fail(self, place: str, wrong: str, remedy: str) -> NoReturn:
        raise error(self.topology.source, place, wrong, remedy)

    def name(self, kind: str, name: object, place: str) -> str:
        """*name*, if it can be a host name, an interface name and an attribute of Python."""
        remedy = f"use at most {MAX_NAME} letters, digits and '_', starting with a letter"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.fail(place, f"{shown(name)} is not a name for a {kind}", remedy)
        if len(name) > MAX_NAME:
            self.fail(place, f"the {kind} name {shown(name)} has {len(name)} characters", remedy)
        if iskeyword(name):
            self.fail(place, f"{name!r} is a word of Python's", f"choose another name for the {kind}")
        return name

    def title(self) -> None:
        title = self.topology.name
        if not isinstance(title, str) or not 1 <= len(title) <= 60 or not title.isprintable():
            self.fail("name", f"{shown(title)} is not a title", "use 1 to 60 printable characters")

    def links(self) -> None:
        links = self.topology.links
        if len(links) != 2:
            wrong = f"a lab has two links, one in front of the balancer and one behind it, not {len(links)}"
            self.fail("links", wrong, "write [links.front] and [links.back]")
        for link in links:
            self.name("link", link.name, f"links.{shown(link.name)}")
            if link.name == "lo":
                self.fail("links.lo", "'lo' is every node's loopback", "choose another name for the link")
            for subnet in _subnets(link):
                self.subnet(link, subnet)
        first, second = links
        if first.name == second.name:
            self.fail(f"links.{first.name}", "two links have this name", "rename one of them")
        for (link, subnet), (other, later) in combinations(((each, s) for each in links for s in _subnets(each)), 2):
            if _overlap(subnet, later):
                wrong = f"{later} overlaps {subnet} of link {link.name!r}"
                self.fail(f"links.{other.name}.subnets", wrong, "give each link a subnet of its own")
        if (first.subnet6 is None) != (second.subnet6 is None):
            without = first if first.subnet6 is None else second
            wrong = "this link has no IPv6 subnet and the other one has"
            self.fail(f"links.{without.name}.subnets", wrong, "add one here, or remove the other")

    def subnet(self, link: Link, subnet: _Subnet) -> None:
        for bad, what in (
            (subnet.is_multicast, "for multicast"),
            (subnet.is_loopback, "every node's loopback"),
            (subnet.is_link_local, "link-local"),
            (subnet.network_address.is_unspecified, "no range of hosts"),
        ):
            if bad:
                remedy = "use a private subnet such as 10.0.1.0/24 or fd00:10:0:1::/64"
                self.fail(f"links.{link.name}.subnets", f"{subnet} is {what}", remedy)
        self.zone(subnet.network_address, f"links.{link.name}.subnets")

    def zone(self, address: object, place: str) -> None:
        """Python takes ``fd00::1%eth0``; only link-local addresses have zones, and a lab has none of these."""
        if zone := getattr(address, "scope_id", None):
            self.fail(place, f"{shown(zone)} after the '%' is a zone", "write the address without '%' and zone")

    def node_names(self) -> None:
        count = len(self.topology.nodes)
        if count > MAX_NODES:
            self.fail("nodes", f"{count:,} nodes are more than one machine carries", f"use at most {MAX_NODES:,}")
        seen: dict[str, str] = {}  # case folded, as host names are -> as written
        for node in self.topology.nodes:
            place = f"nodes.{shown(node.name)}"
            name = self.name("node", node.name, place)
            if name in RESERVED:
                self.fail(place, f"{name!r} is what a lab itself is asked for", "choose another name for the node")
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                self.fail(place, f"{name!r} and {other!r} are one host name, case aside", "rename one of them")
        if len(seen) < count:
            names = [node.name for node in self.topology.nodes]
            twice = next(name for name in names if names.count(name) > 1)
            self.fail(f"nodes.{twice}", "two nodes have this name", "rename one of them")

    def roles(self) -> None:
        for node in self.topology.nodes:
            if node.role not in get_args(Role):
                self.fail(f"nodes.{node.name}.role", f"{shown(node.role)} is no role", f"use {listed(get_args(Role))}")
        for role in get_args(Role):
            if role != "router" and not self.topology.with_role(role):
                self.fail("nodes", f"there is no {role}", f'give at least one node role = "{role}"')
        for only in ("balancer", "router"):
            first, *others = self.topology.with_role(only) or (None,)
            if first and others:
                wrong = f"{first.name!r} is the {only} already"
                self.fail(f"nodes.{others[0].name}.role", wrong, f"keep one {only}")

    def interfaces(self) -> None:
        links = {link.name for link in self.topology.links}
        for node in self.topology.nodes:
            attached = [interface.link for interface in node.interfaces]
            for index, link in enumerate(attached):
                if link not in links:
                    place = f"nodes.{node.name}.interfaces[{index}].link"
                    self.fail(place, f"there is no link {shown(link)}", f"use {listed(sorted(links))}")
            if len(set(attached)) < len(attached):
                wrong = "a node has one interface on a link, with one IPv4 and one IPv6 address"
                self.fail(f"nodes.{node.name}.interfaces", wrong, "keep one")
        for node in (self.topology.balancer, *self.topology.with_role("router")):
            if len(node.interfaces) != 2:
                remedy = f"give it an address in each of {listed(sorted(links), 'and')}"
                self.fail(f"nodes.{node.name}.addresses", f"the {node.role} joins both links", remedy)
        for nodes, home in (
            (self.topology.clients, self.topology.front),
            (self.topology.backends, self.topology.back),
        ):
            for node in nodes:
                if [interface.link for interface in node.interfaces] != [home.name]:
                    wrong = f"a {node.role} has its addresses on link {home.name!r} and nowhere else"
                    self.fail(f"nodes.{node.name}.addresses", wrong, f"give it one of {_ranges(home)}")

    def addresses(self) -> None:
        owners: dict[IPv4Address | IPv6Address, str] = {}
        for node, interface, address, place in self.written():
            self.zone(address, place)
            link = self.topology.link(interface.link)
            subnet = link.subnet4 if isinstance(address, IPv4Interface) else link.subnet6
            if subnet is None or address.network != subnet:
                remedy = f"use a host address of {_ranges(link)}"
                self.fail(place, f"{address} is not in a subnet of link {link.name!r}", remedy)
            if address.ip == subnet.network_address:
                self.fail(place, f"{address.ip} is the address of the subnet {subnet} itself", "use a host's address")
            if isinstance(subnet, IPv4Network) and address.ip == subnet.broadcast_address:
                self.fail(place, f"{address.ip} is the broadcast address of {subnet}", "use a host's address")
            owner = owners.setdefault(address.ip, node.name)
            if owner != node.name:
                self.fail(place, f"{address.ip} is the address of {owner!r} already", "give each node its own")
        for node in self.topology.nodes:
            for interface in node.interfaces:
                subnet6 = self.topology.link(interface.link).subnet6
                if subnet6 is not None and interface.address6 is None:
                    wrong = f"no IPv6 address on link {interface.link!r}, which has an IPv6 subnet"
                    self.fail(f"nodes.{node.name}.addresses", wrong, f"add one in {subnet6}")

    def written(self) -> Iterator[tuple[Node, Interface, _Address, str]]:
        """Every address, with its place in the file or else in the value."""
        for node in self.topology.nodes:
            for index, interface in enumerate(node.interfaces):
                for family, address in ((4, interface.address4), (6, interface.address6)):
                    if address is not None:
                        in_value = f"nodes.{node.name}.interfaces[{index}].address{family}"
                        yield node, interface, address, self.places.get((node.name, interface.link, family), in_value)

    def pools(self) -> None:
        roles = {node.name: node.role for node in self.topology.nodes}
        backends = sorted(name for name, role in roles.items() if role == "backend")
        for pool, members in self.topology.pools.items():
            place = f"pools.{shown(pool)}"
            self.name("pool", pool, place)
            if not members:
                self.fail(place, "the pool is empty", f"name backends in it, such as {backends[0]!r}")
            for index, member in enumerate(members):
                if roles.get(member) != "backend":
                    wrong = f"there is no node {shown(member)}"
                    if member in roles:
                        wrong = f"{member!r} is a {roles[member]}"
                    self.fail(f"{place}[{index}]", wrong, f"name backends, such as {listed(backends[:4])}")
                if member in members[:index]:
                    self.fail(f"{place}[{index}]", f"{member!r} stands in the pool twice", "name it once")

    def listeners(self) -> None:
        if not self.topology.listeners:
            self.fail("listeners", "the balancer listens nowhere", "add [[listeners]] with port = 80")
        seen: list[Listener] = []
        labels: dict[str, int] = {}
        for index, listener in enumerate(self.topology.listeners):
            place = f"listeners[{index}]"
            if listener.protocol not in get_args(Protocol):
                wrong = f"{shown(listener.protocol)} is no protocol"
                self.fail(f"{place}.protocol", wrong, f"use {listed(get_args(Protocol))}")
            self.ports(listener, place)
            if not isinstance(listener.name, str) or (listener.name and not _LABEL.fullmatch(listener.name)):
                wrong = f"{shown(listener.name)} is not a name for a listener"
                self.fail(f"{place}.name", wrong, "use at most 30 letters, digits, '-' and '_'")
            for other, earlier in enumerate(seen):
                if port := listener.shares(earlier):
                    wrong = f"listeners[{other}] has {listener.transport.upper()} port {port} already"
                    self.fail(f"{place}.port", wrong, "use another port")
            seen.append(listener)
            taken = labels.setdefault(listener.label, index)
            if taken != index:
                self.fail(f"{place}.name", f"listeners[{taken}] is {listener.label!r} already", "rename one of them")

    def ports(self, listener: Listener, place: str) -> None:
        for key, port, lowest in (
            ("port", listener.port, 1),
            ("backend_port", listener.backend_port, 0),
            ("through", listener.through, 0),
        ):
            if type(port) is not int or not lowest <= port <= 65535:
                self.fail(f"{place}.{key}", f"{shown(port)} is no port", "use a whole number from 1 to 65535")
        if not listener.through:
            return
        if listener.through <= listener.port:
            wrong = f"the range begins with port {listener.port}, and {listener.through} does not come after it"
            self.fail(f"{place}.through", wrong, "name the last port of the range, or leave it out for one port")
        if listener.protocol in ("http", "https"):
            wrong = f"{listener.protocol} has one port, so that it can end in the balancer at L7"
            self.fail(f"{place}.through", wrong, 'use protocol = "tcp", or one listener a port')
        if listener.backend_port:
            wrong = "ports of a range stay what they are at the backends"
            self.fail(f"{place}.backend_port", wrong, "leave it out, or write one listener a port")


def _subnets(link: Link) -> tuple[_Subnet, ...]:
    return (link.subnet4,) if link.subnet6 is None else (link.subnet4, link.subnet6)


def _ranges(link: Link) -> str:
    return " or ".join(map(str, _subnets(link)))


def _overlap(one: _Subnet, other: _Subnet) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)
