"""The thread that reads and writes all streams of one lab.

One thread does it all, so that an interrupt in the notebook's main thread can never leave half a frame on a
stream. What the bytes mean is left to the readers.
"""

import contextlib
import os
import selectors
import socket
import threading
import traceback
from collections.abc import Callable

from labkit.errors import LabNotRunning

_CHUNK = 1 << 20


class StreamLoop:
    """The thread that reads and writes all streams of one lab. Readers get b"" once, at the end of a stream."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._signal = socket.socketpair()
        self._called = False  # a byte is on its way to the thread, and no other is needed
        self._unsent: dict[socket.socket, bytearray] = {}
        self._fresh: list[tuple[socket.socket, Callable[[bytes], None]]] = []
        self._lock = threading.Lock()
        self._open = True
        self._owner = os.getpid()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"labkit {name}", daemon=True)
        self._thread.start()

    def add(self, sock: socket.socket, reader: Callable[[bytes], None]) -> None:
        """Raises LabNotRunning, with the stream closed, once the loop is."""
        sock.setblocking(False)
        with self._lock:
            if not self._open:
                sock.close()
                raise LabNotRunning("This lab is being stopped.")
            self._fresh.append((sock, reader))
            self._awake()

    def send(self, sock: socket.socket, data: bytes) -> None:
        """Raises LabNotRunning in a process that was forked from the one this loop runs in."""
        if os.getpid() != self._owner:
            raise LabNotRunning("A lab belongs to the process that started it; this one is a fork of it. Use it there.")
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
        """With the lock held."""
        if not self._called:
            self._signal.send(b"\0")
            self._called = True  # in this order: an interrupt in between costs a byte, not the call

    def _run(self) -> None:
        while self._open:
            for key, events in self._selector.select():
                if key.fileobj is self._wake:
                    self._wake.recv(64)
                elif events & selectors.EVENT_READ:
                    self._receive(key)
            self._adopt()
            self._transmit()
        self._selector.unregister(self._wake)
        for key in list(self._selector.get_map().values()):
            self._drop(key)
        for sock, _ in self._fresh:
            sock.close()
        self._selector.close()
        self._wake.close()
        self._signal.close()

    def _adopt(self) -> None:
        with self._lock:
            self._called = False
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
        with contextlib.suppress(OSError):  # it has ended
            sock.shutdown(socket.SHUT_RDWR)  # a fork of this process may hold a copy, which closing would leave
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
