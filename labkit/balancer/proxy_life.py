"""One life of a proxy as its owner outside the node sees it: from the start of its task to its end, asked or not."""

import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

from labkit.errors import EngineError, TaskError
from labkit.runtime.protocol import Message, Task

SECONDS = 5.0  # for an answer that takes a millisecond unless the proxy is at its limit


class Life:
    """What the proxy tells goes to *take*, but for replies, which go to whoever asked.

    engine: what it is called. on_end: called once, with the reason or None if it was stopped (reader thread).
    """

    def __init__(self, engine: str, take: Callable[[Message], None], on_end: Callable[[str | None], None]) -> None:
        self.task: Task  # set by whoever starts it, before anybody asks
        self.settled = threading.Event()  # it listens, or it is over
        self.ended = threading.Event()
        self.stopping = False
        self.last_words = False  # it said itself that it was about to end
        self.certified: set[str] = set()  # names whose certificates it has been given
        self._engine = engine
        self._reason = ""
        self._take = take
        self._on_end = on_end
        self._once = threading.Lock()
        self._done: set[str] = set()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message | None]] = {}

    def ask(self, operation: str, more_seconds: float = 0.0, **fields: Any) -> Message:
        """Send one operation and wait for its reply. Raises EngineError if the proxy dies, stays silent or refuses."""
        number, seconds = next(self._numbers), SECONDS + more_seconds
        answer: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._waiting[number] = answer  # before looking whether it lives: from here on its end is told
        try:
            self.check()
            self.task.send({"op": operation, "id": number, **fields})
            reply = answer.get(timeout=seconds)
        except queue.Empty:
            raise EngineError(f"L7 engine {self._engine} did not answer {operation!r} within {seconds:g} s.") from None
        except TaskError as error:
            raise EngineError(f"L7 engine {self._engine} died ({error}).") from error
        finally:
            del self._waiting[number]
        if reply is None:
            self.check()
        elif "error" in reply:
            raise EngineError(f"L7 engine {self._engine} refuses: {reply['error']}")
        return reply

    def once(self, operation: str, fields: Callable[[], dict[str, Any]]) -> None:
        """`ask` for it if that was not done in this life. Raises EngineError."""
        with self._once:
            if operation not in self._done:
                self.ask(operation, **fields())
                self._done.add(operation)

    def check(self) -> None:
        """EngineError if it is over, LabNotRunning if its node is."""
        if self.ended.is_set():
            try:
                self.task.check()
            except TaskError as error:
                raise EngineError(f"L7 engine {self._engine} died ({self._reason}).") from error

    def take(self, message: Message) -> None:
        """One message from the proxy (reader thread)."""
        match message["kind"]:
            case "reply":
                waiting = self._waiting.get(message["id"])
                if waiting:
                    waiting.put(message)
            case "ready":
                self.settled.set()
            case "over":
                self._reason, self.last_words = message["reason"], True
            case _:
                self._take(message)

    def end(self, reason: str | None) -> None:
        """The proxy's process is over (reader thread)."""
        self._reason = self._reason or (reason or "it ended by itself").strip().splitlines()[-1]
        self.ended.set()
        self.settled.set()
        for waiting in list(self._waiting.values()):
            waiting.put(None)
        self._on_end(None if self.stopping else self._reason)
