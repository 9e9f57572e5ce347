"""The loop of the load generator: many HTTP connections at a time over one epoll, as fast as plain Python goes.

Edge-triggered, so that a request costs no system call but its own. Every request that was begun is counted, either
as answered or by the cause of its failure; after a failure that connection rests `REST` seconds, as a client would.
"""

import errno
import select
import socket
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import httptools

from labkit.traffic.failure import from_errno

REST = 0.01
SWEEP = 0.05
PIECE = 65536
CLOSING = select.EPOLLRDHUP | select.EPOLLHUP
WATCH = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


@dataclass(slots=True)
class Tally:
    """What has been counted so far. latencies: seconds, one a request that was answered."""

    by_backend: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def finished(self) -> int:
        return len(self.latencies) + self.failed


class Slot:
    """One place for a connection, and the parser's callbacks for its answer (httptools)."""

    __slots__ = ("backend", "began", "complete", "framed", "headed", "kept", "lasting", "parser", "sock", "unsent")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.began = 0.0
        self.kept = False  # a kept connection that has not answered yet
        self.unsent = b""
        self.expect()

    def expect(self) -> None:
        """Get ready for one answer."""
        self.parser = httptools.HttpResponseParser(self)
        self.backend = ""
        self.headed = self.framed = self.complete = self.lasting = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered == b"x-backend":
            self.backend = value.decode("latin-1")
        elif lowered in (b"content-length", b"transfer-encoding"):
            self.framed = True

    def on_headers_complete(self) -> None:
        self.headed = self.parser.get_status_code() >= 200

    def on_message_complete(self) -> None:
        self.complete = self.headed
        self.lasting = self.parser.should_keep_alive()  # later it would say no


class Engine:
    """Sends *request* again and again to *address*, at most *count* times, over *connections* connections."""

    def __init__(
        self,
        family: int,
        address: Any,
        request: bytes,
        connections: int,
        count: int | None,
        timeout: float,
        fresh: bool,
    ) -> None:
        self.tally = Tally()
        self._family, self._address, self._request = family, address, request
        self._left = count
        self._timeout, self._fresh = timeout, fresh
        self._epoll = select.epoll()
        self._idle = deque(Slot() for _ in range(connections))
        self._resting: deque[tuple[float, Slot]] = deque()
        self._busy: dict[int, Slot] = {}
        self._swept = 0.0

    def turn(self, begin: bool, wait: float) -> bool:
        """One turn of the loop: start requests if *begin*, handle what happened. False when nothing is under way."""
        now = time.monotonic()
        while self._resting and self._resting[0][0] <= now:
            self._idle.append(self._resting.popleft()[1])
        for _ in range(len(self._idle)):
            if not begin or self._left == 0:
                break
            self._begin(self._idle.popleft())
        if not self._busy and (not begin or self._left == 0):
            return False
        if self._resting and begin:
            wait = min(wait, max(self._resting[0][0] - now, 0.001))
        for number, events in self._epoll.poll(wait):
            slot = self._busy.get(number)
            if slot is not None:
                self._handle(slot, events)
        if now - self._swept > SWEEP:
            self._sweep(now)
        return True

    def close(self) -> None:
        for slot in (*self._idle, *self._busy.values()):
            if slot.sock is not None:
                slot.sock.close()
        self._epoll.close()

    def _begin(self, slot: Slot) -> None:
        if self._left is not None:
            self._left -= 1
        slot.began = time.monotonic()
        slot.expect()
        slot.unsent = self._request
        if slot.sock is None:
            self._connect(slot)
        else:
            slot.kept = True
            self._busy[slot.sock.fileno()] = slot
            self._send(slot)

    def _connect(self, slot: Slot) -> None:
        slot.kept = False
        try:
            slot.sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._fail(slot, error.errno or 0)
            return
        code = slot.sock.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            self._fail(slot, code)
            return
        self._busy[slot.sock.fileno()] = slot
        self._epoll.register(slot.sock, WATCH)

    def _handle(self, slot: Slot, events: int) -> None:
        assert slot.sock is not None
        if events & select.EPOLLERR:
            self._fail(slot, slot.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET)
            return
        if slot.unsent and events & select.EPOLLOUT and not self._send(slot):
            return
        if events & (select.EPOLLIN | CLOSING):
            self._receive(slot, to_the_end=bool(events & CLOSING))

    def _send(self, slot: Slot) -> bool:
        """False if the connection failed."""
        assert slot.sock is not None
        try:
            slot.unsent = slot.unsent[slot.sock.send(slot.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(slot, error.errno or 0)
            return False
        return True

    def _receive(self, slot: Slot, to_the_end: bool) -> None:
        """Read what is there; *to_the_end*: the other side has closed, and no further event will say so."""
        assert slot.sock is not None
        size = PIECE
        while size == PIECE or to_the_end:
            try:
                data = slot.sock.recv(PIECE)
            except BlockingIOError:
                break
            except OSError as error:
                self._fail(slot, error.errno or 0)
                return
            if not data:
                self._ended(slot)
                return
            slot.kept = False
            try:
                slot.parser.feed_data(data)
            except httptools.HttpParserError:
                self._fail(slot, 0, "not http")
                return
            size = len(data)
        if slot.complete:
            self._answered(slot, keep=slot.lasting and not self._fresh)

    def _ended(self, slot: Slot) -> None:
        """The other side closed: the end of a body without a length (RFC 9112 §6.3), or too early."""
        if slot.complete or (slot.headed and not slot.framed):
            self._answered(slot, keep=False)
        else:
            self._fail(slot, 0, "cut short" if slot.headed else "closed")

    def _answered(self, slot: Slot, keep: bool) -> None:
        tally = self.tally
        tally.latencies.append(time.monotonic() - slot.began)
        tally.by_status[slot.parser.get_status_code()] += 1
        if slot.backend:
            tally.by_backend[slot.backend] += 1
        self._release(slot, keep)
        self._idle.append(slot)

    def _fail(self, slot: Slot, number: int, cause: str = "") -> None:
        if slot.kept and number != errno.ETIMEDOUT:  # closed while it lay idle: not this request's failure
            self._release(slot, keep=False)
            slot.unsent = self._request
            self._connect(slot)
            return
        self.tally.errors[cause or from_errno(number).cause] += 1
        self._release(slot, keep=False)
        self._resting.append((time.monotonic() + REST, slot))

    def _release(self, slot: Slot, keep: bool) -> None:
        if slot.sock is None:
            return
        self._busy.pop(slot.sock.fileno(), None)
        if not keep:
            slot.sock.close()
            slot.sock = None

    def _sweep(self, now: float) -> None:
        self._swept = now
        late = [slot for slot in self._busy.values() if now - slot.began > self._timeout]
        for slot in late:
            self._fail(slot, errno.ETIMEDOUT)
