"""The owner's side of the agents' streams: nodes one can start tasks in and call functions in.

Reading and writing is left to `loop`; callers wait on queues and events, never on sockets.
"""

import contextlib
import itertools
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from labkit import errors
from labkit.errors import LabError, LabNotRunning, TaskError

from .loop import StreamLoop
from .wire import Decoder, Kind, NotOurs, frame, pack, unpack

_WORKER = "labkit.runtime.agent.worker:main"


class _End:
    """Stands in a task's queue for its end."""


class StreamTask:
    """`Task` over an agent's stream."""

    def __init__(
        self,
        node: "StreamNode",
        number: int,
        target: str,
        on_event: Callable[[Any], None] | None,
        on_exit: Callable[[str | None], None] | None,
    ) -> None:
        self.name = f"{target.rpartition('.')[2]} in {node.name}"
        self._node = node
        self._number = number
        self._on_event = on_event
        self._on_exit = on_exit
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._failure: str | None = None
        self._stopping = False

    def send(self, message: Any) -> None:
        self.check()
        self._node.transmit(frame(self._number, Kind.DATA, pack(message)))

    def check(self) -> None:
        if self._ended.is_set():
            raise self._error()

    def receive(self, timeout: float | None = None) -> Any:
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{self.name} said nothing within {timeout} s") from None
        if isinstance(event, _End):
            self._events.put(event)  # the next reader must see it too
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
        self._stopping = True
        for kind in (Kind.KILL,) if kill else (Kind.TERMINATE, Kind.KILL):
            if self._ended.is_set():
                return
            try:
                self._node.transmit(frame(self._number, kind))
            except LabNotRunning:
                return  # the node is gone, and the task with it
            if self._ended.wait(timeout):
                return

    def deliver(self, kind: Kind, body: bytes) -> None:
        """Take one frame from the agent (reader thread)."""
        match kind:
            case Kind.DATA:
                message = unpack(body)
                if self._on_event:
                    self._on_event(message)
                else:
                    self._events.put(message)
            case Kind.FAILED:
                self._failure = unpack(body)
            case Kind.EXIT:
                self.end(unpack(body))

    def end(self, reason: str | None) -> None:
        """The task is over (reader thread)."""
        if self._ended.is_set():
            return
        self._failure = None if self._stopping else self._failure or reason
        self._ended.set()
        self._events.put(_End())
        if self._on_exit:
            self._on_exit(self._failure)

    def _error(self) -> LabError:
        if self._node.gone:
            return LabNotRunning(self._node.gone)
        return TaskError(f"{self.name} has ended: {self._failure or 'it was stopped'}")


class StreamNode:
    """`Node` over one connected stream to its agent.

    on_end: told the node's name when the stream ends (reader thread). gone: why the node is gone for good, or None.
    unwrap: takes the agent's own bytes out of those that arrive, where others are on the same stream.
    on_hello: told what the agent says of itself (reader thread).
    """

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        loop: StreamLoop,
        on_end: Callable[[str], None] = lambda _: None,
        *,
        unwrap: Callable[[bytes], bytes] = lambda data: data,
        on_hello: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.raw_sockets = True
        self.gone: str | None = None
        self._on_end = on_end
        self._unwrap = unwrap
        self._on_hello = on_hello
        self._loop = loop
        self._socket = sock
        self._decoder = Decoder()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, StreamTask] = {}
        self._lock = threading.Lock()
        self._hiring = threading.Lock()
        self._worker: StreamTask | None = None
        self._calls: dict[int, queue.SimpleQueue[Any]] = {}
        loop.add(sock, self._read)

    def start(
        self,
        target: str,
        /,
        *,
        on_event: Callable[[Any], None] | None = None,
        on_exit: Callable[[str | None], None] | None = None,
        **arguments: Any,
    ) -> StreamTask:
        body = pack({"target": target, "arguments": arguments})
        with self._lock:
            task = StreamTask(self, next(self._numbers), target, on_event, on_exit)
            self._tasks[task._number] = task
        self.transmit(frame(task._number, Kind.START, body))
        return task

    def call(self, target: str, /, *arguments: Any, timeout: float | None = 60.0) -> Any:
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        worker = self._ensure_worker()
        number = next(self._numbers)
        self._calls[number] = answer
        try:
            worker.send({"id": number, "target": target, "arguments": list(arguments)})
            got = answer.get(timeout=timeout)
        except queue.Empty:
            raise TaskError(
                f"{self.name}: {target} gave no answer within {timeout} s; give it a longer timeout"
            ) from None
        finally:
            self._calls.pop(number, None)
        if "error" in got:
            raise _revive(self.name, target, got["error"])
        return got["value"]

    def administer(self, target: str, /, *arguments: Any) -> None:
        """Where the worker has every right in its host, an ordinary call."""
        self.call(target, *arguments)

    def load(self, modules: Sequence[str]) -> None:
        """Have the agent import these, so that tasks begin at once."""
        self.transmit(frame(0, Kind.LOAD, pack(list(modules))))

    def transmit(self, data: bytes) -> None:
        """Hand *data* to the stream. LabNotRunning when the node is gone, or in a fork of the lab's owner."""
        if self.gone is not None:
            raise LabNotRunning(self.gone)
        self._loop.send(self._socket, data)

    def hang_up(self) -> None:
        """Have its agent end, and all that it runs."""
        with contextlib.suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)

    def lose(self, reason: str) -> None:
        """The node is gone for good (reader thread, or after it): every task and call ends with *reason*."""
        self.gone = self.gone or reason
        for task in list(self._tasks.values()):
            task.end(reason)
        self._tasks.clear()

    def _ensure_worker(self) -> StreamTask:
        with self._hiring:
            if self._worker is None or not self._worker.running:
                self._worker = self.start(_WORKER, on_event=self._answered, on_exit=self._worker_ended)
            return self._worker

    def _answered(self, message: Any) -> None:
        waiting = self._calls.get(message["id"])
        if waiting:
            waiting.put(message)

    def _worker_ended(self, reason: str | None) -> None:
        error = {"kind": "", "text": f"its worker ended: {reason or 'stopped'}", "traceback": ""}
        if self.gone is not None:
            error |= {"kind": LabNotRunning.__name__, "text": self.gone}
        for waiting in list(self._calls.values()):
            waiting.put({"error": error})

    def _read(self, data: bytes) -> None:
        if not data:
            self._on_end(self.name)
            self.lose(f"{self.name} is gone: the lab was stopped or died. Start it again with lab.start().")
            return
        try:
            self._take(data)
        except NotOurs as error:
            self.lose(f"{self.name} is gone: what came from it is no agent's ({error}). Start the lab again.")
            self.hang_up()

    def _take(self, data: bytes) -> None:
        for number, kind, body in self._decoder.feed(self._unwrap(data)):
            task = self._tasks.get(number)
            if kind is Kind.HELLO:
                self._on_hello(unpack(body))
            elif task:
                task.deliver(kind, body)
                if kind is Kind.EXIT:
                    self._tasks.pop(number, None)


def _revive(node: str, target: str, error: dict[str, str]) -> LabError:
    kind = getattr(errors, error["kind"], None) if error["kind"] else None
    if isinstance(kind, type) and issubclass(kind, LabError):
        return kind(error["text"])
    failure = TaskError(f"{target.rpartition(':')[2]} in {node} failed: {error['text']}")
    if error["traceback"]:
        failure.add_note(error["traceback"])
    return failure
