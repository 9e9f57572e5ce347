"""The stop button: an interrupt of the main thread, which ends also what waits there.

`strike` is the handler. Where coverage is measured, an interrupt may come while coverage holds a lock of its own, which
it would then keep, and the test would wait for ever. Users' notebooks measure none; here it comes a moment later.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import coverage

_COVERAGE = str(Path(coverage.__file__).parent)
_A_MOMENT = 0.0002


def strike(_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python's own handler does, unless it is coverage that was interrupted: then soon."""
    if frame and frame.f_code.co_filename.startswith(_COVERAGE):
        signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, _A_MOMENT)
        return
    raise KeyboardInterrupt


@contextlib.contextmanager
def interrupted(after: float) -> Iterator[None]:
    """A SIGINT to the main thread *after* so many seconds, as a notebook's stop button sends it."""
    ident = threading.main_thread().ident
    assert ident is not None
    timer = threading.Timer(after, signal.pthread_kill, (ident, signal.SIGINT))
    before = signal.signal(signal.SIGINT, strike)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, before)
