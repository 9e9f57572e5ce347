"""The owner's handle on one backend's server: started, killed, restarted, slowed, and seen to end.

The server itself is the task `labkit.traffic.server`. What was set stays set from one life to the next.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from labkit.errors import LabNotRunning, TaskError, TrafficError
from labkit.runtime.protocol import Node
from labkit.wording import shown

STARTING = 10.0
ANSWERING = 5.0
SLOWEST = 300.0


class Life:
    """One life of a server: from its start to its end."""

    def __init__(
        self, node: Node, arguments: dict[str, Any], certify: Callable[["Life"], None] = lambda _: None
    ) -> None:
        self.told = threading.Event()
        self.slowed = threading.Event()
        self.ready = False
        self.reason: str | None = None
        self._certify = certify
        self.task = node.start("labkit.traffic.server:main", on_event=self._event, on_exit=self._exit, **arguments)

    @property
    def serving(self) -> bool:
        return self.ready and self.task.running

    def _event(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready = True
            self.told.set()
        elif "slow" in message:
            self.slowed.set()
        elif "certificate" in message:  # making one takes a while, and this is the thread of all streams
            threading.Thread(target=self._certify, args=(self,), name="labkit certificate", daemon=True).start()

    def _exit(self, reason: str | None) -> None:
        self.reason = reason
        self.ready = False
        self.told.set()
        self.slowed.set()


class ServerHandle:
    """The server of the backend *name*, in the node that *node* gives. Thread-safe.

    ports: see `server.main`. certificate: gives [chain, key] as PEM text; None where TLS is not served. It is asked
    for in a thread of its own when the first client comes for TLS.
    """

    def __init__(
        self,
        name: str,
        node: Callable[[], Node],
        ports: dict[str, int],
        certificate: Callable[[], list[str]] | None = None,
    ) -> None:
        self._name = name
        self._node = node
        self._ports = ports
        self._certificate = certificate
        self._lock = threading.RLock()
        self._life: Life | None = None
        self._app: bytes | None = None
        self._delay = 0.0

    @property
    def serving(self) -> bool:
        return self._life is not None and self._life.serving

    def start(self) -> None:
        """Start it, unless it runs, without waiting."""
        with self._lock:
            node = self._node()
            if self._life is None or not self._life.task.running:
                arguments: dict[str, Any] = {"name": self._name, "app": self._app, "delay": self._delay, **self._ports}
                self._life = Life(node, arguments, self._certify)

    def wait_ready(self, timeout: float = STARTING) -> None:
        """Wait until it listens on all its ports. TaskError if it ended instead, or takes longer."""
        life = self._life
        if life is None:
            raise TaskError(f"{self._name}'s server was not started: {self._name}.restore() starts it")
        if not life.told.wait(timeout):
            raise TaskError(f"{self._name}'s server was not ready within {timeout:g} s")
        if not life.ready:
            with contextlib.suppress(TaskError):  # LabNotRunning says more than that its server ended
                life.task.check()
            raise _death(self._name, life.reason)

    def _certify(self, life: Life) -> None:
        if self._certificate is None:
            return
        chain, key = self._certificate()
        with contextlib.suppress(TaskError, LabNotRunning):  # it has ended meanwhile
            life.task.send({"op": "certify", "chain": chain, "key": key})

    def serve(self, app: bytes | None) -> None:
        """Start anew with the pickled *app*, or with the lab's own; if that fails, with what it served before."""
        with self._lock:
            before, self._app = self._app, app
            try:
                self._restart()
            except TaskError:
                self._app = before
                self._restart()
                raise

    def kill(self) -> None:
        with self._lock:
            self._node()
            if self._life is not None:
                self._life.task.stop(kill=True)

    def slow(self, seconds: float) -> None:
        """Wait *seconds* before every answer; returns when it is so. TrafficError if that is no such number."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= SLOWEST:
            raise TrafficError(f"{self._name} can be slowed by 0 to {SLOWEST:g} seconds, not {shown(seconds)}")
        with self._lock:
            self._node()
            self._delay = float(seconds)
            life = self._life
            if life is None or not life.serving:
                return  # it will start as slow as this
            life.slowed.clear()
            try:
                life.task.send({"op": "slow", "seconds": self._delay})
            except TaskError:
                return  # it has just ended
            if not life.slowed.wait(ANSWERING):
                raise TaskError(f"{self._name}'s server is too busy to answer: {self._name}.kill(), then restore()")

    def _restart(self) -> None:
        self._node()
        if self._life is not None:
            self._life.task.stop()
        self.start()
        self.wait_ready()


def _death(name: str, reason: str | None) -> TaskError:
    """The error for a server that ended; the whole traceback as a note."""
    if reason is None:
        return TaskError(f"{name}'s server was stopped: {name}.restore() brings it back")
    last = reason.strip().splitlines()[-1]
    error = TaskError(f"{name}'s server ended: {last.removeprefix('labkit.errors.TaskError: ')}")
    error.add_note(reason)
    return error
