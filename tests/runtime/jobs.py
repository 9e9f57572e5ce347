"""Tasks and calls that the tests of runtimes start by name."""

import os
import signal
import threading
import time
from typing import Any

from labkit.errors import TrafficError
from labkit.runtime.protocol import TaskLink

KEPT: dict[str, Any] = {}
_DOOR = threading.Lock()


def echo(link: TaskLink, greeting: str) -> None:
    link.send([greeting, link.node])
    while True:
        link.send(link.receive())


def polled_echo(link: TaskLink) -> None:
    """Echo through `poll` and `fileno`, as an event loop does."""
    import select

    while True:
        select.select([link.fileno()], [], [])
        for message in link.poll():
            link.send(message)


def burst(link: TaskLink, count: int, size: int) -> None:
    for number in range(count):
        link.send([number, bytes(size)])


def deaf(link: TaskLink) -> None:
    """Never reads what it is sent."""
    link.send("deaf")
    time.sleep(60)


def fails(link: TaskLink) -> None:
    raise ValueError("the reason")


def stubborn(link: TaskLink) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link.send("ready")
    time.sleep(60)


def tidy(link: TaskLink) -> None:
    try:
        link.send("ready")
        time.sleep(60)
    finally:
        link.send("tidied up")


def vanishes(link: TaskLink) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def keep(name: str, value: Any) -> None:
    KEPT[name] = value


def kept(name: str) -> Any:
    return KEPT[name]


def where() -> dict[str, Any]:
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "uid": os.getuid(),
        "thread": threading.current_thread().name,
    }


def refuses() -> None:
    raise TrafficError("alice cannot")


def breaks() -> None:
    raise KeyError("x")


def not_plain() -> object:
    return object()


def too_much() -> bytes:
    return bytes(64 << 20)


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def meet(parties: int) -> int:
    """Return once *parties* calls are in here at the same time; BrokenBarrierError after 5 s."""
    with _DOOR:
        barrier = KEPT.setdefault("barrier", threading.Barrier(parties))
    barrier.wait(5)
    return parties


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
