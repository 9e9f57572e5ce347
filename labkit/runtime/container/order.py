"""What a container is told to be: a host's name, its network, its /etc/hosts, its rights; as plain data.

The runtime passes it on in the variable ``LABKIT_ORDER``. A container that is only told its name (``LABKIT_NODE``)
finds the rest in the topology: the default one, or the file that ``LABKIT_TOPOLOGY`` names; on other subnets where
``LABKIT_SUBNETS`` says so (``front=10.9.1.0/24 back=10.9.2.0/24``).
"""

import json
import os
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from labkit.errors import TopologyError
from labkit.runtime.network.plan import plan
from labkit.topology import Topology, default, moved, read

ORDER, NODE, TOPOLOGY, SUBNETS = "LABKIT_ORDER", "LABKIT_NODE", "LABKIT_TOPOLOGY", "LABKIT_SUBNETS"


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


def find(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The order of this container. TopologyError if it was told nothing, or a name that its topology does not have."""
    if given := environment.get(ORDER):
        order: dict[str, Any] = json.loads(given)
        return order
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
