"""A runtime in memory, for tests of what stands above a runtime. It ships, so that users can test with it too.

Tasks run as threads and calls as plain function calls, in this process and its one network: nothing is
isolated, nothing is forked. What must not really happen is replaced by name.
"""

import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from labkit.errors import LabError, LabNotRunning, TaskError
from labkit.topology import Topology

from .agent.task import resolve
from .wire import pack, unpack


class FakeLink:
    """`TaskLink` over a queue; a socket pair makes it selectable."""

    def __init__(self, node: str, task: "FakeTask") -> None:
        self.node = node
        self._task = task
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._bell, self._rope = socket.socketpair()
        self._closed = False

    def send(self, message: Any) -> None:
        if self._closed:
            raise BrokenPipeError("the owner of this task is gone")
        self._task.deliver(unpack(pack(message)))

    def receive(self, timeout: float | None = None) -> Any:
        try:
            message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no message within {timeout} s") from None
        if message is _CLOSED:
            self._inbox.put(_CLOSED)
            raise EOFError("the owner of this task is gone")
        self._bell.recv(1)
        return message

    def poll(self) -> list[Any]:
        messages = []
        while not self._inbox.empty():
            messages.append(self.receive())
        return messages

    def fileno(self) -> int:
        return self._bell.fileno()

    def put(self, message: Any) -> None:
        """A message from the owner."""
        self._inbox.put(message)
        self._rope.send(b"!")

    def close(self) -> None:
        self._closed = True
        self.put(_CLOSED)


_CLOSED = object()


class FakeTask:
    """`Task` as a thread."""

    def __init__(
        self,
        node: "FakeNode",
        target: str,
        function: Callable[..., Any],
        on_event: Callable[[Any], None] | None,
        on_exit: Callable[[str | None], None] | None,
        arguments: Mapping[str, Any],
    ) -> None:
        self.name = f"{target.rpartition('.')[2]} in {node.name}"
        self._node = node
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._on_event = on_event
        self._on_exit = on_exit
        self._failure: str | None = None
        self._stopping = False
        self._ended = threading.Event()
        self._link = FakeLink(node.name, self)
        self._thread = threading.Thread(target=self._run, args=(function, dict(arguments)), daemon=True)
        self._thread.start()

    def send(self, message: Any) -> None:
        self.check()
        self._link.put(unpack(pack(message)))

    def check(self) -> None:
        if not self.running:
            raise self._error()

    def receive(self, timeout: float | None = None) -> Any:
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{self.name} said nothing within {timeout} s") from None
        if event is _CLOSED:
            self._events.put(_CLOSED)
            raise self._error()
        return event

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait(self, timeout: float | None = None) -> str | None:
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.name} still runs after {timeout} s")
        return self._failure

    def stop(self, timeout: float = 1.0, *, kill: bool = False) -> None:
        """A thread cannot be killed: its link is closed, and the task is let go of at once with kill=True."""
        self._stopping = True
        self._link.close()
        if kill or not self._ended.wait(timeout):
            self._end(None)

    def deliver(self, message: Any) -> None:
        """A message from the task."""
        if self._on_event:
            self._on_event(message)
        else:
            self._events.put(message)

    def _error(self) -> LabError:
        if self._node.gone:
            return LabNotRunning(self._node.gone)
        return TaskError(f"{self.name} has ended: {self._failure or 'it was stopped'}")

    def _run(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        try:
            function(self._link, **arguments)
        except (EOFError, BrokenPipeError, SystemExit):
            self._end(None)
        except Exception as error:
            self._end(f"{type(error).__name__}: {error}")
        else:
            self._end(None)

    def _end(self, reason: str | None) -> None:
        if self._ended.is_set():
            return
        self._failure = None if self._stopping else reason
        self._ended.set()
        self._events.put(_CLOSED)
        if self._on_exit:
            self._on_exit(self._failure)


class FakeNode:
    """`Node` in this process. *replace* maps targets to the functions that stand in for them."""

    def __init__(self, name: str, replace: Mapping[str, Callable[..., Any]]) -> None:
        self.name = name
        self.raw_sockets = False
        self._replace = replace
        self._tasks: list[FakeTask] = []
        self.gone: str | None = None

    def start(
        self,
        target: str,
        /,
        *,
        on_event: Callable[[Any], None] | None = None,
        on_exit: Callable[[str | None], None] | None = None,
        **arguments: Any,
    ) -> FakeTask:
        task = FakeTask(self, target, self._function(target), on_event, on_exit, unpack(pack(arguments)))
        self._tasks.append(task)
        return task

    def call(self, target: str, /, *arguments: Any, timeout: float | None = 60.0) -> Any:
        function = self._function(target)
        try:
            return unpack(pack(function(*unpack(pack(arguments)))))
        except LabError:
            raise
        except Exception as error:
            name = target.rpartition(":")[2]
            raise TaskError(f"{name} in {self.name} failed: {type(error).__name__}: {error}") from error

    def administer(self, target: str, /, *arguments: Any) -> None:
        self.call(target, *arguments)

    def end(self) -> None:
        """The node is gone, with all its tasks."""
        self.gone = f"{self.name} is gone: the lab was stopped. Start it again with lab.start()."
        for task in self._tasks:
            task.stop(kill=True)

    def _function(self, target: str) -> Callable[..., Any]:
        if self.gone:
            raise LabNotRunning(self.gone)
        return self._replace.get(target) or resolve(target)


class FakeRuntime:
    """`Runtime` in memory."""

    name = "fake"
    cause = ""

    def __init__(self, replace: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._replace = dict(replace or {})
        self._nodes: dict[str, FakeNode] = {}
        self._alive = False
        self.known: dict[str, str] = {}

    @property
    def nodes(self) -> Mapping[str, FakeNode]:
        return MappingProxyType(self._nodes)

    @property
    def running(self) -> bool:
        return self._alive

    def start(self, topology: Topology, preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> Topology:
        for module in (*preload, *at_balancer):
            __import__(module)
        self._nodes = {node.name: FakeNode(node.name, self._replace) for node in topology.nodes}
        self._alive = True
        return topology

    def know(self, names: Mapping[str, str]) -> None:
        self.known |= names

    def stop(self) -> None:
        self._alive = False
        for node in self._nodes.values():
            node.end()
