"""`Apart`: what labs of containers share. Each host has files of its own, and its agent came with it."""

from collections.abc import Sequence

from labkit.topology import Topology

from .greeted import GreetedNode
from .whole import Whole


class Apart[N: GreetedNode](Whole[N]):
    """A `Whole` of such nodes."""

    def _add_names(self, lines: str) -> None:
        for node in self._nodes.values():
            node.call("labkit.runtime.network.hosts:append", node.hello["hosts"], lines)

    def _agent_ended(self, node: str) -> None:
        """Without one of its agents the lab is ended; one that is being built fails for this cause (loop thread)."""
        if self._stopping or node not in self._nodes:
            return
        self._cause = self._cause or f"the container of {node} ended"
        if self._alive:
            for other in self._nodes.values():
                other.hang_up()
            self._lose()


def loads(topology: Topology, preload: Sequence[str], at_balancer: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each node's agent is to import, by name: there is no process that could do it for all of them."""
    return {node.name: (*preload, *(at_balancer if node.role == "balancer" else ())) for node in topology.nodes}
