"""Whether a topology built in Python is made of the right kinds of values. Asked before the rules of `validate`.

A topology read from a file always is. The first value of a wrong kind raises TopologyError with its place.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from .message import error, shown
from .model import Interface, Link, Listener, Node, Topology


def check_shape(topology: Topology) -> None:
    """Raise TopologyError at the first value in *topology* that is of a wrong kind."""
    source = topology.source if isinstance(topology.source, str) else "<topology>"
    for place, value, kinds, remedy in _parts(topology):
        if not isinstance(value, kinds):
            raise error(source, place, f"{shown(value)} is of a wrong kind", remedy)


type _Part = tuple[str, object, type | tuple[type, ...], str]

_LIST = (tuple, list)
_NONE = type(None)


def _parts(topology: Topology) -> Iterator[_Part]:
    """(place, value, the kinds it may be of, remedy); each part is asked for after what holds it was looked at."""
    yield "source", topology.source, str, "write where it comes from, as text"
    yield "links", topology.links, _LIST, "give a tuple of two Link values"
    yield "nodes", topology.nodes, _LIST, "give a tuple of Node values"
    yield "pools", topology.pools, Mapping, 'give a dictionary, as in {"api": ("api1", "api2")}'
    yield "listeners", topology.listeners, _LIST, "give a tuple, as in (Listener(80),)"
    for index, link in enumerate(topology.links):
        yield f"links[{index}]", link, Link, 'write Link("front", IPv4Network("10.0.1.0/24"))'
        place = f"links.{shown(link.name)}"
        yield f"{place}.subnet4", link.subnet4, IPv4Network, 'write IPv4Network("10.0.1.0/24")'
        yield f"{place}.subnet6", link.subnet6, (IPv6Network, _NONE), 'write IPv6Network("fd00:10:0:1::/64"), or None'
    for index, node in enumerate(topology.nodes):
        yield f"nodes[{index}]", node, Node, 'write Node("alice", "client", (Interface(...),))'
        place = f"nodes.{shown(node.name)}.interfaces"
        yield place, node.interfaces, _LIST, "give a tuple of Interface values"
        for number, interface in enumerate(node.interfaces):
            yield from _interface(f"{place}[{number}]", interface)
    for name, members in topology.pools.items():
        yield f"pools.{shown(name)}", members, _LIST, 'give the names of backends, as in ("api1", "api2")'
        for index, member in enumerate(members):
            yield f"pools.{shown(name)}[{index}]", member, str, 'name a backend, as in "api1"'
    for index, listener in enumerate(topology.listeners):
        yield f"listeners[{index}]", listener, Listener, "write Listener(80)"


def _interface(place: str, interface: Interface) -> Iterator[_Part]:
    yield place, interface, Interface, 'write Interface("front", IPv4Interface("10.0.1.11/24"))'
    yield f"{place}.link", interface.link, str, "name a link, as text"
    yield f"{place}.address4", interface.address4, IPv4Interface, 'write IPv4Interface("10.0.1.11/24")'
    wanted = 'write IPv6Interface("fd00:10:0:1::11/64"), or None'
    yield f"{place}.address6", interface.address6, (IPv6Interface, _NONE), wanted
