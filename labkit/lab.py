"""`Lab`: the one place where runtime, traffic, balancer and taps are wired together.

A lab is a topology that a runtime can boot. Everything else is reached through it: hosts by name, the
balancer, captures. Views are loaded only when something is displayed.
"""

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from labkit import runtime as runtimes
from labkit.balancer.balancer import Balancer
from labkit.balancer.nftables import PRELOAD as BALANCER_PRELOAD
from labkit.certificates import Authority
from labkit.errors import CaptureError, LabNotRunning, RuntimeUnavailable, TopologyError
from labkit.faults import Faults
from labkit.recorder import Recorder
from labkit.runtime.protocol import Node, Runtime
from labkit.taps import PRELOAD as TAPS_PRELOAD
from labkit.taps.filters import compile_filter
from labkit.taps.limits import Limits
from labkit.taps.places import addresses, choose
from labkit.topology import Topology, default, read, validate
from labkit.traffic import PRELOAD as TRAFFIC_PRELOAD
from labkit.traffic.host import Backend, Host
from labkit.uninterrupted import uninterrupted
from labkit.wording import near_miss, shown

_READY_SECONDS = 30.0
_CAPTURE = ("filter", "packets", "bytes", "seconds", "probes")


class Lab:
    """A lab of clients, a balancer and backends as real network hosts.

    topology: None for the default lab, a path to a TOML file, or a `Topology`. runtime: "netns", "docker", or "auto",
    the first of these that works here; where a lab that Compose started is at hand, "auto" is that one (see `attach`).
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

    @classmethod
    def attach(cls, topology: Topology | str | Path | None = None) -> Self:
        """A lab on containers that are there already, as docker/compose.yaml starts them; it runs.

        topology: that of the containers, the default one unless given; on which subnets they are is found out. The
        environment variable ``LABKIT_AGENTS`` names the folder with their sockets. Raises RuntimeUnavailable if there
        is no such lab, or somebody else has it. `stop` leaves the containers, as new.
        """
        return cls(topology, runtime="attached").start()

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
    ) -> Recorder:
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
            self._settle(runtime.start(self._wanted, (*TRAFFIC_PRELOAD, *TAPS_PRELOAD), BALANCER_PRELOAD))
            self._runtime = runtime
            self._bring_up()
            self._state = "died"  # unless it is stopped
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
        def end() -> None:
            self._state = state
            self._runtime = None
            self._balancer.forget()
            self._faults.forget()
            if self._ending:
                self._ending()  # runs once, whoever calls it

        uninterrupted(end)

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
