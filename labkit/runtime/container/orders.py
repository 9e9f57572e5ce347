"""The orders of a topology's hosts (`order` says what one is), and that of a container which is only told its name."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from labkit.errors import TopologyError
from labkit.runtime.network.plan import plan
from labkit.topology import Topology, default, moved, read

NODE, TOPOLOGY, SUBNETS = "LABKIT_NODE", "LABKIT_TOPOLOGY", "LABKIT_SUBNETS"


def orders(topology: Topology) -> dict[str, dict[str, Any]]:
    """The order of each node, by name: name, network (as of `plan`), hosts (text), rights (of capabilities(7))."""
    whole = plan(topology)
    roles = {node.name: node.role for node in topology.nodes}
    return {
        node["name"]: {
            "name": node["name"],
            "network": node,
            "hosts": whole["hosts"],
            "rights": ["net_raw", *(["net_admin"] if roles[node["name"]] == "balancer" else [])],
        }
        for node in whole["nodes"]
    }


def look_up(environment: Mapping[str, str]) -> dict[str, Any]:
    """The order of the node that *environment* names. TopologyError if its topology has none of that name."""
    file, name = environment.get(TOPOLOGY), environment.get(NODE)
    topology = _placed(read(file) if file else default(), environment.get(SUBNETS, ""))
    known = orders(topology)
    if name not in known:
        raise TopologyError(
            f"This container is to be {name!r}, which {topology.source} does not have: set {NODE} to one of "
            f"{', '.join(known)}."
        )
    return known[name]


def _placed(topology: Topology, subnets: str) -> Topology:
    """*topology* on these *subnets*. TopologyError if they are written wrong, or fit it not."""
    asked = dict(word.partition("=")[::2] for word in subnets.split())
    links = {link.name: link.subnet4 for link in topology.links}
    try:
        wanted = {name: IPv4Network(text) for name, text in asked.items()}
        if all(wanted[name].prefixlen == links[name].prefixlen for name in wanted):
            return moved(topology, wanted)
    except (KeyError, ValueError):
        pass
    fitting = " ".join(f"{name}={subnet}" for name, subnet in links.items())
    raise TopologyError(f"{SUBNETS}={subnets!r} does not fit {topology.source}: write it as {fitting}, of these sizes.")
