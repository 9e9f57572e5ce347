"""The agent's loop: frames from the owner start, feed and end tasks; what tasks say goes back.

Single-threaded on purpose: it forks, and a forked process must not inherit another thread's locks.
It ends when its owner's stream ends, and takes its tasks along.
"""

import contextlib
import importlib
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from labkit.runtime.wire import Decoder, Kind, frame, pack, unpack

from .link import SocketLink
from .task import run

_CHUNK = 1 << 20
_GRACE = 0.5  # seconds between SIGTERM and SIGKILL for tasks whose owner is gone


@dataclass
class _Running:
    """One task as its agent sees it."""

    number: int
    pid: int
    pidfd: int
    stream: socket.socket
    decoder: Decoder = field(default_factory=Decoder)
    unsent: bytearray = field(default_factory=bytearray)


class Stream(Protocol):
    """What an agent needs of the stream to its owner; a connected stream socket has it."""

    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def close(self) -> None: ...


class Agent:
    """Serves one owner over *owner*, a connected stream, in the node called *node*."""

    def __init__(self, owner: Stream, node: str) -> None:
        self._owner = owner
        self._node = node
        self._tasks: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(owner, selectors.EVENT_READ, self._from_owner)
        self._decoder = Decoder()
        self._open = True

    def serve(self) -> None:
        """Until the owner is gone; then every task is killed and reaped."""
        while self._open:
            for key, events in self._selector.select():
                now = self._selector.get_map().get(key.fd)
                if now is not None and now.data is key.data:  # else an earlier event of this round has closed it
                    handle: Callable[[int], None] = key.data
                    handle(events)
        for task in self._tasks.values():
            _signal(task, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for task in self._tasks.values():
            select.select([task.pidfd], [], [], max(0.0, deadline - time.monotonic()))
            _signal(task, signal.SIGKILL)
            os.waitpid(task.pid, 0)

    def _from_owner(self, _: int) -> None:
        try:
            data = self._owner.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            self._open = False
            return
        for number, kind, body in self._decoder.feed(data):
            match kind:
                case Kind.START:
                    self._start(number, body)
                case Kind.DATA:
                    self._to_task(number, body)
                case Kind.TERMINATE | Kind.KILL if number in self._tasks:
                    _signal(self._tasks[number], signal.SIGTERM if kind is Kind.TERMINATE else signal.SIGKILL)
                case Kind.LOAD:
                    _load(unpack(body))

    def _start(self, number: int, body: bytes) -> None:
        order = unpack(body)
        mine, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            self._leave_to_task(mine)
            run(SocketLink(theirs, self._node, number), order["target"], order["arguments"])
        theirs.close()
        mine.setblocking(False)
        task = _Running(number, pid, os.pidfd_open(pid), mine)
        self._tasks[number] = task
        self._selector.register(mine, selectors.EVENT_READ, lambda events: self._from_task(task, events))
        self._selector.register(task.pidfd, selectors.EVENT_READ, lambda _: self._reap(task))

    def _leave_to_task(self, mine: socket.socket) -> None:
        """In the forked process: let go of all that is the agent's."""
        self._selector.close()
        self._owner.close()
        mine.close()
        for task in self._tasks.values():
            task.stream.close()
            os.close(task.pidfd)

    def _to_task(self, number: int, body: bytes) -> None:
        task = self._tasks.get(number)
        if task is None:
            return  # it ended while the message was on its way; its EXIT is on the way back
        task.unsent += frame(number, Kind.DATA, body)
        self._flush(task)

    def _from_task(self, task: _Running, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(task)
        if events & selectors.EVENT_READ:
            self._forward(task)

    def _flush(self, task: _Running) -> None:
        try:
            while task.unsent:
                del task.unsent[: task.stream.send(task.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            task.unsent.clear()  # the task ended; its EXIT follows
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if task.unsent else 0)
        if task.stream in self._selector.get_map():
            key = self._selector.get_key(task.stream)
            self._selector.modify(task.stream, wanted, key.data)

    def _forward(self, task: _Running) -> bool:
        """Pass what the task wrote to the owner. False when there was nothing."""
        try:
            data = task.stream.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            if task.stream in self._selector.get_map():
                self._selector.unregister(task.stream)
            return False
        for number, kind, body in task.decoder.feed(data):
            self._tell(frame(number, kind, body))
        return True

    def _tell(self, data: bytes) -> None:
        try:
            self._owner.sendall(data)
        except OSError:
            self._open = False

    def _reap(self, task: _Running) -> None:
        while self._forward(task):
            pass
        _, status = os.waitpid(task.pid, 0)
        self._selector.unregister(task.pidfd)
        if task.stream in self._selector.get_map():
            self._selector.unregister(task.stream)
        os.close(task.pidfd)
        task.stream.close()
        del self._tasks[task.number]
        self._tell(frame(task.number, Kind.EXIT, pack(_describe(os.waitstatus_to_exitcode(status)))))


def _load(modules: list[str]) -> None:
    """Import what tasks will need, so that they begin at once; one that needs what is missing will say so itself."""
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _signal(task: _Running, number: signal.Signals) -> None:
    signal.pidfd_send_signal(task.pidfd, number)


def _describe(code: int) -> str | None:
    """An exit code in words; None for an end that was asked for."""
    if code in (0, -signal.SIGTERM):
        return None
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
