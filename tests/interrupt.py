"""The stop button: a real SIGINT to the main thread, which ends also what waits there."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupted(after: float) -> Iterator[None]:
    """A SIGINT to the main thread *after* so many seconds, as a notebook's stop button sends it."""
    ident = threading.main_thread().ident
    assert ident is not None
    timer = threading.Timer(after, signal.pthread_kill, (ident, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, before)
