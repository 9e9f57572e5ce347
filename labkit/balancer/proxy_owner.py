"""What the owners of all proxies have in common: one life after the other, and what is kept over all of them."""

import threading
import time
from collections.abc import Callable
from typing import Any

from labkit.balancer.keylog import KeyLog
from labkit.balancer.proxy import KEPT, Told
from labkit.balancer.proxy_life import Life
from labkit.errors import EngineError
from labkit.runtime.protocol import Message, Node, Task


class Owner:
    """Starts the proxy's task in *node*, and another when that has died; `_begin` says how, `_take` what it tells.

    on_death: called with the reason, on the runtime's reader thread, when the proxy ends unasked.
    """

    name: str
    remedy: str  # how it is started
    dies_with = "the requests under way"  # what nobody learns of when it dies
    tells_ends = True  # whether it says which of its TLS connections have ended

    def __init__(self, node: Node, on_death: Callable[[str], None]) -> None:
        self._node = node
        self._on_death = on_death
        self._starting = threading.Lock()
        self._run: Life | None = None
        self._told = Told(maxlen=KEPT)
        self._secrets = KeyLog(ends_unknown=not self.tells_ends)
        self._died_ns = 0

    def _begin(self, run: Life) -> Task:
        """Start the task, with ``on_event=run.take, on_exit=run.end``."""
        raise NotImplementedError

    def _take(self, message: Message) -> None:
        """One message from the proxy that is no reply (reader thread)."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin starting the proxy, if none runs; `ready` waits for it. LabNotRunning if the node is gone."""
        with self._starting:
            if self._run is None or self._run.ended.is_set():
                run = Life(self.name, self._take, self._ended)
                run.task = self._begin(run)
                self._run = run

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until the proxy listens. Raises EngineError if it died or takes longer than *timeout* seconds."""
        run = self._current()
        if not run.settled.wait(timeout):
            raise EngineError(f"L7 engine {self.name} in {self._node.name} does not listen after {timeout:g} s.")
        run.check()

    @property
    def alive(self) -> bool:
        return self._run is not None and not self._run.ended.is_set()

    def secrets(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events of connections open since *since_ns*; complete for what `events` gave before."""
        return self._secrets.since(since_ns)

    @property
    def forgotten(self) -> int:
        """How many of the oldest events `events` no longer gives."""
        return self._told.forgotten

    def rule_errors(self) -> tuple[list[dict[str, Any]], int]:
        """The failures of functions: none, where no Python runs."""
        return [], 0

    def lacks(self, since_ns: int = 0) -> list[str]:
        """What `events` cannot tell of the time since *since_ns* (Unix time), in words."""
        found = []
        if self._died_ns > since_ns:
            found.append(f"{self.dies_with} when the L7 engine {self.name} died")
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

    def _ended(self, reason: str | None) -> None:
        self._secrets.close_all(time.time_ns())
        if reason is not None:
            self._died_ns = time.time_ns()
            self._on_death(reason)

    def _current(self) -> Life:
        if self._run is None:
            raise EngineError(f"L7 engine {self.name} was not started: call {self.remedy}.")
        return self._run

    def _listens(self) -> bool:
        """Whether there is somebody to ask."""
        return self.alive and self._current().settled.is_set()
