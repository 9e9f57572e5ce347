"""Which vantage points a topology has, on which interface of which node each sits, and who has which address. Pure."""

from collections.abc import Sequence

from labkit.errors import CaptureError
from labkit.recording import Vantage
from labkit.topology import Topology
from labkit.wording import shown


def choose(topology: Topology, names: Sequence[str] = ()) -> tuple[Vantage, ...]:
    """The named vantage points, all if none is named, in path order: clients, balancer, backends.

    CaptureError for a name that the topology does not have.
    """
    known = {vantage.name: vantage for vantage in _all(topology)}
    if not names:
        return tuple(known.values())
    names = [names] if isinstance(names, str) else names
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise CaptureError(f"There is no vantage point {shown(name)}. {_help(topology, name)}")
    return tuple(vantage for name, vantage in known.items() if name in names)


def addresses(topology: Topology) -> dict[str, list[str]]:
    """Every node's addresses by its name, as a capture filter may use them."""
    return {
        node.name: [
            str(address.ip)
            for interface in node.interfaces
            for address in (interface.address4, interface.address6)
            if address
        ]
        for node in topology.nodes
    }


def _all(topology: Topology) -> list[Vantage]:
    nodes = {node.name: node for node in topology.nodes}
    inside = {
        name: (node, interface)
        for node in nodes.values()
        for name, interface in zip(node.vantages, node.interfaces, strict=True)
    }
    found = []
    for name in topology.vantages:
        node, interface = inside[name]
        description = f"{node.role} {node.name} on {interface.link}, {interface.address4.ip}"
        found.append(Vantage(name, node.name, interface.name, description))
    return found


def _help(topology: Topology, name: str) -> str:
    for node in topology.nodes:
        if node.name == name:
            return f"{name} has several: {', '.join(node.vantages)}."
    return f"There are: {', '.join(topology.vantages)}."
