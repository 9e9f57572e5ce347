"""The owner's side of the agents' streams: nodes one can start tasks in and call functions in.

One thread a lab does all reading and writing, so that an interrupt in the notebook's main thread can
never leave half a frame on a stream. Callers wait on queues and events, never on sockets.
"""

import itertools
import os
import queue
import selectors
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any

from labkit import errors
from labkit.errors import LabError, LabNotRunning, TaskError

from .wire import Decoder, Kind, frame, pack, unpack

_CHUNK = 1 << 20
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
        if self._ended.is_set():
            raise self._error()
        self._node.transmit(frame(self._number, Kind.DATA, pack(message)))

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

    def _error(self) -> TaskError:
        return TaskError(f"{self.name} has ended: {self._failure or 'it was stopped'}")


class StreamNode:
    """`Node` over one connected stream to its agent."""

    def __init__(self, name: str, sock: socket.socket, loop: "StreamLoop") -> None:
        self.name = name
        self._loop = loop
        self._socket = sock
        self._decoder = Decoder()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, StreamTask] = {}
        self._lock = threading.Lock()
        self._hiring = threading.Lock()
        self._worker: StreamTask | None = None
        self._calls: dict[int, queue.SimpleQueue[Any]] = {}
        self._gone: str | None = None
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

    def transmit(self, data: bytes) -> None:
        """Hand *data* to the stream. LabNotRunning when the node is gone."""
        if self._gone is not None:
            raise LabNotRunning(self._gone)
        self._loop.send(self._socket, data)

    def lose(self, reason: str) -> None:
        """The node is gone for good (reader thread, or after it): every task and call ends with *reason*."""
        self._gone = self._gone or reason
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
        for waiting in list(self._calls.values()):
            waiting.put({"error": {"kind": "", "text": f"its worker ended: {reason or 'stopped'}", "traceback": ""}})

    def _read(self, data: bytes) -> None:
        if not data:
            self.lose(f"{self.name} is gone: the lab was stopped or died; start it again with lab.start()")
            return
        for number, kind, body in self._decoder.feed(data):
            task = self._tasks.get(number)
            if task:
                task.deliver(kind, body)
                if kind is Kind.EXIT:
                    self._tasks.pop(number, None)


class StreamLoop:
    """The thread that reads and writes all streams of one lab. Readers get b"" once, at the end of a stream."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._unsent: dict[socket.socket, bytearray] = {}
        self._fresh: list[tuple[socket.socket, Callable[[bytes], None]]] = []
        self._lock = threading.Lock()
        self._open = True
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"labkit {name}", daemon=True)
        self._thread.start()

    def add(self, sock: socket.socket, reader: Callable[[bytes], None]) -> None:
        sock.setblocking(False)
        with self._lock:
            self._fresh.append((sock, reader))
            self._awake()

    def send(self, sock: socket.socket, data: bytes) -> None:
        with self._lock:
            if self._open:
                self._unsent.setdefault(sock, bytearray()).extend(data)
                self._awake()

    def close(self) -> None:
        """End the thread and close every stream. Idempotent."""
        with self._lock:
            if self._open:
                self._awake()
                self._open = False
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _awake(self) -> None:
        """With the lock held, and open: afterwards the descriptor may be somebody else's."""
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while self._open:
            for key, events in self._selector.select():
                if key.fd == self._wake:
                    os.eventfd_read(self._wake)
                elif events & selectors.EVENT_READ:
                    self._receive(key)
            self._adopt()
            self._transmit()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                self._drop(key)
        for sock, _ in self._fresh:
            sock.close()
        self._selector.close()
        os.close(self._wake)

    def _adopt(self) -> None:
        with self._lock:
            fresh, self._fresh = self._fresh, []
        for sock, reader in fresh:
            self._selector.register(sock, selectors.EVENT_READ, reader)

    def _receive(self, key: selectors.SelectorKey) -> None:
        sock: socket.socket = key.fileobj  # type: ignore[assignment]
        try:
            data = sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            _guarded(key.data, data)
        else:
            self._drop(key)

    def _drop(self, key: selectors.SelectorKey) -> None:
        sock: socket.socket = key.fileobj  # type: ignore[assignment]
        self._selector.unregister(sock)
        with self._lock:
            self._unsent.pop(sock, None)
        sock.close()
        _guarded(key.data, b"")

    def _transmit(self) -> None:
        with self._lock:
            for sock, unsent in list(self._unsent.items()):
                if sock.fileno() < 0:
                    del self._unsent[sock]  # closed meanwhile; its reader has been told
                    continue
                try:
                    while unsent:
                        del unsent[: sock.send(unsent)]
                except BlockingIOError:
                    pass
                except OSError:
                    unsent.clear()  # the end of the stream will be read next
                if not unsent:
                    del self._unsent[sock]
                if sock in self._selector.get_map():
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
                    self._selector.modify(sock, wanted, self._selector.get_key(sock).data)


def _guarded(reader: Callable[[bytes], None], data: bytes) -> None:
    """A reader's own mistake must not end the thread that all streams live on."""
    try:
        reader(data)
    except Exception:
        traceback.print_exc()


def _revive(node: str, target: str, error: dict[str, str]) -> LabError:
    kind = getattr(errors, error["kind"], None) if error["kind"] else None
    if isinstance(kind, type) and issubclass(kind, LabError):
        return kind(error["text"])
    failure = TaskError(f"{target.rpartition(':')[2]} in {node} failed: {error['text']}")
    if error["traceback"]:
        failure.add_note(error["traceback"])
    return failure
