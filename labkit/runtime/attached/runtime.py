"""`AttachedRuntime`: the owner's side of a lab whose containers somebody else started.

Each host listens for an owner on a Unix socket, ``NAME.sock`` in the folder that the environment variable
``LABKIT_AGENTS`` names. One owner at a time has the lab, and when it goes, whichever way, each host ends what it began
there and is as new (`labkit.runtime.container.listen`). The containers stay.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labkit.errors import LabNotRunning, RuntimeUnavailable
from labkit.runtime import AGENTS
from labkit.runtime.apart import Apart, loads
from labkit.runtime.greeted import GreetedNode
from labkit.runtime.loop import StreamLoop
from labkit.topology import Topology

from .place import placed

USUAL = Path("/dev/shm/labkit")
SUFFIX = ".sock"
_READY_SECONDS = 30.0  # for containers that are still starting
_BUSY_SECONDS = 5.0  # for an owner that is just leaving
_CONNECT_SECONDS = 1.0
_PAUSE = 0.05


class InUse(RuntimeUnavailable):
    """Somebody else has the lab."""


class AttachedNode(GreetedNode):
    """`Node` in a container of somebody else's."""

    def administer(self, target: str, /, *arguments: object) -> None:
        if "net_admin" not in self.hello["rights"]:
            raise RuntimeUnavailable(
                f"Nobody may change the network of {self.name} in a lab that Compose started. "
                'Use Lab(runtime="docker") or Lab(runtime="netns"), where labkit starts the hosts itself.'
            )
        self.call(target, *arguments)


class AttachedRuntime(Apart[AttachedNode]):
    """`Runtime` on hosts that are there; one lab at a time, started at most once.

    agents: the folder with their sockets, unless the environment names it. ready, busy: how long, in seconds, to wait
    for hosts that do not listen yet, and for another owner to leave.
    """

    name = "docker"

    def __init__(
        self, agents: Path | None = None, *, ready: float = _READY_SECONDS, busy: float = _BUSY_SECONDS
    ) -> None:
        super().__init__()
        self._agents = agents or Path(os.environ.get(AGENTS) or USUAL)
        self._ready = ready
        self._busy = busy
        self._loop: StreamLoop | None = None

    def start(self, topology: Topology, preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> Topology:
        """Raises RuntimeUnavailable with the remedy; then the hosts are left to others."""
        try:
            return self._attach(topology, loads(topology, preload, at_balancer))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Leave the hosts: what runs in them ends, they themselves stay."""
        if self._of_another():
            return
        self._stopping = True
        self._alive = False
        loop, self._loop = self._loop, None
        if loop:
            loop.close()

    def _attach(self, topology: Topology, modules: Mapping[str, Sequence[str]]) -> Topology:
        names = [node.name for node in topology.nodes]
        self._look_for(names, topology)
        self._loop = loop = StreamLoop(topology.name)
        deadline = time.monotonic() + self._ready
        first = topology.balancer.name  # who has it gets the others too, so that two owners never each have some
        self._meet(loop, [first], modules, deadline)
        self._meet(loop, [name for name in names if name != first], modules, deadline)
        self._nodes = {name: self._nodes[name] for name in names}
        there = placed(topology, {name: node.hello["network"] for name, node in self._nodes.items()})
        self._is_there()
        return there

    def _look_for(self, names: Iterable[str], topology: Topology) -> None:
        try:
            there = sorted(entry.stem for entry in self._agents.iterdir() if entry.suffix == SUFFIX)
        except OSError as error:
            raise RuntimeUnavailable(
                f"There is no lab to attach to: {self._agents}: {error.strerror}. It is in the notebook's container of "
                f"docker/compose.yaml, once `docker compose up -d` has wired the hosts; {AGENTS} names another folder."
            ) from error
        missing = [name for name in names if name not in there]
        if missing and not {*there} <= {*names}:  # those that only wait for their wiring are called until they answer
            raise RuntimeUnavailable(
                f"The lab in {self._agents} is not {topology.source}: it has no {', '.join(missing)}, only "
                f"{', '.join(there) or 'nobody'}. Lab() without a topology takes the default one; docker/README.md "
                "says how to have Compose start another."
            )

    def _meet(self, loop: StreamLoop, names: list[str], modules: Mapping[str, Sequence[str]], deadline: float) -> None:
        """Become the owner of the hosts called so, in whatever order they let us."""
        calling: dict[str, AttachedNode | None] = dict.fromkeys(names)
        busy_until: float | None = None
        while calling:
            for name, node in list(calling.items()):
                if node is None:
                    calling[name] = self._call(loop, name)
                elif not node.heard():
                    continue
                elif node.hello and "refused" not in node.hello:
                    del calling[name]
                    self._take(node, modules[name])
                else:  # somebody else has it, or it ended
                    calling[name] = None
                    busy_until = busy_until or time.monotonic() + self._busy
                    if node.hello and time.monotonic() > busy_until:
                        raise InUse(node.hello["refused"])
            if time.monotonic() > deadline:
                raise RuntimeUnavailable(
                    f"No answer within {self._ready:.0f} s from {', '.join(calling)} (in {self._agents}). "
                    "`docker compose ps` shows which containers run, `docker compose logs` what they say; "
                    "`docker compose up -d` starts and wires what is missing. Was `sockets` started again by itself? "
                    "Then restart the notebook's container too."
                )
            if calling:
                time.sleep(_PAUSE)

    def _call(self, loop: StreamLoop, name: str) -> AttachedNode | None:
        """Connect to the host; None if it does not listen."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(str(self._agents / f"{name}{SUFFIX}"))
        except OSError:
            connection.close()
            return None
        return AttachedNode(name, connection, loop, self._agent_ended)

    def _take(self, node: AttachedNode, modules: Sequence[str]) -> None:
        node.fits(f"of {node.name}")
        self._nodes[node.name] = node
        with contextlib.suppress(LabNotRunning):
            node.load(modules)
        if node.gone is not None:
            self._agent_ended(node.name)  # it ended before it was one of ours
