"""The owner's side of the proxy: starts it in lb, gives it policies, collects what it tells.

Light: mitmproxy itself is imported in the node alone. When the proxy dies, whoever waits on it is told at
once, `on_death` is called once with the reason, and `start` starts another.
"""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from labkit.balancer.mitmproxy.keylog import KeyLog
from labkit.balancer.mitmproxy.messages import listener_to_plain
from labkit.balancer.plain import from_plain, to_plain
from labkit.balancer.policy import L7Policy
from labkit.errors import EngineError, TaskError
from labkit.runtime.protocol import Message, Node, Task
from labkit.topology import Listener

_TASK = "labkit.balancer.mitmproxy.task:main"
_KEPT = 50_000  # request events, about 200 MB at most; the oldest go first
Served = tuple[L7Policy, list[tuple[str, int]]]
_SECONDS = 5.0  # for an answer that takes a millisecond unless the proxy is at its limit


class MitmproxyEngine:
    """The inspecting L7 engine in *node*, listening on *addresses* at the ports of *listeners*.

    identity: gives certificate, key and the lab's root (PEM), asked for by `ready`; without it TLS is not spoken.
    certificate: gives certificate and key (PEM) for a further name of a policy.
    on_death: called with the reason, on the runtime's reader thread, when the proxy ends unasked.
    """

    def __init__(
        self,
        node: Node,
        addresses: Sequence[str],
        listeners: Sequence[Listener],
        on_death: Callable[[str], None],
        identity: Callable[[], Sequence[str]] | None = None,
        certificate: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._node = node
        self._arguments = {
            "addresses": list(addresses),
            "listeners": [listener_to_plain(listener) for listener in listeners],
        }
        self._identity = identity
        self._certificate = certificate
        self._on_death = on_death
        self._starting = threading.Lock()
        self._run: _Run | None = None
        self._told = Told(maxlen=_KEPT)
        self._secrets = KeyLog()
        self._died_ns = 0

    def start(self) -> None:
        """Begin starting the proxy, if none runs; `ready` waits for it. LabNotRunning if the node is gone."""
        with self._starting:
            if self._run is None or self._run.ended.is_set():
                run = _Run(self._told, self._secrets, self._death)
                run.task = self._node.start(_TASK, on_event=run.take, on_exit=run.end, **self._arguments)
                self._run = run

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until the proxy listens. Raises EngineError if it died or takes longer than *timeout* seconds."""
        run = self._current()
        if not run.settled.wait(timeout):
            raise EngineError(f"L7 engine mitmproxy in {self._node.name} does not listen after {timeout:g} s.")
        run.check()
        if self._identity:
            run.identify(self._identity)

    @property
    def alive(self) -> bool:
        return self._run is not None and not self._run.ended.is_set()

    def apply(self, policy: L7Policy) -> Served:
        """Route by *policy*: in force for every request begun after this returns. Gives `routes` as they are then.

        Raises EngineError.
        """
        run = self._current()
        if policy.tls and policy.tls.names and self._certificate:
            run.certify(policy.tls.names, self._certificate)
        return _served(run.ask("policy", policy=to_plain(policy)))

    def close_unused(self) -> None:
        """Close the proxy's idle connections to backends that no route leads to any more. EngineError."""
        self._current().ask("unused")

    def reset(self, addresses: Sequence[str]) -> int:
        """End the proxy's connections to a backend at *addresses* with a reset. How many those were. EngineError."""
        return int(self._current().ask("reset", addresses=list(addresses))["reset"])

    def routes(self) -> Served:
        """The policy the live proxy routes by, and the [address, port] it listens on, by its own word. EngineError."""
        return _served(self._current().ask("routes"))

    def events(self) -> list[dict[str, Any]]:
        """All ``request`` events so far, oldest first; of what has been answered only the `forgotten` lack."""
        if self.alive and self._current().settled.is_set():
            try:
                self._current().ask("flush")
            except EngineError:
                if self.alive:
                    raise
        return list(self._told)

    def secrets(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events of connections open since *since_ns*; complete for what `events` gave before."""
        return self._secrets.since(since_ns)

    @property
    def forgotten(self) -> int:
        """How many of the oldest events `events` no longer gives."""
        return self._told.forgotten

    def lacks(self, since_ns: int = 0) -> list[str]:
        """What `events` cannot tell of the time since *since_ns* (Unix time), in words."""
        found = []
        if self._died_ns > since_ns:
            found.append("the requests under way when the L7 engine mitmproxy died")
        if self._told.forgotten_ns > since_ns:
            found.append(f"the oldest requests at L7: {self._told.forgotten} are forgotten")
        return [*found, *self._secrets.lacks(since_ns)]

    def stop(self) -> None:
        """End the proxy. Idempotent."""
        with self._starting:
            if self._run is not None:
                self._run.stopping = True
                self._run.task.stop()

    def abandon(self) -> None:
        """Its node is about to end: that it ends with it is no news."""
        if self._run is not None:
            self._run.stopping = True

    def _death(self, reason: str) -> None:
        self._died_ns = time.time_ns()
        self._on_death(reason)

    def _current(self) -> "_Run":
        if self._run is None:
            raise EngineError("L7 engine mitmproxy was not started: call lab.balancer.l7().")
        return self._run


def _served(reply: Message) -> Served:
    return from_plain(reply["policy"]), [(address, port) for address, port in reply["listening"]]


class Told(deque[dict[str, Any]]):
    """The last events, and how many there were before them."""

    forgotten = 0
    forgotten_ns = 0  # when the newest of them ended (Unix time)

    def append(self, event: dict[str, Any]) -> None:
        if len(self) == self.maxlen:
            self.forgotten += 1
            self.forgotten_ns = max(self.forgotten_ns, int(self[0].get("ended_ns") or 0))
        super().append(event)


class _Run:
    """One life of the proxy: what it has told, and who waits for what."""

    def __init__(self, told: "Told", secrets: KeyLog, on_death: Callable[[str], None]) -> None:
        self.task: Task  # set by whoever starts it, before anybody asks
        self.settled = threading.Event()  # it listens, or it is over
        self.ended = threading.Event()
        self.stopping = False
        self._reason = ""
        self._told = told
        self._secrets = secrets
        self._on_death = on_death
        self._identifying = threading.Lock()
        self._identified = False
        self._certified: set[str] = set()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message | None]] = {}

    def ask(self, operation: str, **fields: Any) -> Message:
        """Send one operation and wait for its reply. Raises EngineError if the proxy dies or stays silent."""
        number = next(self._numbers)
        answer: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._waiting[number] = answer  # before looking whether it lives: from here on its end is told
        try:
            self.check()
            self.task.send({"op": operation, "id": number, **fields})
            reply = answer.get(timeout=_SECONDS)
        except queue.Empty:
            raise EngineError(f"L7 engine mitmproxy did not answer {operation!r} within {_SECONDS:g} s.") from None
        except TaskError as error:
            raise EngineError(f"L7 engine mitmproxy died ({error}).") from error
        finally:
            del self._waiting[number]
        if reply is None:
            self.check()
        return reply

    def identify(self, identity: Callable[[], Sequence[str]]) -> None:
        """Hand the proxy, once, what it ends TLS with. Raises EngineError."""
        with self._identifying:
            if not self._identified:
                self.ask("identity", identity=list(identity()))
                self._identified = True

    def certify(self, names: Sequence[str], certificate: Callable[[str], Sequence[str]]) -> None:
        """Hand the proxy, once, the certificates of *names*. Raises EngineError."""
        with self._identifying:
            new = {name: list(certificate(name)) for name in names if name not in self._certified}
            if new:
                self.ask("certificates", certificates=new)
                self._certified |= new.keys()

    def check(self) -> None:
        """EngineError if it is over, LabNotRunning if its node is."""
        if self.ended.is_set():
            try:
                self.task.check()
            except TaskError as error:
                raise EngineError(f"L7 engine mitmproxy died ({self._reason}).") from error

    def take(self, message: Message) -> None:
        """One message from the proxy (reader thread)."""
        match message["kind"]:
            case "request":
                self._told.append(message)
            case "secrets":
                self._secrets.put(message)
            case "closed":
                self._secrets.close(message["connection"], message["time_ns"])
            case "reply":
                waiting = self._waiting.get(message["id"])
                if waiting:
                    waiting.put(message)
            case "ready":
                self.settled.set()

    def end(self, reason: str | None) -> None:
        """The proxy's process is over (reader thread)."""
        self._secrets.close_all(time.time_ns())
        self._reason = (reason or "it ended by itself").strip().splitlines()[-1]
        self.ended.set()
        self.settled.set()
        for waiting in list(self._waiting.values()):
            waiting.put(None)
        if not self.stopping:
            self._on_death(self._reason)
