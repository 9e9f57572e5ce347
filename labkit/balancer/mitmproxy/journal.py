"""What the proxy remembers of a request, and the events it makes of it. No mitmproxy here.

An `Exchange` is filled while a request passes; when the proxy is done with it, `Journal.finish` sends it
to the owner. `Journal.flush` is the fence: its reply comes after the events of all requests that had been
answered when it was asked.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

Headers = list[list[str]]
Side = dict[str, Any]


@dataclass(slots=True)
class Exchange:
    """One request through the proxy; the fields of a ``request`` event (see `labkit.recording.model`)."""

    front: Side
    front_stream: int | None = None
    method: str = ""
    target: str = ""
    host: str = ""
    version: str = ""
    sni: str | None = None
    headers_received: Headers = field(default_factory=list)
    started_ns: int = field(default_factory=time.time_ns)
    request: str = field(default_factory=lambda: uuid4().hex[:12])
    status: int | None = None
    rule: str | None = None
    backend: str | None = None
    read: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    decided_ns: int | None = None
    ended_ns: int | None = None
    back: Side | None = None
    back_stream: int | None = None
    headers_forwarded: Headers | None = None
    websocket: bool = False
    error: str | None = None
    tried: list[str] = field(default_factory=list)  # "api1: why it failed", before the backend that was asked last

    def refuse(self, status: int) -> None:
        """The balancer answers in its own name; that is its decision, unless another one came first."""
        self.status = status
        if self.decided_ns is None:
            self.decided_ns = time.time_ns()


class Journal:
    """Exchanges under way, and what has been told to the owner. Used from the proxy's event loop alone."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._ending: set[str] = set()
        self._fences: list[tuple[int, set[str]]] = []

    def ending(self, exchange: Exchange) -> None:
        """The answer is complete and about to be passed on: fences asked for from now on wait for it."""
        self._ending.add(exchange.request)

    def finish(self, exchange: Exchange) -> None:
        """The proxy is done with it: tell the owner, then answer the fences that waited for it alone."""
        exchange.ended_ns = time.time_ns()
        self._send({"kind": "request", "time_ns": exchange.ended_ns, **asdict(exchange)})
        self._ending.discard(exchange.request)
        waiting, self._fences = self._fences, []
        for number, before in waiting:
            before.discard(exchange.request)
            self._answer(number, before)

    def flush(self, number: int) -> None:
        """Reply to *number* once everything that has ended by now is told."""
        self._answer(number, set(self._ending))

    def _answer(self, number: int, before: set[str]) -> None:
        if before:
            self._fences.append((number, before))
        else:
            self._send({"kind": "reply", "id": number})
