"""Work that an interrupt (■) must not cut in half."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType


def uninterrupted[T](work: Callable[[], T]) -> T:
    """Run *work* to its end and return its result, or raise its error, even if Ctrl-C comes meanwhile.

    The first interrupt is kept until the work is over and goes to the handler there was, which raises
    KeyboardInterrupt as a rule. A second one goes there at once: the work, in a thread of its own, then ends
    by itself. Interrupts reach the main thread alone, so in any other one the work simply runs.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        return work()
    kept: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        kept.append(number)
        if len(kept) > 1:
            signal.signal(signal.SIGINT, before)
            signal.raise_signal(signal.SIGINT)

    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    signal.signal(signal.SIGINT, keep)
    try:
        thread = threading.Thread(target=run, name="labkit uninterrupted", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread begins any more when the interpreter ends
            run()
        else:
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    if kept:
        signal.raise_signal(signal.SIGINT)
    return outcome.result()
