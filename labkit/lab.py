"""`Lab`: the one place where runtime, traffic, balancer and taps are wired together.

A lab is a topology that a runtime can boot. Everything else is reached through it: hosts by name, the
balancer, captures. Views are loaded only when something is displayed.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from labkit import runtime as runtimes
from labkit.balancer.balancer import Balancer
from labkit.balancer.nftables import PRELOAD as BALANCER_PRELOAD
from labkit.capture import Capture
from labkit.certificates import Authority
from labkit.errors import CaptureError, LabError, LabNotRunning, RuntimeUnavailable, TopologyError
from labkit.faults import Faults
from labkit.runtime.protocol import Node, Runtime
from labkit.taps import PRELOAD as TAPS_PRELOAD
from labkit.taps.collector import Taps
from labkit.taps.filters import compile_filter
from labkit.taps.limits import Limits
from labkit.taps.places import addresses, choose
from labkit.topology import Topology, default, read, validate
from labkit.traffic import PRELOAD as TRAFFIC_PRELOAD
from labkit.traffic.host import Backend, Host
from labkit.traffic.keylog import secrets_events
from labkit.uninterrupted import uninterrupted
from labkit.wording import near_miss, shown

_READY_SECONDS = 30.0
_CAPTURE = ("filter", "packets", "bytes", "seconds", "probes")


class Lab:
    """A lab of clients, a balancer and backends as real network hosts.

    topology: None for the default lab, a path to a TOML file, or a `Topology`. runtime: "netns", "docker", or "auto",
    the first of these that works here.
    Raises TopologyError at once when the topology is wrong; nothing runs before `start`.
    """

    def __init__(self, topology: Topology | str | Path | None = None, *, runtime: str = "auto") -> None:
        self._wanted = self._topology = _resolve(topology)
        runtimes.check(runtime)  # an unknown kind is refused here, not at start
        self._kind = runtime
        self._runtime: Runtime | None = None
        self._lock = threading.RLock()
        self._ending: Any = None
        self._state = "was not started"
        self._authority = Authority(self._topology)
        identity = partial(self._authority.identity, self._topology.balancer.name)
        self._balancer = Balancer(
            _provider(weakref.ref(self), self._topology.balancer.name),
            self._topology,
            identity,
            self._authority.named,
            _knowing(weakref.ref(self)),
            _foreign(weakref.ref(self)),
        )
        self._hosts: dict[str, Host] = {node.name: self._host(node.name) for node in self._topology.nodes}
        servers = {backend.name: backend for backend in self.backends}
        self._faults = Faults(
            _nodes(weakref.ref(self)), self._topology, servers, self._balancer, _foreign(weakref.ref(self))
        )

    def start(self) -> Self:
        """Boot the lab; returns when every server answers. A running lab stays as it is.

        Raises RuntimeUnavailable with the remedy; then, as after an interrupt, nothing is left behind.
        """
        with self._lock:
            if self.running:
                return self
            self.stop()
            failures = []
            for runtime in runtimes.candidates(self._kind):
                try:
                    self._start_on(runtime)
                except RuntimeUnavailable as error:
                    failures.append((runtime.name, error))
                else:
                    return self
            raise runtimes.none_of(failures)

    def stop(self) -> None:
        """End every process of the lab; all its namespaces, interfaces and rules go with them. Idempotent."""
        with self._lock:
            if self._runtime is not None:
                self._tear_down("was stopped")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the lab was started and its nodes live."""
        return self._runtime is not None and self._runtime.running

    @property
    def topology(self) -> Topology:
        return self._topology

    @property
    def runtime(self) -> str:
        """The kind of runtime: of the running lab, or as asked for."""
        return self._runtime.name if self._runtime else self._kind

    @property
    def vip(self) -> str:
        """The balancer's IPv4 address that clients connect to."""
        return str(self._topology.vip4)

    @property
    def balancer(self) -> Balancer:
        return self._balancer

    @property
    def faults(self) -> Faults:
        """What can be broken on purpose: ``with lab.faults.backend_killed("api1"): ...``"""
        return self._faults

    @property
    def nodes(self) -> Mapping[str, Host]:
        """Every host by name, in the topology's order."""
        return MappingProxyType(self._hosts)

    @property
    def clients(self) -> tuple[Host, ...]:
        return tuple(self._hosts[node.name] for node in self._topology.clients)

    @property
    def backends(self) -> tuple[Backend, ...]:
        hosts = (self._hosts[node.name] for node in self._topology.backends)
        return tuple(host for host in hosts if isinstance(host, Backend))

    def capture(
        self,
        *vantages: str,
        filter: str | None = None,
        packets: int | None = None,
        bytes: int | None = None,
        seconds: float | None = None,
        probes: bool = False,
        **unknown: object,
    ) -> "Recorder":
        """A capture at *vantages* (all when none is named), to be used as a context manager.

        filter: as for tcpdump ("tcp port 80"); node names may stand for addresses ("host alice"). packets, bytes (of
        frames) and seconds: it ends by itself when one is reached, at all vantage points at the same time, and says
        that it is cut short. probes: keep the packets of the balancer's health checks, for ``cap.packets(probes=True)``
        and ``cap.connections(probes=True)``; without, they are not recorded. Raises CaptureError for what the lab does
        not have and for a filter that makes no sense.
        """
        for name in unknown:
            raise CaptureError(
                f"lab.capture() has no option {name!r}{near_miss(name, _CAPTURE)}; it takes vantage points, "
                f"and {', '.join(_CAPTURE)}."
            )
        choose(self._topology, vantages)  # what is wrong is refused here, not later
        if filter is not None:
            compile_filter(filter, addresses(self._topology))
        if not isinstance(probes, bool):
            raise CaptureError(
                f"probes is True or False, not {shown(probes)}: whether health checks' packets are kept."
            )
        return Recorder(self, vantages, filter, Limits(packets, bytes, seconds), probes)

    def panel(self) -> Any:
        """The control surface: mode switch, requests, the connection diagram (ipywidgets)."""
        from labkit.views.panel import panel

        return panel(self)

    def __getattr__(self, name: str) -> Host:
        hosts: dict[str, Host] = self.__dict__.get("_hosts", {})
        if name in hosts:
            return hosts[name]
        raise AttributeError(f"this lab has no host and no attribute {name!r}; its hosts are {', '.join(hosts)}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._hosts})

    def __repr__(self) -> str:
        state = f"{self._balancer.mode} on {self.runtime}" if self.running else self._state
        return f"<Lab {self._topology.name}: {state}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from labkit.views.lab import lab_bundle

        return lab_bundle(self)

    def _start_on(self, runtime: Runtime) -> None:
        self._ending = weakref.finalize(self, runtime.stop)
        try:
            self._settle(runtime.start(self._wanted, (*TRAFFIC_PRELOAD, *TAPS_PRELOAD, *BALANCER_PRELOAD)))
            self._runtime = runtime
            self._bring_up()
        except BaseException:
            self._tear_down("did not start")
            raise

    def _settle(self, topology: Topology) -> None:
        """The lab lives on the subnets that the runtime could give it."""
        if topology != self._topology:
            self._topology = topology
            self._authority.settle(topology)
            self._balancer.settle(topology)
            self._faults.settle(topology)
            for name, host in self._hosts.items():
                host.settle(topology.node(name))

    def _bring_up(self) -> None:
        for backend in self.backends:
            backend.start_server()
        self._balancer.start()
        deadline = time.monotonic() + _READY_SECONDS
        for backend in self.backends:
            backend.wait_ready(max(0.1, deadline - time.monotonic()))
        self._balancer.begin_checks((each.name, *port) for each in self.backends for port in each.ports)

    def _tear_down(self, state: str) -> None:
        self._state = state
        self._runtime = None
        self._balancer.forget()
        self._faults.forget()
        if self._ending:
            self._ending()  # runs once, whoever calls it

    @property
    def _secure(self) -> bool:
        """Whether anybody here serves TLS."""
        return any(listener.protocol == "https" for listener in self._topology.listeners)

    def _host(self, name: str) -> Host:
        node = self._topology.node(name)
        running = _provider(weakref.ref(self), name)
        own = partial(self._authority.client, name)
        if node.role != "backend":
            return Host(node, running, self._authority.trust, own)
        certificate = partial(self._authority.serving, name) if self._secure else None
        drain = partial(self._balancer.drain, name)
        return Backend(node, running, self._authority.trust, own, certificate=certificate, drain=drain)

    def _node(self, name: str) -> Node:
        runtime = self._runtime
        if runtime is None:
            raise LabNotRunning(f"{name} cannot be used: the lab {self._state}. Call lab.start() first.")
        if not runtime.running:
            cause = f": {runtime.cause}" if runtime.cause else ""
            raise LabNotRunning(f"{name} cannot be used: the lab died{cause}. Call lab.start() to boot it again.")
        return runtime.nodes[name]


class Recorder(Capture):
    """A capture being made: ``with lab.capture() as cap``. Afterwards it is a `Capture` like any other."""

    def __init__(
        self,
        lab: Lab,
        vantages: Sequence[str],
        filter: str | None = None,
        limits: Limits | None = None,
        probes: bool = False,
    ) -> None:
        super().__init__(None)
        self._lab: Lab | None = lab  # until it ends: a capture that is kept must not keep its lab
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

    def _events(self, lab: Lab) -> list[Mapping[str, Any]]:
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


def _nodes(lab: "weakref.ref[Lab]") -> Callable[[str], Node]:
    """Gives running nodes by name, without keeping the lab alive: a lab that nobody holds any more ends at once."""

    def node(name: str) -> Node:
        alive = lab()
        if alive is None:
            raise LabNotRunning(f"{name} cannot be used: its lab was discarded. Keep the Lab in a variable.")
        return alive._node(name)

    return node


def _knowing(lab: "weakref.ref[Lab]") -> Callable[[Sequence[str]], None]:
    """Has every host of the lab find further names at the VIP."""

    def know(names: Sequence[str]) -> None:
        alive = lab()
        if alive is not None and (runtime := alive._runtime) is not None:
            runtime.know(dict.fromkeys(names, alive.vip))

    return know


def _foreign(lab: "weakref.ref[Lab]") -> Callable[[object], bool]:
    """Tells whether something is a host, and of another lab."""

    def foreign(thing: object) -> bool:
        alive = lab()
        return isinstance(thing, Host) and alive is not None and alive.nodes.get(thing.name) is not thing

    return foreign


def _provider(lab: "weakref.ref[Lab]", name: str) -> Callable[[], Node]:
    return partial(_nodes(lab), name)


def _resolve(topology: Topology | str | Path | None) -> Topology:
    if isinstance(topology, str | Path):
        return read(topology)
    if not isinstance(topology, Topology | None):
        raise TopologyError(f"Lab({topology!r}): give the path of a TOML file, a Topology, or nothing for the default.")
    chosen = default() if topology is None else topology
    validate(chosen)
    return chosen
