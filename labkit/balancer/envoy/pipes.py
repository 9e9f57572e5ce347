"""What Envoy writes, read by a thread of its own as fast as it comes, and kept as it is until somebody asks.

Lines are neither parsed nor sent on here: Envoy may log twenty thousand requests a second.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl

_CHUNK = 1 << 20


class Kept:
    """The last lines of one pipe. Serial numbers count from 0 and never repeat. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=most)
        self._total = 0
        self._changed = threading.Condition()

    def add(self, time_ns: int, lines: list[bytes]) -> None:
        with self._changed:
            self._lines.extend((time_ns, line) for line in lines)
            self._total += len(lines)
            self._changed.notify_all()

    def since(self, serial: int, most: int) -> tuple[int, list[tuple[int, bytes]]]:
        """At most *most* lines from *serial* on, or from the oldest that is kept: its serial, and (time, line)s."""
        with self._changed:
            oldest = self._total - len(self._lines)
            start = max(serial, oldest)
            return start, [
                self._lines[place] for place in range(start - oldest, min(start - oldest + most, len(self._lines)))
            ]

    def drop(self, serial: int) -> None:
        """Everything before *serial* has been asked for."""
        with self._changed:
            while self._lines and self._total - len(self._lines) < serial:
                self._lines.popleft()

    @property
    def total(self) -> int:
        with self._changed:
            return self._total

    def wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Until *reached* says yes, asked again after every addition."""
        with self._changed:
            return self._changed.wait_for(reached, timeout)


class Reader:
    """Reads file descriptors, each to its own receiver of whole lines, until `finish`."""

    def __init__(self, receivers: Mapping[int, Callable[[list[bytes]], None]]) -> None:
        self._receivers = dict(receivers)
        self._rests = dict.fromkeys(receivers, b"")
        self._stopped, self._stop = os.pipe2(os.O_CLOEXEC)
        for fd in receivers:
            os.set_blocking(fd, False)
        self._thread = threading.Thread(target=self._run, name="envoy's pipes", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Read what is there, and end. Once."""
        os.close(self._stop)
        self._thread.join()
        os.close(self._stopped)

    def _run(self) -> None:
        waiting = select.poll()
        for fd in (*self._receivers, self._stopped):
            waiting.register(fd, select.POLLIN)
        over = False
        while not over:
            ready = [fd for fd, _ in waiting.poll()]
            over = self._stopped in ready
            for fd in [*self._receivers] if over else [fd for fd in ready if fd in self._receivers]:
                if self._drain(fd):
                    waiting.unregister(fd)
                    del self._receivers[fd]

    def _drain(self, fd: int) -> bool:
        """Take what is there; whether that was the end."""
        with suppress(BlockingIOError):
            while True:
                data = os.read(fd, _CHUNK)
                if not data:
                    return True
                *lines, self._rests[fd] = (self._rests[fd] + data).split(b"\n")
                if lines:
                    self._receivers[fd](lines)
        return False


def make(path: str) -> int:
    """A pipe at *path*, open for reading; that it is open for writing too keeps it from ever ending."""
    os.mkfifo(path, 0o600)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    with suppress(OSError):
        fcntl(fd, F_SETPIPE_SZ, 1 << 20)
    return fd
