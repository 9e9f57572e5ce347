"""Takes conntrack's events off the kernel's queue as they come, whatever else the task is doing.

Without root the kernel's queue may hold only some hundred events (net.core.rmem_max), a few hundredths of a
second of heavy load. So a thread empties it every few milliseconds and notes which generation of the rules was
in force; what that means is left to the main thread, which `fileno` wakes.
"""

import os
import select
import threading
import time
from contextlib import suppress

from .conntrack import Events
from .decode import generation
from .netlink import Netlink
from .nflog import Log

PAUSE = 0.005  # seconds between two looks at a busy queue: many events at the cost of one

Batch = tuple[int, list[tuple[int, bytes]]]  # generation of the rules, (time of receipt, event) in order


class Collector:
    """Collects from the moment it is made, in the network namespace of that moment, until `close`.

    logged: the packets that rules log, too.
    """

    def __init__(self, *, logged: bool = False) -> None:
        self._events, self._netlink = Events(), Netlink()
        self._sources: list[Events | Log] = [self._events, *([Log()] if logged else [])]
        self._lock = threading.Lock()
        self._batches: list[Batch] = []
        self._wake, self._signal = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopped, self._stop = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="conntrack events", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Becomes readable when there is something to `take`."""
        return self._wake

    @property
    def lost(self) -> int:
        """Events the kernel could not queue."""
        return sum(source.lost for source in self._sources)

    @property
    def lost_ns(self) -> int:
        """When that was noticed last (Unix time), or 0."""
        return max(source.lost_ns for source in self._sources)

    def take(self) -> list[Batch]:
        """All events up to this moment, oldest first."""
        with self._lock:
            self._collect()
            with suppress(BlockingIOError):
                os.read(self._wake, 4096)
            found, self._batches = self._batches, []
        return found

    def close(self) -> None:
        """End the thread and close everything. Once."""
        os.close(self._stop)
        self._thread.join()
        for source in self._sources:
            source.close()
        self._netlink.close()
        for pipe in (self._wake, self._signal, self._stopped):
            os.close(pipe)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([*self._sources, self._stopped], [], [])
            if self._stopped in ready:
                return
            with self._lock:
                self._collect()
            time.sleep(PAUSE)

    def _collect(self) -> None:
        for source in self._sources:
            while events := source.drain():
                self._batches.append((generation(self._netlink), events))
                with suppress(BlockingIOError):  # full of signals that nobody has read yet
                    os.write(self._signal, b"!")
