"""`Recorder`: a capture being made. It starts the taps, and in the end asks everybody for what only they know."""

import contextlib
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from labkit.balancer.balancer import Balancer
from labkit.capture import Capture
from labkit.errors import CaptureError, LabError
from labkit.faults import Faults
from labkit.runtime.protocol import Node
from labkit.taps.collector import Taps
from labkit.taps.limits import Limits
from labkit.topology import Topology
from labkit.traffic.host import Host
from labkit.traffic.keylog import secrets_events
from labkit.uninterrupted import uninterrupted


class Recorded(Protocol):
    """What is recorded: a lab."""

    @property
    def topology(self) -> Topology: ...
    @property
    def runtime(self) -> str: ...
    @property
    def nodes(self) -> Mapping[str, Host]: ...
    @property
    def balancer(self) -> Balancer: ...
    @property
    def faults(self) -> Faults: ...
    def _node(self, name: str) -> Node:
        """The running node, or LabNotRunning."""


class Recorder(Capture):
    """A capture being made: ``with lab.capture() as cap``. Afterwards it is a `Capture` like any other."""

    def __init__(
        self,
        lab: Recorded,
        vantages: Sequence[str],
        filter: str | None = None,
        limits: Limits | None = None,
        probes: bool = False,
    ) -> None:
        super().__init__(None)
        self._lab: Recorded | None = lab  # until it ends: a capture that is kept must not keep its lab
        self._vantages = vantages
        self._filter = filter
        self._limits = limits
        self._probes = probes
        self._taps: Taps | None = None
        self._discarded: Any = None
        self._lock = threading.Lock()
        self._since_ns = 0
        self._lacks: list[str] = []

    def start(self) -> Self:
        """Begin; returns when every vantage point records. CaptureError if it was used before."""
        lab = self._lab
        if self._taps is not None or lab is None:
            raise CaptureError("This capture was used already. Make a new one with lab.capture().")
        nodes = {name: lab._node(name) for name in lab.nodes}
        without = "" if self._probes else lab.balancer.health.expression
        taps = Taps(nodes, lab.topology, self._vantages, filter=self._filter, without=without, limits=self._limits)
        lab.balancer.look()
        self._since_ns = time.time_ns()
        try:
            taps.start()
            self._discarded = weakref.finalize(self, _close_elsewhere, taps)
            self._taps = taps
        except BaseException:
            taps.close()
            raise
        return self

    def stop(self) -> None:
        """End, once what is in flight has been seen. Idempotent.

        If the lab died meanwhile, the packets that had arrived are kept, and LabError is raised. An interrupt comes
        through when the capture has ended, complete.
        """
        if self._taps is not None:
            uninterrupted(self._finish)

    def _finish(self) -> None:
        with self._lock:
            taps, lab = self._taps, self._lab
            if taps is None or lab is None:
                return
            try:
                self.fill(
                    taps.stop(lambda: self._events(lab), lambda: [*lab.balancer.lacks(self._since_ns), *self._lacks])
                )
            except LabError:
                self.fill(taps.stop([topology_event(lab.topology, lab.runtime, self._since_ns)]))
                raise
            finally:
                if self.complete:
                    self._taps = self._lab = None
                    self._discarded.detach()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # An error in the block matters more than one that keeps us from reading its packets.
        with contextlib.suppress(LabError) if error else contextlib.nullcontext():
            self.stop()

    def _events(self, lab: Recorded) -> list[Mapping[str, Any]]:
        topology = topology_event(lab.topology, lab.runtime, self._since_ns)
        balancer = lab.balancer.events(self._since_ns)
        probes = lab.balancer.health.probing(self._since_ns, self._probes)
        secrets, self._lacks = secrets_events(lab.nodes.values(), self._since_ns, balancer)
        return [topology, probes, *balancer, *lab.faults.events(self._since_ns), *secrets]


def _close_elsewhere(taps: Taps) -> None:
    """End the taps of a capture that nobody holds any more; in a thread, since garbage is collected in any."""
    threading.Thread(target=taps.close, name="labkit taps", daemon=True).start()


def topology_event(topology: Topology, runtime: str, time_ns: int) -> dict[str, Any]:
    """Who is who, for the readers of a capture."""
    return {
        "kind": "topology",
        "time_ns": time_ns,
        "runtime": runtime,
        "vip": [str(address) for address in (topology.vip4, topology.vip6) if address],
        "pools": {name: list(backends) for name, backends in topology.pools.items()},
        "nodes": [
            {
                "name": node.name,
                "role": node.role,
                "interfaces": [interface.name for interface in node.interfaces],
                "macs": [interface.mac for interface in node.interfaces],
                "addresses": [
                    str(address.ip)
                    for interface in node.interfaces
                    for address in (interface.address4, interface.address6)
                    if address
                ],
            }
            for node in topology.nodes
        ],
    }
