"""Functions that tests call in a host's worker: the ports it holds, and whether it listens."""

import threading

from labkit.traffic.guards import guards


def guards_held() -> int:
    return len(guards)


def end_guards() -> int:
    with guards._lock:
        guards._end_before(float("inf"))
        return len(guards)


def listeners() -> int:
    return sum(thread.name == "crafted" for thread in threading.enumerate())
