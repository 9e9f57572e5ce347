"""A proxy with nothing started, for the tests of its life: starting, dying, being told, being asked."""

import signal
import threading
from pathlib import Path
from typing import Any

from labkit.balancer.policy import L7Policy, Route, Target
from labkit.topology import Listener
from tests.balancer.mitmproxy.harness import LocalNode, free_port

BACKEND = "127.0.0.31"
REQUEST = b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n"


class Life:
    """An engine with nothing started, and the reasons of its deaths. make: its class."""

    def __init__(self, node: LocalNode, make: Any) -> None:
        self.node = node
        self.listener = Listener(free_port("127.0.0.1", BACKEND), "http")
        self.policy = L7Policy((self.listener,), (Route("*", "one"),), {"one": (Target("one", BACKEND),)})
        self.deaths: list[str] = []
        self.died = threading.Event()
        self.engine = make(node, ["127.0.0.1"], [self.listener], self._note)

    @property
    def port(self) -> int:
        """Where the proxy itself listens."""
        inward = self.engine.inward([self.listener])
        return int(inward[0].port) if inward else self.listener.port

    def begin(self) -> None:
        self.engine.start()
        self.engine.ready()

    def children(self) -> list[int]:
        """The processes of its task's own."""
        return [child for task in self.node.task_pids() for child in children(task)]

    def _note(self, reason: str) -> None:
        self.deaths.append(reason)
        self.died.set()


def children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def ended(watch: int) -> bool:
    """Whether the process of this pidfd has ended."""
    try:
        signal.pidfd_send_signal(watch, signal.SIGCONT)
    except ProcessLookupError:
        return True
    return False
