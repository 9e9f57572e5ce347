"""Processes of a test's own that must end: whoever waits for one does not wait for ever."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def bounded(pid: int, seconds: float = 60.0) -> Iterator[None]:
    """The child *pid* is killed if the block, which waits for its end, takes longer."""
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
