"""What a node's worker keeps open for the user between calls: sessions, sockets, WebSockets, programs, by key.

Runs inside nodes. Keys are chosen by the owner, so that it can close what it never got an answer about.
"""

import threading
from typing import Protocol

from labkit.traffic.failure import Failure


class Closable(Protocol):
    """Something held. ``close`` wakes whoever waits on it, in any thread, and may be called twice."""

    def close(self) -> None: ...


class Shelf:
    """The things held in this process. Thread-safe. A key that was closed stays closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._things: dict[str, Closable] = {}
        self._closed: set[str] = set()

    def put(self, key: str, thing: Closable) -> None:
        """Hold *thing*; closed at once, with a Failure, if its owner has given *key* up meanwhile."""
        with self._lock:
            given_up = key in self._closed
            if not given_up:
                self._things[key] = thing
        if given_up:
            thing.close()
            raise Failure("abandoned", "the call was interrupted")

    def get[T](self, key: str, kind: type[T]) -> T:
        """The thing held under *key*; Failure "closed" if there is none."""
        with self._lock:
            thing = self._things.get(key)
        if not isinstance(thing, kind):
            raise Failure("closed", "it was closed on this side: open a new one")
        return thing

    def forget(self, key: str) -> None:
        """Let go of what *key* holds without closing it."""
        with self._lock:
            self._things.pop(key, None)

    def close(self, key: str, *, for_good: bool = True) -> None:
        """Close what *key* holds, if anything; *for_good*: also what is going to be put there."""
        with self._lock:
            thing = self._things.pop(key, None)
            if for_good:
                self._closed.add(key)
        if thing is not None:
            thing.close()


shelf = Shelf()


def close(key: str) -> None:
    """Call target: close what is held under *key*, now or as soon as it is put there. Idempotent."""
    shelf.close(key)
