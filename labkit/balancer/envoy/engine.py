"""The owner's side of Envoy: starts it in lb, gives it configurations made of policies, collects what it logged.

All that Envoy shall do is decided here, by pure functions; its task writes files and waits until they are in force.
What it logs stays with the task until it is asked for, and is parsed here then.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from labkit.balancer.connections import Pair
from labkit.balancer.inward import Inward
from labkit.balancer.policy import Forward, L7Policy
from labkit.balancer.proxy import KEPT, Served
from labkit.balancer.proxy_life import Life
from labkit.balancer.proxy_owner import Owner
from labkit.errors import EngineError, TaskError
from labkit.runtime.protocol import Message, Node, Task
from labkit.topology import Listener

from . import names, relayed
from .bootstrap import bootstrap
from .configuration import Configuration, Relaying, configuration
from .listeners import Identity
from .requests import event_of
from .routes import routes_file

_TASK, _BINARY = "labkit.balancer.envoy.task:main", "labkit.balancer.envoy.binary:binary"
_LEGS = ("front", "back")


class EnvoyEngine(Owner):
    """The production L7 engine in *node*, on *addresses* at ports of its own, which `inward` tells; and L4's TCP proxy.

    listeners: those that may end here. taken: all listeners of the lab, whose ports are left alone. identity: gives
    certificate, key and the lab's root (PEM) when it is started; without it TLS is not spoken. certificate: gives
    certificate and key (PEM) for a further name of a policy. on_death: called with the reason, on the runtime's reader
    thread, when Envoy ends unasked.
    """

    name = "envoy"
    remedy = 'lab.balancer.l7(engine="envoy")'
    dies_with = "the requests under way, and those answered in the last 10 ms,"
    tells_ends = False

    def __init__(
        self,
        node: Node,
        addresses: Sequence[str],
        listeners: Sequence[Listener],
        on_death: Callable[[str], None],
        identity: Callable[[], Sequence[str]] | None = None,
        certificate: Callable[[str], Sequence[str]] | None = None,
        taken: Sequence[Listener] = (),
    ) -> None:
        super().__init__(node, on_death)
        self._ports = names.ports(listeners, taken or listeners)
        tcp = [listener for listener in taken if listener.transport == "tcp"]
        self._relay_ports = names.ports(tcp, taken, names.FIRST_RELAY_PORT)
        self._addresses = tuple(addresses)
        self._policy, self._relayed = L7Policy((), ()), tuple[Forward, ...]()  # what was taken last
        self._places = names.places(addresses, self._ports)
        self._identity_of = identity
        self._certificate = certificate
        self._identity: Identity | None = None
        self._folder = self._binary = ""
        self._configuration: Configuration | None = None  # the last one that was taken
        self._policies: dict[int, L7Policy] = {}
        self._relays_open = relayed.Open()
        self._versions = itertools.count(1)
        self._lives = itertools.count(1)
        self._life = 0
        self._reading, self._applying = threading.Lock(), threading.Lock()
        self._next = 0
        self._keys_next = dict.fromkeys(_LEGS, 0)
        self._left: list[tuple[int, list[bytes]]] = []  # what it had logged when it ended, from which number on
        self._lost_ns = 0  # when lines were lost with the task that had them

    def inward(self, listeners: Sequence[Listener], http3: bool = False) -> tuple[Inward, ...]:
        """Where the kernel is to send what comes for those of *listeners* that end here."""
        quic = [one for one in listeners if http3 and one.protocol == "https"]
        return (
            *(Inward(listener, self._ports[listener]) for listener in listeners),
            *(Inward(listener, self._ports[listener], transport="udp") for listener in quic),
        )

    def closed(self) -> tuple[Inward, ...]:
        """Envoy's own ports, once it has run: nobody is to come there but by way of a listener, lest an old policy be
        asked."""
        if self._run is None:
            return ()
        quic = [one for one in self._ports if one.protocol == "https"]
        return (
            *(Inward(listener, port, closed=True) for listener, port in self._ports.items()),
            *(Inward(listener, self._ports[listener], transport="udp", closed=True) for listener in quic),
            *(Inward(listener, port, opened=False, closed=True) for listener, port in self._relay_ports.items()),
        )

    def relays_inward(self, forwards: Sequence[Forward]) -> tuple[Inward, ...]:
        """Where the kernel is to send what comes for those of *forwards* that are relayed here."""
        return tuple(Inward(one.listener, self._relay_ports[one.listener], opened=False) for one in forwards)

    def start(self) -> None:
        """Begin starting Envoy, if none runs. EngineError without its binary, LabNotRunning if the node is gone."""
        self._binary = self._node.call(_BINARY)
        super().start()

    def _begin(self, run: Life) -> Task:
        with self._reading:
            self._collect_left()
            self._life, self._next, self._keys_next = next(self._lives), 0, dict.fromkeys(_LEGS, 0)
        self._identity = _identity(self._identity_of()) if self._identity_of else None
        self._folder = f"/tmp/labkit-envoy-{uuid4().hex[:12]}"
        started = json.dumps(bootstrap(self._folder))
        self._policy, self._relayed = L7Policy((), ()), ()
        self._configuration = empty = self._made(self._policy, 0, (), None)
        later = [routes_file(self._policy, 0, place) for place in self._places if place.quic]  # before their listener
        files = [file.plain() for file in (*empty.before, *empty.listeners, *empty.routes, *later)]
        return self._node.start(
            *(_TASK,),
            on_event=run.take,
            on_exit=run.end,
            binary=self._binary,
            folder=self._folder,
            bootstrap=started,
            files=files,
        )

    def apply(self, policy: L7Policy) -> Served:
        """Route by *policy*: in force for every request begun after this returns. Gives `routes` as they are then.

        Raises EngineError, with Envoy's own reason where it refuses; then what was in force stays.
        """
        with self._applying:
            version = next(self._versions)
            self._policies[version] = replace(policy, forwards=())
            self._carry_out(policy, version, self._relayed)
        return self.routes()

    def relay(self, forwards: Sequence[Forward]) -> tuple[Forward, ...]:
        """Relay what comes for *forwards*, from the next connection on, beside whatever is routed. What was relayed
        before. Raises EngineError, with Envoy's own reason where it refuses; then what was in force stays.

        A listener that was once there goes on listening: who is about to be accepted there must not be reset.
        """
        with self._applying:
            assert self._configuration
            before, named = self._relayed, {forward.listener for forward in forwards}
            left = (forward for forward in before if forward.listener not in named)
            self._carry_out(self._policy, self._configuration.version, (*forwards, *left))
            return before

    def relays(self) -> tuple[tuple[Forward, ...], list[tuple[str, int]]]:
        """What is relayed, if that is in force by Envoy's own word, and where it listens for it. EngineError."""
        state, made = self._current().ask("state"), self._configuration
        assert made
        if any(state["versions"].get(file.told_by) != file.version for file in (*made.before, *made.listeners)):
            raise EngineError("Envoy relays by other rules than it was given: call lab.balancer.l4(...) again.")
        ports = {self._relay_ports[forward.listener] for forward in self._relayed}
        return self._relayed, [(address, port) for address, port in state["listening"] if port in ports]

    def _carry_out(self, policy: L7Policy, version: int, forwards: tuple[Forward, ...]) -> None:
        made = self._made(policy, version, forwards, self._configuration)
        steps = [[file.plain() for file in step] for step in (made.before, made.listeners, made.routes, made.after)]
        self._current().ask("apply", steps=steps)
        self._configuration, self._policy, self._relayed = made, policy, forwards

    def routes(self) -> Served:
        """The policy whose routes are in force by Envoy's own word, and where it listens for them. EngineError."""
        state = self._current().ask("state")
        made = self._configuration
        assert made
        if any(state["versions"].get(file.told_by) != file.version for file in made.routes):
            raise EngineError("L7 engine envoy runs other routes than it was given: call lab.balancer.l7() again.")
        policy = self._policies.get(made.version, L7Policy((), ()))
        ended = {place.port for place in self._places if place.listener in policy.listeners}
        return policy, [(address, port) for address, port in state["listening"] if port in ended]

    def close_unused(self) -> None:
        """Nothing: Envoy closes idle connections to backends that no route leads to when it learns of that."""

    def reset(self, addresses: Sequence[str]) -> int:
        """End Envoy's connections to a backend at *addresses* with a reset. How many those were. EngineError."""
        return int(self._current().ask("reset", addresses=list(addresses))["reset"])

    def pairs(self) -> tuple[list[Pair], int]:
        """The WebSockets and relayed connections on record, and Envoy's memory in bytes; the rest it shares."""
        if not self._listens():
            return [], 0
        found = [
            (_end(event["front"]["client"]), _end(event["back"]["client"]))
            for event in self.events()
            if event["back"] and (event["kind"] == "relay" or event["websocket"])
        ]
        return found, int(self._current().ask("memory")["bytes"])

    def events(self) -> list[dict[str, Any]]:
        """All ``request`` and ``relay`` events so far, oldest first; of what has been answered or has reached a backend
        only the `forgotten` lack."""
        with self._reading:
            if self._listens():
                try:
                    self._collect()
                except (EngineError, TaskError):
                    if self.alive:
                        raise
            self._collect_left()
            return [relayed.of_this_moment(event) for event in self._told]

    def secrets(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events since *since_ns*, and those of before that are kept: Envoy does not say which of its
        connections a handshake was of, and so not which have ended."""
        with self._reading:
            if self._identity and self._listens():
                try:
                    self._collect_keys()
                except (EngineError, TaskError):
                    if self.alive:
                        raise
        return super().secrets(since_ns)

    def lacks(self, since_ns: int = 0) -> list[str]:
        """What `events` cannot tell of the time since *since_ns* (Unix time), in words."""
        lost = ["the requests that Envoy had logged and nobody had asked for when its task was killed"]
        return [*super().lacks(since_ns), *(lost if self._lost_ns > since_ns else [])]

    def _ended(self, reason: str | None) -> None:
        if reason is not None and self._run is not None and not self._run.last_words:
            self._lost_ns = time.time_ns()
        super()._ended(reason)

    def _made(
        self, policy: L7Policy, version: int, forwards: tuple[Forward, ...], before: Configuration | None
    ) -> Configuration:
        reaches, ways, quic = (before.reaches, before.ways, before.quic) if before else ((), (), False)
        identity = self._identity
        if identity and policy.tls and policy.tls.names and self._certificate:
            named = [self._certificate(name) for name in policy.tls.names]
            identity = replace(identity, named=tuple((chain, key) for chain, key in named))
        relaying = Relaying(forwards, self._addresses, self._relay_ports)
        return configuration(policy, version, self._places, self._folder, identity, reaches, relaying, ways, quic)

    def _collect(self) -> None:
        run = self._current()
        more = True
        while more:
            page = run.ask("log", start=self._next)
            if page["start"] > self._next:
                self._told.forgotten += page["start"] - self._next
                self._told.forgotten_ns = max(self._told.forgotten_ns, self._told[-1]["time_ns"] if self._told else 1)
            self._take_lines(page["lines"], page["start"])
            self._next, more = page["next"], page["more"]

    def _collect_left(self) -> None:
        left, self._left = self._left, []
        for start, lines in left:
            known = max(0, self._next - start)
            self._take_lines(lines[known:], start + known)

    def _take_lines(self, lines: Sequence[bytes], serial: int) -> None:
        ports = {port: listener.port for listener, port in self._ports.items()}
        relay_ports = {port: listener.port for listener, port in self._relay_ports.items()}
        for place, line in enumerate(lines[-KEPT:], serial + max(0, len(lines) - KEPT)):
            if relayed.is_one(line):
                event = self._relays_open.take(line, self._life, relay_ports)
            else:
                event = event_of(line, self._life, place, self._policies, ports)
            if event:
                self._told.append(event)

    def _collect_keys(self) -> None:
        more = True
        while more:
            found = self._current().ask("keys", start=self._keys_next)
            for leg in _LEGS:
                self._take_keys(leg, found[leg]["lines"])
                self._keys_next[leg] = found[leg]["next"]
            more = any(found[leg]["lines"] for leg in _LEGS)

    def _take_keys(self, leg: str, lines: Sequence[Sequence[Any]]) -> None:
        """Lines of one handshake have its client's random in common, and follow each other closely."""
        handshakes: dict[str, dict[str, Any]] = {}
        for time_ns, line in lines:
            words = line.decode("ascii", "replace").split()
            if len(words) == 3:
                message = {"time_ns": time_ns, "leg": leg, "connection": f"{leg} {words[1]}", "lines": []}
                handshakes.setdefault(words[1], message)["lines"].append(" ".join(words))
        for message in handshakes.values():
            self._secrets.put(message)

    def _take(self, message: Message) -> None:
        if message["kind"] == "lines":
            self._left.append((message["start"], message["lines"]))


def _end(end: Sequence[Any]) -> tuple[str, int]:
    return str(end[0]), int(end[1])


def _identity(texts: Sequence[str]) -> Identity:
    chain, key, root = texts
    return Identity(chain, key, root)
