"""`DockerRuntime`: the owner's side of a lab made of containers.

Each host is a container whose command is the agent, attached to the owner: when the owner ends, for whatever reason,
the engine closes the agent's input, the agent ends, and the engine removes the container. What is left then, the
networks, is found by its labels (`leftovers`).
"""

import sys
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from labkit.errors import RuntimeUnavailable
from labkit.runtime.apart import Apart, loads
from labkit.runtime.loop import StreamLoop
from labkit.topology import Topology, without_ipv6
from labkit.uninterrupted import uninterrupted

from . import image, leftovers, plan
from .engine import Engine, Taken
from .labels import this_process
from .node import ContainerNode
from .subnets import networks, placed

_TRIES = 8  # at subnets that others take at the same time
_READY_SECONDS = 60.0
_STOP_SECONDS = 3.0
_THREADS = 16
_IPV6 = "/proc/sys/net/ipv6"  # what the engine misses in a kernel without it


class DockerRuntime(Apart[ContainerNode]):
    """`Runtime` on a Docker engine; one lab at a time, started at most once."""

    name = "docker"

    def __init__(self) -> None:
        super().__init__()
        self._id = uuid.uuid4().hex[:8]
        self._loop: StreamLoop | None = None
        self._engine: Engine | None = None
        self._networks: dict[str, str] = {}

    @property
    def id(self) -> str:
        """What the labels of all that is this lab's say."""
        return self._id

    def start(self, topology: Topology, preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> Topology:
        """Raises RuntimeUnavailable with the remedy; then nothing is left behind.

        The first start builds the image, which takes minutes.
        """
        try:
            return self._boot(topology, loads(topology, preload, at_balancer))
        except BaseException:
            uninterrupted(self.stop)
            raise

    def stop(self) -> None:
        if self._of_another():
            return
        self._stopping = True
        self._alive = False
        if engine := self._engine:
            self._remove(engine)
            engine.close()
            self._engine = None  # in this order: what an interrupt cuts short can be done again

    def _remove(self, engine: Engine) -> None:
        """End every agent, and its container with it; then the networks."""
        loop, self._loop = self._loop, None
        if loop:
            loop.close()
        leftovers.remove(engine, self._id, _STOP_SECONDS)
        self._networks.clear()

    def _boot(self, topology: Topology, modules: Mapping[str, Sequence[str]]) -> Topology:
        self._engine = engine = Engine()
        tag = image.ensure(engine, _building)
        leftovers.sweep(engine)
        try:
            there = self._build(engine, tag, topology, modules)
        except RuntimeUnavailable as error:
            if _IPV6 not in str(error) or topology.vip6 is None:
                raise
            warnings.warn("The Docker engine's kernel has no IPv6: this lab has none either.", stacklevel=4)
            self._remove(engine)
            there = self._build(engine, tag, without_ipv6(topology), modules)
        self._is_there()
        return there

    def _build(self, engine: Engine, tag: str, topology: Topology, modules: Mapping[str, Sequence[str]]) -> Topology:
        there = self._make_networks(engine, topology)
        self._cause = ""
        self._loop = loop = StreamLoop(topology.name)
        for name, spec in plan.containers(there, self._id, this_process()).items():
            self._nodes[name] = ContainerNode(name, spec, tag, engine, self._agent_ended)
        _each(self._nodes.values(), lambda node: self._begin(node, loop, modules[node.name]), loop.close)
        return there

    def _make_networks(self, engine: Engine, topology: Topology) -> Topology:
        """The networks, on subnets that are free; returns the topology on these."""
        refused: list[str] = []  # others are making networks on them, which the engine does not list yet
        for _ in range(_TRIES):
            there = placed(topology, networks([*engine.subnets(), *refused]))
            for link, spec in plan.networks(there, self._id, this_process()).items():
                self._networks[link] = spec["name"]  # before it is there: an interrupt may come while it is made
                try:
                    engine.create_network(spec)
                except Taken:
                    refused.append(spec["subnet"])
                    break
            else:
                return there
            for name in self._networks.values():
                engine.remove_network(name)
            self._networks.clear()
        raise RuntimeUnavailable("Others keep taking subnets of this Docker engine. Call lab.start() again.")

    def _begin(self, node: ContainerNode, loop: StreamLoop, modules: Sequence[str]) -> None:
        node.create(self._networks)
        node.begin(loop, modules, _READY_SECONDS)


def _building(line: str) -> None:
    """A first start takes minutes: say so where the user looks, in a notebook too."""
    print(f"labkit: {line}", file=sys.stderr, flush=True)


def _each(nodes: Any, do: Callable[[ContainerNode], None], give_up: Callable[[], None]) -> None:
    """Do it for every node at the same time. Raises the first error, or an interrupt, once all have ended.

    give_up: called at an interrupt; what waits for a node ends by it.
    """
    threads = ThreadPoolExecutor(_THREADS, "labkit docker")
    try:
        for done in [threads.submit(do, node) for node in nodes]:
            done.result()
    except KeyboardInterrupt:
        give_up()
        raise
    finally:
        uninterrupted(partial(threads.shutdown, cancel_futures=True))
