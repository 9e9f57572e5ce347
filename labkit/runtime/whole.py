"""`Whole`: what labs of every kind share. A lab is whole or gone."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from labkit.errors import RuntimeUnavailable

from .stream import StreamNode


class Whole[N: StreamNode](ABC):
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
                self._add_names("".join(f"{address} {name}\n" for name, address in new.items()))
                self._known |= new

    @abstractmethod
    def _add_names(self, lines: str) -> None:
        """Add *lines* to what every host's /etc/hosts says."""

    def _is_there(self) -> None:
        """From now on it runs. RuntimeUnavailable if it has ended meanwhile."""
        self._alive = True
        if self._cause:
            raise RuntimeUnavailable(f"The lab ended as soon as it was there: {self._cause}. Call lab.start() again.")

    def _lose(self) -> None:
        """Every node is gone, and all that was begun there."""
        self._alive = False
        for node in self._nodes.values():
            node.lose(f"{node.name} is gone: the lab was stopped or died. Start it again with lab.start().")

    def _of_another(self) -> bool:
        """Whether this is a fork of the owner, whose lab it is not."""
        return os.getpid() != self._owner
