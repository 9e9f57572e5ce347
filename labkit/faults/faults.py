"""`Faults`: what can be broken in a lab, one call each: ``with lab.faults.backend_killed("api1"): …``

Checks what is asked, and says which steps a fault is made of. The steps run inside the nodes: rules in the kernel
(`labkit.balancer.nftables.faulty`, by its dotted name), routes (`labkit.faults.routes`), servers killed and restored.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, Protocol

from labkit.errors import FaultError
from labkit.faults import reach, words
from labkit.faults.fault import Fault, Step
from labkit.runtime.protocol import Node
from labkit.topology import Topology
from labkit.wording import near_miss, shown

RULES = "labkit.balancer.nftables.faulty"
ROUTES = "labkit.faults.routes"
FIRST_PORT = 40_000
MOST_PORTS = 128  # the kernel tries no more in search of a free one, RFC 6056's sense of random
SMALLEST_MTU, USUAL_MTU = 1280, 1500  # RFC 8200 §5; Ethernet
KEPT = 1_000  # events


class Server(Protocol):
    """A backend, as far as it is killed and restored here."""

    @property
    def serving(self) -> bool: ...
    def kill(self) -> None: ...
    def start_server(self) -> None: ...
    def wait_ready(self) -> None: ...


class Faults:
    """The faults of a lab: ``lab.faults``. Each method gives a `Fault` that begins with its ``with`` block.

    node: gives a running node by name, or raises LabNotRunning. servers: the backends by name. forwarding: says which
    listeners are forwarded now, and how. foreign: tells whether something is a host of another lab. What cannot have an
    effect with style="dsr" is refused when it begins.
    """

    def __init__(
        self,
        node: Callable[[str], Node],
        topology: Topology,
        servers: Mapping[str, Server],
        forwarding: reach.Forwarding,
        foreign: Callable[[object], bool] = lambda _: False,
    ) -> None:
        self._node = node
        self._topology = topology
        self._servers = servers
        self._forwarding = forwarding
        self._foreign = foreign
        self._lock = threading.Lock()
        self._active: dict[str, Fault] = {}
        self._events: list[dict[str, Any]] = []

    def settle(self, topology: Topology) -> None:
        """The lab is about to begin with other addresses than it was described with."""
        self._topology = topology

    def backend_killed(self, backend: object, *, silently: bool = False) -> Fault:
        """The server of *backend* (a name, or ``lab.api1``) dies in mid-connection.

        silently: its whole host falls silent, as in a power cut, so that nobody is told (TCP and UDP, of every server
        there). Otherwise the lab's own server is killed (SIGKILL), and its kernel answers in its stead.
        """
        name = self._backend(backend)
        if _flag("backend_killed", "silently", silently):
            steps, texts = [self._rules(name, "silent", "silent")], words.BACKEND_SILENT
        else:
            steps, texts = [self._kill(name)], words.BACKEND_KILLED
        called = f"backend_killed({name!r}{', silently=True' if silently else ''})"
        return self._fault(called, texts, [name], steps, backend=name)

    def all_backends_down(self, *, answer: Literal["reset", "drop"] = "reset") -> Fault:
        """Every server dies, and lb refuses what it would forward: answer="reset" tells the client, "drop" does not.

        At L7 the proxy still accepts, and answers for itself: what is forwarded when the fault begins is refused.
        """
        if answer not in ("reset", "drop"):
            raise FaultError(f'all_backends_down(answer={shown(answer)}): the answer is "reset" or "drop".')
        texts, miss = (words.ALL_DOWN_RESET, None) if answer == "reset" else (words.ALL_DOWN_DROP, reach.UNDROPPED)
        steps = [self._refusing(reset=answer == "reset"), *map(self._kill, self._servers)]
        return self._fault(f"all_backends_down(answer={answer!r})", texts, self._servers, steps, miss)

    def conntrack_full(self, *, room: int = 0) -> Fault:
        """lb's connection table is full but for *room* connections: new ones are dropped, those that exist go on.

        Made by a rule that counts (``ct count``), since the kernel's own limit cannot be written without root.
        """
        _whole("conntrack_full", "room", room, 0, 1_000_000)
        steps = [self._rules(self._lb, "conntrack", "full", room=room)]
        return self._fault(
            f"conntrack_full(room={room})", words.CONNTRACK_FULL, ["conntrack"], steps, reach.UNTRACKED, room=room
        )

    def ports_exhausted(self, *, ports: int = 4) -> Fault:
        """Full NAT with so few source ports that they run out: *ports* for each port of each backend.

        New connections get them whatever the style is otherwise; those that exist keep their own.
        """
        _whole("ports_exhausted", "ports", ports, 1, MOST_PORTS)
        back = self._topology.balancer.interface(self._topology.back.name)
        addresses = [str(back.address4.ip), str(back.address6.ip) if back.address6 else None]
        first, last = FIRST_PORT, FIRST_PORT + ports - 1
        steps = [self._rules(self._lb, "ports", "few_ports", addresses=addresses, first=first, last=last)]
        values = {"ports": ports, "first": first, "last": last}
        return self._fault(
            f"ports_exhausted(ports={ports})", words.PORTS_EXHAUSTED, ["ports"], steps, reach.UNTRANSLATED, **values
        )

    def small_mtu(self, link: object = None, *, mtu: int = 1400, icmp: bool = True) -> Fault:
        """On the way out of lb onto *link* (the front link unless given) packets have *mtu* bytes at most.

        On the front link this hits large answers, on the back link large requests. icmp=False: the messages that would
        tell the sender are dropped too, a path MTU black hole. What was learned meanwhile is forgotten at the end.
        """
        balancer = self._topology.balancer
        links = [interface.link for interface in balancer.interfaces]
        name = links[0] if link is None else link
        if not isinstance(name, str) or name not in links:
            raise FaultError(
                f"small_mtu(): {self._lb} is on no link {shown(link)}{near_miss(link, links)}: "
                f"its links are {', '.join(links)}."
            )
        _whole("small_mtu", "mtu", mtu, SMALLEST_MTU, USUAL_MTU - 1)
        told = _flag("small_mtu", "icmp", icmp)
        texts = words.SMALL_MTU if told else words.BLACK_HOLE
        steps = [self._forgetting(), self._narrow(name, mtu)]
        if not told:
            steps.append(self._rules(self._lb, f"mtu_{name}", "black_hole"))
        called = f"small_mtu({name!r}, mtu={mtu}{'' if told else ', icmp=False'})"
        side = next(other for other in links if other != name)
        values = {"link": name, "side": side, "mtu": mtu}
        return self._fault(called, texts, [f"the MTU of {name}"], steps, reach.PAST_ROUTES, **values)

    @property
    def active(self) -> tuple[Fault, ...]:
        """Those in force now."""
        return tuple(self._active.values())

    def forget(self) -> None:
        """The lab has ended, and everything that was broken in it with it: nothing is in force any more."""
        for fault in self.active:
            fault.forget()

    def events(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``fault`` events since *since_ns* (Unix time), and of those in force then their beginning."""
        with self._lock:
            before = {event["fault"]: event for event in self._events if event["time_ns"] < since_ns}
            begun = [{**event, "time_ns": since_ns} for event in before.values() if event["state"] == "begun"]
            return begun + [event for event in self._events if event["time_ns"] >= since_ns]

    def __repr__(self) -> str:
        names = ("backend_killed", "all_backends_down", "conntrack_full", "ports_exhausted", "small_mtu")
        first = (str(getattr(type(self), name).__doc__).splitlines()[0] for name in names)
        lines = [f"  {name}: {line.replace('*', '').replace('`', '')}" for name, line in zip(names, first, strict=True)]
        state = ", ".join(self._active) or "none is in force"
        return "\n".join([f"<faults: {state}>", *lines])

    @property
    def _lb(self) -> str:
        return self._topology.balancer.name

    def _fault(
        self,
        name: str,
        texts: tuple[str, str],
        touches: Iterable[str],
        steps: list[Step],
        miss: reach.Miss | None = None,
        **values: object,
    ) -> Fault:
        """miss: why it has no effect on what is forwarded directly; None if it has."""
        happens, shows = (text.format(**values) for text in texts)
        check = partial(reach.check, name, miss, self._forwarding, self._topology.listeners) if miss else lambda: None
        return Fault(name, (happens, shows), touches, steps, self._told, check)

    def _told(self, state: str, fault: Fault) -> None:
        """A fault begins or has ended. FaultError if another that touches the same is in force."""
        with self._lock:
            if state == "begun":
                for other in self._active.values():
                    if both := sorted(fault.touches & other.touches):
                        raise FaultError(
                            f"{fault.name} cannot begin: {other.name} is in force and touches the same "
                            f"({', '.join(both)}); leave its with block first."
                        )
                self._active[fault.name] = fault
            else:
                self._active.pop(fault.name, None)
            text = f"{fault.explanation} Look for: {fault.look_for}"
            self._events.append(
                {"kind": "fault", "time_ns": time.time_ns(), "fault": fault.name, "state": state, "text": text}
            )
            del self._events[:-KEPT]

    def _backend(self, backend: object) -> str:
        name, there = getattr(backend, "name", backend), ", ".join(self._servers)
        if self._foreign(backend):
            raise FaultError(
                f"{name} is a host of another lab: use that lab's faults, or give one of this lab: there are {there}."
            )
        if not isinstance(name, str) or name not in self._servers:
            raise FaultError(f"There is no backend {shown(name)}{near_miss(name, self._servers)}: there are {there}.")
        return name

    def _rules(self, node: str, name: str, kind: str, **options: object) -> Step:
        """Rules in the kernel of *node*, in a table of that name."""
        return Step(
            lambda: self._node(node).administer(f"{RULES}:put", name, kind, options),
            lambda: self._node(node).administer(f"{RULES}:remove", name),
        )

    def _refusing(self, reset: bool) -> Step:
        """Rules in lb that refuse what it would forward."""
        vips = [str(self._topology.vip4), str(self._topology.vip6) if self._topology.vip6 else None]

        def refuse() -> None:
            ports = [[listener.transport, listener.port, listener.last_port] for listener in self._forwarding.forwarded]
            options = {"vips": vips, "ports": ports, "reset": reset}
            self._node(self._lb).administer(f"{RULES}:put", "down", "refuse", options)

        return Step(refuse, lambda: self._node(self._lb).administer(f"{RULES}:remove", "down"))

    def _kill(self, name: str) -> Step:
        server = self._servers[name]
        killed = []

        def kill() -> None:
            self._node(name)  # or there is no lab, and nothing begins
            if server.serving:  # else somebody had killed it before, and it stays so
                killed.append(name)
                server.kill()

        def restore() -> None:
            if killed:
                killed.clear()
                server.start_server()
                server.wait_ready()

        return Step(kill, restore)

    def _narrow(self, link: str, mtu: int) -> Step:
        found = self._topology.link(link)
        subnets = [str(subnet) for subnet in (found.subnet4, found.subnet6) if subnet]
        interface = self._topology.balancer.interface(link).name
        return Step(
            lambda: self._node(self._lb).administer(f"{ROUTES}:narrow", interface, subnets, mtu),
            lambda: self._node(self._lb).administer(f"{ROUTES}:widen", interface, subnets),
        )

    def _forgetting(self) -> Step:
        """All hosts forget what they learned of paths: before, or there is nothing to see, and afterwards."""

        def forget() -> None:
            for node in self._topology.nodes:
                self._node(node.name).administer(f"{ROUTES}:forget_paths")

        return Step(forget, forget)


def _flag(call: str, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise FaultError(f"{call}({name}={shown(value)}): {name} is True or False.")
    return value


def _whole(call: str, name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FaultError(f"{call}({name}={shown(value)}): {name} is a whole number from {least} to {most}.")
