"""Work that an interrupt (■) must not cut in half."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def uninterrupted[T](work: Callable[[], T]) -> T:
    """Run *work* to its end and return its result, or raise its error, even if Ctrl-C comes meanwhile.

    Signals reach the main thread alone, so the work runs in another; a KeyboardInterrupt is raised when the
    work is over. A second one is raised at once: the work then ends on its own.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="labkit uninterrupted", daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        thread.join()
        raise
    return outcome.result()
