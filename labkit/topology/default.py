"""The labs that come with labkit: the default one, one with a router beside lb, one of any size for tests."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from types import MappingProxyType

from .model import Interface, Link, Listener, Node, Role, Topology
from .validate import validate

type _Place = tuple[str, Role, int, tuple[Link, ...]]
"""A node to be: its name, its role, its host number, its links."""

LISTENERS = (
    Listener(80, "http", "http"),
    Listener(443, "https", "https"),
    Listener(7, "tcp", "tcp-echo"),
    Listener(7, "udp", "udp-echo"),
)


def default() -> Topology:
    """Two clients, a balancer and four backends in two pools: the lab that every first page shows."""
    return _small("default", "the default lab")


def direct_return() -> Topology:
    """The default lab and ``gw``, a router on both links beside the balancer: for ``l4(style="dsr")``.

    Every backend has the VIP on its loopback, where nobody is told of it, and sends what leaves from the VIP over gw:
    such answers never pass the balancer.

    >>> with Lab(direct_return()) as lab: lab.balancer.l4(style="dsr")
    """
    return _small("direct server return", "direct_return()", router=True)


def _small(name: str, source: str, *, router: bool = False) -> Topology:
    front = Link("front", IPv4Network("10.0.1.0/24"), IPv6Network("fd00:10:0:1::/64"))
    back = Link("back", IPv4Network("10.0.2.0/24"), IPv6Network("fd00:10:0:2::/64"))
    # The host part is written with the same digits in IPv4 and IPv6: 10.0.1.11 and fd00:10:0:1::11.
    beside: list[_Place] = [("gw", "router", 1, (front, back))] if router else []
    hosts: Sequence[_Place] = (
        ("alice", "client", 11, (front,)),
        ("bob", "client", 12, (front,)),
        ("lb", "balancer", 10, (front, back)),
        *beside,
        ("api1", "backend", 11, (back,)),
        ("api2", "backend", 12, (back,)),
        ("images1", "backend", 21, (back,)),
        ("images2", "backend", 22, (back,)),
    )
    return Topology(
        name=name,
        links=(front, back),
        nodes=tuple(
            Node(name, role, tuple(_interface(link, host, int(str(host), 16)) for link in links))
            for name, role, host, links in hosts
        ),
        pools=MappingProxyType({"api": ("api1", "api2"), "images": ("images1", "images2")}),
        listeners=LISTENERS,
        source=source,
    )


def sized(backends: int = 50, clients: int = 2) -> Topology:
    """A lab of *clients* and *backends*, named client1…, api1…, images1…; half of the backends in each pool.

    TopologyError if that is none of either, or more than one machine carries.
    """
    front = Link("front", IPv4Network("10.1.0.0/16"), IPv6Network("fd00:10:1::/64"))
    back = Link("back", IPv4Network("10.2.0.0/16"), IPv6Network("fd00:10:2::/64"))
    half = (backends + 1) // 2
    api = [f"api{number}" for number in range(1, half + 1)]
    images = [f"images{number}" for number in range(1, backends - half + 1)]
    people = [f"client{number}" for number in range(1, clients + 1)]
    topology = Topology(
        name=f"{clients} clients, {backends} backends",
        links=(front, back),
        nodes=(
            *_row(people, "client", front),
            Node("lb", "balancer", (_interface(front, 10, 10), _interface(back, 10, 10))),
            *_row((*api, *images), "backend", back),
        ),
        pools=MappingProxyType({name: tuple(names) for name, names in (("api", api), ("images", images)) if names}),
        listeners=LISTENERS,
        source=f"sized(backends={backends}, clients={clients})",
    )
    validate(topology)
    return topology


def _row(names: Iterable[str], role: Role, link: Link) -> tuple[Node, ...]:
    """Nodes on one link, at hosts 11, 12, 13, …"""
    return tuple(Node(name, role, (_interface(link, host, host),)) for host, name in enumerate(names, start=11))


def _interface(link: Link, host4: int, host6: int) -> Interface:
    address6 = None
    if link.subnet6 is not None:
        address6 = IPv6Interface((link.subnet6[host6], link.subnet6.prefixlen))
    return Interface(link.name, IPv4Interface((link.subnet4[host4], link.subnet4.prefixlen)), address6)
