"""A tap's messages, sent on by a thread of its own, so that a slow owner does not keep the ring from being read."""

import queue
import threading

from labkit.runtime.protocol import Message, TaskLink


class Outbox:
    """Messages in order. `put` waits only while chunks of more than *limit_bytes* in all are on their way."""

    def __init__(self, link: TaskLink, limit_bytes: int) -> None:
        self._link = link
        self._limit_bytes = limit_bytes
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._moved = threading.Condition()
        self._waiting_bytes = 0
        self._open = True
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """BrokenPipeError when the owner is gone."""
        size = len(message) if isinstance(message, bytes) else 0
        with self._moved:
            self._moved.wait_for(lambda: self._waiting_bytes <= self._limit_bytes or not self._open)
            if not self._open:
                raise BrokenPipeError("the owner of this tap is gone")
            self._waiting_bytes += size
        self._queue.put(message)

    def close(self) -> None:
        """Wait until everything is sent, or the owner gone."""
        self._queue.put(_END)
        self._thread.join()

    def _run(self) -> None:
        while (message := self._queue.get()) is not _END:
            try:
                self._link.send(message)
            except OSError:
                with self._moved:
                    self._open = False
                    self._moved.notify_all()
                return
            if isinstance(message, bytes):
                with self._moved:
                    self._waiting_bytes -= len(message)
                    self._moved.notify_all()


_END = object()
