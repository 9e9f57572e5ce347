"""The rules for topologies, asked of values: each broken rule alone, on an otherwise good lab."""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

import pytest

from labkit.errors import TopologyError
from labkit.topology import Interface, Link, Listener, Node, Topology, default, direct_return, sized, validate
from labkit.topology.validate import RESERVED


def client(name: Any = "carol", address: str = "10.0.1.99/24", link: str = "front", role: Any = "client") -> Node:
    host = int(IPv4Interface(address).ip) % 256
    address6 = IPv6Interface(f"fd00:10:0:{1 if link == 'front' else 2}::{host}/64")
    return Node(name, role, (Interface(link, IPv4Interface(address), address6),))


def plus(*nodes: Node) -> Topology:
    return replace(default(), nodes=(*default().nodes, *nodes))


def without(role: str) -> Topology:
    return replace(default(), nodes=tuple(node for node in default().nodes if node.role != role), pools={})


def with_balancer(*interfaces: Interface) -> Topology:
    nodes = tuple(replace(node, interfaces=interfaces) if node.name == "lb" else node for node in default().nodes)
    return replace(default(), nodes=nodes)


def with_links(front: Link | None = None, back: Link | None = None) -> Topology:
    links = default().links
    return replace(default(), links=(front or links[0], back or links[1]))


def listening(*listeners: Any) -> Topology:
    return replace(default(), listeners=listeners)


FRONT, BACK = default().links
LB_FRONT, LB_BACK = default().balancer.interfaces
HOST = "use a host address of 10.0.1.0/24 or fd00:10:0:1::/64."
PRIVATE = "use a private subnet such as 10.0.1.0/24 or fd00:10:0:1::/64."
PORT = "use a whole number from 1 to 65535."
NAME = "use at most 15 letters, digits and '_', starting with a letter."

CASES: dict[str, tuple[Topology, str]] = {
    "good": (default(), ""),
    "duplicate name": (plus(client("alice")), "nodes.alice: two nodes have this name; rename one of them."),
    "case": (
        plus(client("Alice")),
        "nodes.Alice: 'Alice' and 'alice' are one host name, case aside; rename one of them.",
    ),
    "not text": (plus(client(7)), f"nodes.7: 7 is not a name for a node; {NAME}"),
    "too long": (plus(client("a" * 16)), f"nodes.{'a' * 16}: the node name {'a' * 16} has 16 characters; {NAME}"),
    "semicolon": (plus(client("a;b")), f"nodes.'a;b': 'a;b' is not a name for a node; {NAME}"),
    "slash": (plus(client("a/b")), f"nodes.'a/b': 'a/b' is not a name for a node; {NAME}"),
    "dots": (plus(client("..")), f"nodes.'..': '..' is not a name for a node; {NAME}"),
    "newline": (plus(client("a\n")), rf"nodes.'a\n': 'a\n' is not a name for a node; {NAME}"),
    "dash": (plus(client("-a")), f"nodes.'-a': '-a' is not a name for a node; {NAME}"),
    "underscore": (plus(client("_a")), f"nodes.'_a': '_a' is not a name for a node; {NAME}"),
    "other letters": (plus(client("ålice")), f"nodes.'ålice': 'ålice' is not a name for a node; {NAME}"),
    "empty": (plus(client("")), f"nodes.'': '' is not a name for a node; {NAME}"),
    "endless": (plus(client("a" * 500)), f"nodes.'{'a' * 39}…: the node name '{'a' * 39}… has 500 characters; {NAME}"),
    "keyword": (
        plus(client("lambda")),
        "nodes.lambda: 'lambda' is a word of Python's; choose another name for the node.",
    ),
    "reserved": (
        plus(client("stop")),
        "nodes.stop: 'stop' is what a lab itself is asked for; choose another name for the node.",
    ),
    "role": (
        plus(client(role="switch")),
        "nodes.carol.role: switch is no role; use 'client', 'balancer', 'router' or 'backend'.",
    ),
    "router on one link": (
        plus(client(role="router")),
        "nodes.carol.addresses: the router joins both links; give it an address in each of 'back' and 'front'.",
    ),
    "two routers": (
        replace(direct_return(), source="the default lab", nodes=(*direct_return().nodes, client(role="router"))),
        "nodes.carol.role: 'gw' is the router already; keep one router.",
    ),
    "no client": (without("client"), 'nodes: there is no client; give at least one node role = "client".'),
    "no balancer": (without("balancer"), 'nodes: there is no balancer; give at least one node role = "balancer".'),
    "no backend": (without("backend"), 'nodes: there is no backend; give at least one node role = "backend".'),
    "two balancers": (
        plus(client(role="balancer")),
        "nodes.carol.role: 'lb' is the balancer already; keep one balancer.",
    ),
    "address taken": (
        plus(client(address="10.0.1.11/24")),
        "nodes.carol.interfaces[0].address4: 10.0.1.11 is the address of 'alice' already; give each node its own.",
    ),
    "other subnet": (
        plus(client(address="10.9.1.11/24")),
        f"nodes.carol.interfaces[0].address4: 10.9.1.11/24 is not in a subnet of link 'front'; {HOST}",
    ),
    "other prefix": (
        plus(client(address="10.0.1.99/25")),
        f"nodes.carol.interfaces[0].address4: 10.0.1.99/25 is not in a subnet of link 'front'; {HOST}",
    ),
    "network": (
        plus(client(address="10.0.1.0/24")),
        "nodes.carol.interfaces[0].address4: 10.0.1.0 is the address of the subnet 10.0.1.0/24 itself; "
        "use a host's address.",
    ),
    "broadcast": (
        plus(client(address="10.0.1.255/24")),
        "nodes.carol.interfaces[0].address4: 10.0.1.255 is the broadcast address of 10.0.1.0/24; use a host's address.",
    ),
    "no ipv6": (
        plus(Node("carol", "client", (Interface("front", IPv4Interface("10.0.1.99/24")),))),
        "nodes.carol.addresses: no IPv6 address on link 'front', which has an IPv6 subnet; "
        "add one in fd00:10:0:1::/64.",
    ),
    "client behind": (
        plus(client(address="10.0.2.99/24", link="back")),
        "nodes.carol.addresses: a client has its addresses on link 'front' and nowhere else; "
        "give it one of 10.0.1.0/24 or fd00:10:0:1::/64.",
    ),
    "backend in front": (
        plus(client(role="backend")),
        "nodes.carol.addresses: a backend has its addresses on link 'back' and nowhere else; "
        "give it one of 10.0.2.0/24 or fd00:10:0:2::/64.",
    ),
    "nowhere": (
        plus(Node("carol", "client", ())),
        "nodes.carol.addresses: a client has its addresses on link 'front' and nowhere else; "
        "give it one of 10.0.1.0/24 or fd00:10:0:1::/64.",
    ),
    "unknown link": (
        plus(client(link="side")),
        "nodes.carol.interfaces[0].link: there is no link side; use 'back' or 'front'.",
    ),
    "one arm": (
        with_balancer(LB_FRONT),
        "nodes.lb.addresses: the balancer joins both links; give it an address in each of 'back' and 'front'.",
    ),
    "two on a link": (
        with_balancer(LB_FRONT, LB_FRONT),
        "nodes.lb.interfaces: a node has one interface on a link, with one IPv4 and one IPv6 address; keep one.",
    ),
    "one link": (
        replace(default(), links=(FRONT,)),
        "links: a lab has two links, one in front of the balancer and one behind it, not 1; "
        "write [links.front] and [links.back].",
    ),
    "same link": (
        with_links(back=replace(BACK, name="front")),
        "links.front: two links have this name; rename one of them.",
    ),
    "loopback link": (
        with_links(back=replace(BACK, name="lo")),
        "links.lo: 'lo' is every node's loopback; choose another name for the link.",
    ),
    "link name": (with_links(back=replace(BACK, name="a b")), f"links.'a b': 'a b' is not a name for a link; {NAME}"),
    "overlap": (
        with_links(back=replace(BACK, subnet4=IPv4Network("10.0.0.0/16"))),
        "links.back.subnets: 10.0.0.0/16 overlaps 10.0.1.0/24 of link 'front'; give each link a subnet of its own.",
    ),
    "overlap in ipv6": (
        with_links(back=replace(BACK, subnet6=IPv6Network("fd00::/16"))),
        "links.back.subnets: fd00::/16 overlaps fd00:10:0:1::/64 of link 'front'; give each link a subnet of its own.",
    ),
    "half ipv6": (
        with_links(back=replace(BACK, subnet6=None)),
        "links.back.subnets: this link has no IPv6 subnet and the other one has; add one here, or remove the other.",
    ),
    "other half": (
        with_links(front=replace(FRONT, subnet6=None)),
        "links.front.subnets: this link has no IPv6 subnet and the other one has; add one here, or remove the other.",
    ),
    "multicast": (
        with_links(back=replace(BACK, subnet4=IPv4Network("224.0.1.0/24"))),
        f"links.back.subnets: 224.0.1.0/24 is for multicast; {PRIVATE}",
    ),
    "loopback": (
        with_links(back=replace(BACK, subnet4=IPv4Network("127.0.0.0/8"))),
        f"links.back.subnets: 127.0.0.0/8 is every node's loopback; {PRIVATE}",
    ),
    "everything": (
        with_links(back=replace(BACK, subnet4=IPv4Network("0.0.0.0/0"))),
        f"links.back.subnets: 0.0.0.0/0 is no range of hosts; {PRIVATE}",
    ),
    "unknown member": (
        replace(default(), pools={"api": ("api1", "api9")}),
        "pools.api[1]: there is no node api9; name backends, such as 'api1', 'api2', 'images1' or 'images2'.",
    ),
    "client in a pool": (
        replace(default(), pools={"api": ("alice",)}),
        "pools.api[0]: 'alice' is a client; name backends, such as 'api1', 'api2', 'images1' or 'images2'.",
    ),
    "twice in a pool": (
        replace(default(), pools={"api": ("api1", "api1")}),
        "pools.api[1]: 'api1' stands in the pool twice; name it once.",
    ),
    "empty pool": (
        replace(default(), pools={"api": ()}),
        "pools.api: the pool is empty; name backends in it, such as 'api1'.",
    ),
    "pool name": (replace(default(), pools={"a-b": ("api1",)}), f"pools.'a-b': 'a-b' is not a name for a pool; {NAME}"),
    "ranges": (listening(Listener(8000, "tcp", through=8009), Listener(8000, "udp", through=65535)), ""),
    "range before its port": (
        listening(Listener(8000, "tcp", through=7999)),
        "listeners[0].through: the range begins with port 8000, and 7999 does not come after it; "
        "name the last port of the range, or leave it out for one port.",
    ),
    "range too far": (
        listening(Listener(8000, "tcp", through=65536)),
        f"listeners[0].through: 65536 is no port; {PORT}",
    ),
    "range of HTTP": (
        listening(Listener(8000, through=8009)),
        "listeners[0].through: http has one port, so that it can end in the balancer at L7; "
        'use protocol = "tcp", or one listener a port.',
    ),
    "range translated": (
        listening(Listener(8000, "udp", backend_port=9000, through=8009)),
        "listeners[0].backend_port: ports of a range stay what they are at the backends; "
        "leave it out, or write one listener a port.",
    ),
    "ranges overlap": (
        listening(Listener(8000, "tcp", through=8009), Listener(8009, "tcp", through=8020)),
        "listeners[1].port: listeners[0] has TCP port 8009 already; use another port.",
    ),
    "port in a range": (
        listening(Listener(8000, "tcp", through=8009), Listener(8005)),
        "listeners[1].port: listeners[0] has TCP port 8005 already; use another port.",
    ),
    "no listener": (listening(), "listeners: the balancer listens nowhere; add [[listeners]] with port = 80."),
    "port 0": (listening(Listener(0)), "listeners[0].port: 0 is no port; use a whole number from 1 to 65535."),
    "port too high": (
        listening(Listener(80, backend_port=65536)),
        f"listeners[0].backend_port: 65536 is no port; {PORT}",
    ),
    "port True": (listening(Listener(True)), "listeners[0].port: True is no port; use a whole number from 1 to 65535."),
    "protocol": (
        listening(Listener(80, "quic")),
        "listeners[0].protocol: quic is no protocol; use 'http', 'https', 'tcp' or 'udp'.",
    ),  # type: ignore[arg-type]
    "port taken": (
        listening(Listener(80), Listener(80, "tcp")),
        "listeners[1].port: listeners[0] has TCP port 80 already; use another port.",
    ),
    "label taken": (
        listening(Listener(80), Listener(81, name="http-80")),
        "listeners[1].name: listeners[0] is 'http-80' already; rename one of them.",
    ),
    "label": (
        listening(Listener(80, name="a b")),
        "listeners[0].name: 'a b' is not a name for a listener; use at most 30 letters, digits, '-' and '_'.",
    ),
    "title": (
        replace(default(), name="a\x1b[2J"),
        r"name: 'a\x1b[2J' is not a title; use 1 to 60 printable characters.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case: str) -> None:
    topology, message = CASES[case]
    if not message:
        validate(topology)
        return
    with pytest.raises(TopologyError) as caught:
        validate(topology)
    assert str(caught.value) == f"the default lab: {message}"


def test_same_port_for_tcp_and_udp_is_fine() -> None:
    validate(listening(Listener(7, "tcp"), Listener(7, "udp")))


@pytest.mark.parametrize(("backends", "clients"), [(1, 1), (2, 1), (50, 2), (400, 100), (989, 10)])
def test_labs_of_any_size_are_valid(backends: int, clients: int) -> None:
    topology = sized(backends, clients)
    assert len(topology.backends) == backends
    assert len(topology.clients) == clients
    members = [name for pool in topology.pools.values() for name in pool]
    assert sorted(members) == sorted(node.name for node in topology.backends)


@pytest.mark.parametrize(("backends", "message"), [(10_000, "10,003 nodes are more"), (0, "there is no backend")])
def test_labs_of_a_wrong_size(backends: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        sized(backends)


def test_the_default_lab() -> None:
    topology = default()
    assert topology.vantages == ("alice", "bob", "lb:front", "lb:back", "api1", "api2", "images1", "images2")
    assert [str(topology.node(name).interfaces[0].address6) for name in ("alice", "lb", "images2")] == [
        "fd00:10:0:1::11/64",
        "fd00:10:0:1::10/64",
        "fd00:10:0:2::22/64",
    ]
    assert (str(topology.vip4), topology.node("api1").address) == ("10.0.1.10", "10.0.2.11")


def test_no_attribute_of_a_lab_can_be_a_node() -> None:
    from labkit import Lab

    assert {name for name in dir(Lab) if not name.startswith("_")} <= RESERVED
