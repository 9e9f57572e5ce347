"""What an L7 engine is to the balancer, whichever proxy stands behind it, and what all of them keep."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from labkit.balancer.inward import Inward
from labkit.balancer.policy import Forward, L7Policy
from labkit.topology import Listener

Relaying = tuple[tuple[Forward, ...], list[tuple[str, int]]]  # what is relayed; where the proxy listens for it
Served = tuple[L7Policy, list[tuple[str, int]]]  # the policy without its forwards; where the proxy listens for it
KEPT = 50_000  # request events, about 200 MB at most; the oldest go first


class Proxy(Protocol):
    """An engine that carries out L7 policies in a node. Thread-safe."""

    name: str
    remedy: str  # what starts it, in words

    def start(self) -> None:
        """Begin starting the proxy, if none runs; `ready` waits for it. LabNotRunning if the node is gone."""

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until the proxy listens. EngineError if it died or takes longer than *timeout* seconds."""

    @property
    def alive(self) -> bool: ...

    def inward(self, listeners: Sequence[Listener], http3: bool = False) -> tuple[Inward, ...]:
        """Where the kernel must send what comes for *listeners*; nothing for a proxy that listens there itself.

        http3: what comes over UDP for those of HTTPS, too.
        """

    def apply(self, policy: L7Policy) -> Served:
        """Route by *policy*: in force for every request begun after this returns. EngineError."""

    def routes(self) -> Served:
        """What is in force, by the live proxy's own word. EngineError."""

    def close_unused(self) -> None:
        """Close idle connections to backends that no route leads to any more. EngineError."""

    def reset(self, addresses: Sequence[str]) -> int:
        """End the proxy's connections to a backend at *addresses* with a reset. How many those were. EngineError."""

    def events(self) -> list[dict[str, Any]]:
        """All ``request`` events so far, oldest first; of what has been answered only the `forgotten` lack."""

    def secrets(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events of connections open since *since_ns*; complete for what `events` gave before."""

    @property
    def forgotten(self) -> int:
        """How many of the oldest events `events` no longer gives."""

    def pairs(self) -> tuple[list[tuple[tuple[str, int], tuple[str, int]]], int]:
        """Which connections it has together at this moment: a client's end, and its own end towards a backend; and how
        many bytes of memory it has to itself. Nothing and 0 where it does not run."""

    def rule_errors(self) -> tuple[list[dict[str, Any]], int]:
        """The failures of functions, oldest first; and how many are forgotten. Nothing where no Python runs."""

    def lacks(self, since_ns: int = 0) -> list[str]:
        """What `events` cannot tell of the time since *since_ns* (Unix time), in words."""

    def stop(self) -> None:
        """End the proxy. Idempotent."""

    def abandon(self) -> None:
        """Its node is about to end: that it ends with it is no news."""


class Relayer(Protocol):
    """An engine that relays TCP connections without reading them (L4 with style "proxy"). Thread-safe."""

    name: str

    def start(self) -> None: ...

    def ready(self, timeout: float = 30.0) -> None: ...

    def closed(self) -> tuple[Inward, ...]:
        """Its own ports, at which nobody is served who asks there himself; none before it has run."""

    def relays_inward(self, forwards: Sequence[Forward]) -> tuple[Inward, ...]:
        """Where the kernel must send what comes for *forwards*."""

    def relay(self, forwards: Sequence[Forward]) -> tuple[Forward, ...]:
        """Relay by *forwards*: in force for every connection that begins after this returns. What was relayed before.
        EngineError."""

    def relays(self) -> Relaying:
        """What is in force, by the live proxy's own word. EngineError."""


class Told(deque[dict[str, Any]]):
    """The last events, and how many there were before them."""

    forgotten = 0
    forgotten_ns = 0  # when the newest of them ended (Unix time)

    def append(self, event: dict[str, Any]) -> None:
        if len(self) == self.maxlen:
            self.forgotten += 1
            self.forgotten_ns = max(self.forgotten_ns, int(self[0].get("ended_ns") or 0))
        super().append(event)
