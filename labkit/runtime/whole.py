"""`Whole`: what labs of hosts that each have files of their own share. Such a lab is whole or gone."""

import os
import threading
from collections.abc import Mapping
from types import MappingProxyType

from .greeted import GreetedNode


class Whole[N: GreetedNode]:
    """The part of a `Runtime` that is about all nodes together; how they come to be is left to its subclasses."""

    def __init__(self) -> None:
        self._nodes: dict[str, N] = {}
        self._alive = False
        self._stopping = False
        self._cause = ""
        self._owner = os.getpid()
        self._known: dict[str, str] = {}
        self._knowing = threading.Lock()

    @property
    def nodes(self) -> Mapping[str, N]:
        return MappingProxyType(self._nodes)

    @property
    def running(self) -> bool:
        return self._alive

    @property
    def cause(self) -> str:
        return self._cause

    def know(self, names: Mapping[str, str]) -> None:
        with self._knowing:
            new = {name: address for name, address in names.items() if self._known.get(name) != address}
            if new:
                lines = "".join(f"{address} {name}\n" for name, address in new.items())
                for node in self._nodes.values():
                    node.call("labkit.runtime.network.hosts:append", node.hello["hosts"], lines)
                self._known |= new

    def _agent_ended(self, node: str) -> None:
        """Without one of its agents the lab is ended; one that is being built fails for this cause (loop thread)."""
        if self._stopping or node not in self._nodes:
            return
        self._cause = self._cause or f"the container of {node} ended"
        if self._alive:
            self._alive = False
            for other in self._nodes.values():
                other.hang_up()
                other.lose(f"{other.name} is gone: the lab was stopped or died. Start it again with lab.start().")
