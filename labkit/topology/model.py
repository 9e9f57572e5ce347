"""What a lab is, as frozen values. Nothing here reads a file, opens a socket or checks a rule.

``validate`` checks a topology, ``reader`` makes one from TOML, ``default`` holds the one of the first lab.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from types import MappingProxyType
from typing import Literal

Role = Literal["client", "balancer", "router", "backend"]
Protocol = Literal["http", "https", "tcp", "udp"]


@dataclass(frozen=True, slots=True)
class Link:
    """One shared segment (an Ethernet bridge), with its IPv4 and, if any, IPv6 subnet."""

    name: str
    subnet4: IPv4Network
    subnet6: IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """A node's attachment to one link. Its name inside the node is the link's name."""

    link: str
    address4: IPv4Interface
    address6: IPv6Interface | None = None

    @property
    def name(self) -> str:
        return self.link

    @property
    def mac(self) -> str:
        """Its MAC address, locally administered, which shows the IPv4 one: 10.0.1.11 has 02:00:0a:00:01:0b."""
        return "02:00:" + ":".join(f"{byte:02x}" for byte in self.address4.ip.packed)


@dataclass(frozen=True, slots=True)
class Node:
    """A host: its name, its role, and its interfaces in the order written."""

    name: str
    role: Role
    interfaces: tuple[Interface, ...]

    @property
    def address(self) -> str:
        """IPv4 address of the first interface, as text."""
        return str(self.interfaces[0].address4.ip)

    @property
    def vantages(self) -> tuple[str, ...]:
        """Vantage points of this node: ``alice`` with one interface, ``lb:front`` with several."""
        if len(self.interfaces) == 1:
            return (self.name,)
        return tuple(f"{self.name}:{interface.name}" for interface in self.interfaces)

    def interface(self, link: str) -> Interface:
        """The interface on *link*; KeyError if there is none."""
        for interface in self.interfaces:
            if interface.link == link:
                return interface
        raise KeyError(link)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the balancer accepts clients: a port of the VIP. ``http`` and ``https`` can be terminated at L7.

    ``https`` is HTTP under TLS: untouched at L4, and at L7 unless the balancer is told to end TLS.

    port: on the VIP, 1-65535. backend_port: on the backends; the same port unless given. through: the last port of
    a range that begins with *port*; at the backends each stays what it is.

    >>> Listener(80), Listener(53, "udp", backend_port=5353), Listener(8000, "tcp", through=8009)
    """

    port: int
    protocol: Protocol = "http"
    name: str = ""
    backend_port: int = 0
    through: int = 0

    @property
    def label(self) -> str:
        return self.name or f"{self.protocol}-{self.ports_text}"

    @property
    def last_port(self) -> int:
        return self.through or self.port

    @property
    def ports_text(self) -> str:
        """``80``, ``8000-8009``."""
        return f"{self.port}-{self.through}" if self.through else str(self.port)

    def shares(self, other: "Listener") -> int:
        """The first port that *other* listens on too, with the same transport; 0 if there is none."""
        first, last = max(self.port, other.port), min(self.last_port, other.last_port)
        return first if self.transport == other.transport and first <= last else 0

    @property
    def transport(self) -> Literal["tcp", "udp"]:
        return "udp" if self.protocol == "udp" else "tcp"

    @property
    def target_port(self) -> int:
        return self.backend_port or self.port


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab: links, nodes, pools of backends, listeners. The VIP is the balancer's front address.

    Nodes keep the order written; *pools* maps a pool's name to its backends' names. *source* names the
    file it came from, for messages.
    """

    name: str
    links: tuple[Link, ...]
    nodes: tuple[Node, ...]
    pools: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    listeners: tuple[Listener, ...] = ()
    source: str = "<topology>"

    def node(self, name: str) -> Node:
        """The node called *name*; KeyError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def link(self, name: str) -> Link:
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(name)

    def with_role(self, role: Role) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role == role)

    @property
    def clients(self) -> tuple[Node, ...]:
        return self.with_role("client")

    @property
    def backends(self) -> tuple[Node, ...]:
        return self.with_role("backend")

    @property
    def balancer(self) -> Node:
        return self.with_role("balancer")[0]

    @property
    def router(self) -> Node | None:
        """The node over which answers can bypass the balancer (direct server return), in a lab that has one."""
        return next(iter(self.with_role("router")), None)

    @property
    def front(self) -> Link:
        """The link that clients and balancer share (the balancer's first)."""
        return self.link(self.balancer.interfaces[0].link)

    @property
    def back(self) -> Link:
        """The link that balancer and backends share (the balancer's last)."""
        return self.link(self.balancer.interfaces[-1].link)

    @property
    def vip4(self) -> IPv4Address:
        return self.balancer.interfaces[0].address4.ip

    @property
    def vip6(self) -> IPv6Address | None:
        address = self.balancer.interfaces[0].address6
        return address.ip if address else None

    @property
    def vantages(self) -> tuple[str, ...]:
        """Every vantage point, clients first, then the balancer's, the router's if any, then the backends'."""
        ordered = (*self.clients, self.balancer, *self.with_role("router"), *self.backends)
        return tuple(vantage for node in ordered for vantage in node.vantages)
