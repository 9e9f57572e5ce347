"""A task's side of its stream: the `TaskLink` that its function is called with."""

import select
import socket
import threading
import time
from collections import deque
from typing import Any

from labkit.runtime.wire import Decoder, Kind, frame, pack, unpack

_CHUNK = 1 << 18


class SocketLink:
    """`TaskLink` over a stream socket. Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket, node: str, task: int) -> None:
        self.node = node
        self._socket = sock
        self._task = task
        self._decoder = Decoder()
        self._inbox: deque[Any] = deque()
        self._sending = threading.Lock()
        self._ended = False

    def send(self, message: Any) -> None:
        self._send(Kind.DATA, pack(message))

    def fail(self, reason: str) -> None:
        """Say why the task's function ended; the owner gets it as the reason of the exit."""
        self._send(Kind.FAILED, pack(reason))

    def receive(self, timeout: float | None = None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._inbox:
            if self._ended:
                raise EOFError("the owner of this task is gone")
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                raise TimeoutError(f"no message within {timeout} s")
            self._read()
        return self._inbox.popleft()

    def poll(self) -> list[Any]:
        while not self._ended and select.select([self._socket], [], [], 0)[0]:
            self._read()
        if not self._inbox and self._ended:
            raise EOFError("the owner of this task is gone")
        messages = list(self._inbox)
        self._inbox.clear()
        return messages

    def fileno(self) -> int:
        return self._socket.fileno()

    def _send(self, kind: Kind, body: bytes) -> None:
        with self._sending:
            self._socket.sendall(frame(self._task, kind, body))

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            self._ended = True
            return
        self._inbox.extend(unpack(body) for _, _, body in self._decoder.feed(data))
