"""The task in the balancer's node that carries out health checks: many places, one thread, no waiting for any.

Takes ``{"check", "places", "states"}`` (see `checks.plain`) and checks by that from then on; what it knows itself of
places that stay, however they are checked, is newer than the states that come with them. Sends ``{"kind": "health",
"time_ns", "backend", "transport", "port", "state", "was", "check", "reason"}`` at each change of a state, and
``{"kind": "taken", "states": [[backend, transport, port, state]]}`` when it has taken what it was given.

A TCP check asks the kernel alone: its client holds back the last packet of the handshake (TCP_QUICKACK off) and resets
instead, so no program ever accepts it. All come from an address that nothing else uses (see `source`).
"""

import contextlib
import errno
import math
import os
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field

from labkit.balancer.checks import Check, Health, Place
from labkit.balancer.source import give
from labkit.runtime.protocol import Message, TaskLink

FIRST = 0.3  # seconds before the first check: whoever is checked may be starting
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
DATAGRAM = b"labkit health check\n"
STILL = (errno.EINPROGRESS, errno.EAGAIN)


@dataclass
class _Attempt:
    """One check under way."""

    place: Place
    sock: socket.socket
    deadline: float
    connected: bool = False
    got: bytearray = field(default_factory=bytearray)


def main(link: TaskLink, source: str, interface: str) -> None:
    """Check until the owner is gone. source: the address that checks come from; this node gets it on *interface*."""
    give(source, interface)
    prober = Prober(source)
    with selectors.DefaultSelector() as selector:
        prober.selector = selector
        selector.register(link.fileno(), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(prober.next_in()):
                if key.fd == link.fileno():
                    for message in link.poll():
                        _tell(link, prober)
                        prober.take(message)
                        link.send({"kind": "taken", "states": prober.states()})
                else:
                    prober.go_on(key.data)
            prober.turn()
            _tell(link, prober)


def _tell(link: TaskLink, prober: "Prober") -> None:
    for event in prober.events():
        link.send(event)


class Prober:
    """What is known of each place, and the checks under way. One thread."""

    selector: selectors.BaseSelector

    def __init__(self, source: str) -> None:
        self._source = source
        self._check = Check()
        self._known: dict[Place, Health] = {}
        self._due: dict[Place, float] = {}
        self._under_way: dict[Place, _Attempt] = {}
        self._events: list[Message] = []

    def take(self, message: Message) -> None:
        """Check these places in this way from now on."""
        self._check = Check(**message["check"])
        places = [Place(**place) for place in message["places"]]
        before = {place.key: health.state for place, health in self._known.items()}
        self._known = {
            place: self._known.get(place) or Health(before.get(place.key, state))
            for place, state in zip(places, message["states"], strict=True)
        }
        for attempt in list(self._under_way.values()):
            self._close(attempt)  # it was begun in the way of before
        begin = time.monotonic() + FIRST
        spread = min(self._check.interval, FIRST) / max(1, len(places))  # not all at once
        self._due = {
            place: min(self._due.get(place, math.inf), begin + number * spread) for number, place in enumerate(places)
        }

    def states(self) -> list[list[str | int]]:
        """What is known of each place, as it is told."""
        return [[*place.key, health.state] for place, health in self._known.items()]

    def next_in(self) -> float | None:
        """Seconds until there is something to do, whatever comes in; None: never."""
        times = [attempt.deadline for attempt in self._under_way.values()]
        times += [due for place, due in self._due.items() if place not in self._under_way]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def turn(self) -> None:
        """Begin what is due, end what takes too long."""
        now = time.monotonic()
        for attempt in [one for one in self._under_way.values() if one.deadline <= now]:
            self._over(attempt, False, f"no answer in {self._check.interval:g} s")
        for place, due in list(self._due.items()):
            if due <= now and place not in self._under_way:
                self._due[place] = max(due + self._check.interval, now)
                self._begin(place, now)

    def events(self) -> list[Message]:
        """The changes since this was asked last."""
        found, self._events = self._events, []
        return found

    def go_on(self, attempt: _Attempt) -> None:
        """Something has come in for a check."""
        if self._under_way.get(attempt.place) is not attempt:
            return
        try:
            self._go_on(attempt)
        except OSError as error:
            self._over(attempt, False, os.strerror(error.errno or 0).lower())

    def _begin(self, place: Place, now: float) -> None:
        kind = socket.SOCK_DGRAM if place.how == "udp" else socket.SOCK_STREAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        attempt = _Attempt(place, sock, now + self._check.interval)
        self._under_way[place] = attempt
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)  # it is chosen on connecting
            sock.bind((self._source, 0))
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                if place.how == "tcp":
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            error = sock.connect_ex((place.address, place.port))
            if error and error not in STILL:
                raise OSError(error, os.strerror(error))
            if place.how == "udp":
                attempt.connected = True
                sock.send(DATAGRAM)
        except OSError as error:
            self._over(attempt, False, os.strerror(error.errno or 0).lower())
            return
        events = selectors.EVENT_READ if place.how == "udp" else selectors.EVENT_WRITE
        self.selector.register(sock, events, attempt)

    def _go_on(self, attempt: _Attempt) -> None:
        sock, place = attempt.sock, attempt.place
        if not attempt.connected:
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            if place.how == "tcp":
                self._over(attempt, True, "it takes connections")
                return
            attempt.connected = True
            sock.send(f"GET {self._check.path} HTTP/1.1\r\nHost: {place.address}\r\nConnection: close\r\n\r\n".encode())
            self.selector.modify(sock, selectors.EVENT_READ, attempt)
            return
        data = sock.recv(2048)
        if place.how == "udp":
            self._over(attempt, True, "it answers datagrams")
            return
        attempt.got += data
        words = bytes(attempt.got[:64]).split(None, 2)
        if len(words) > 2 or (len(words) == 2 and len(words[1]) == 3 and not data):
            good = words[0].startswith(b"HTTP/1.") and words[1][:1] in (b"2", b"3") and words[1].isdigit()
            self._over(attempt, good, f"status {words[1][:8].decode(errors='replace')}")
        elif not data or len(attempt.got) > 64:
            self._over(attempt, False, "no HTTP answer")

    def _over(self, attempt: _Attempt, answered: bool, reason: str) -> None:
        self._close(attempt)
        place = attempt.place
        before = self._known.get(place)
        if before is None:
            return
        now = self._known[place] = before.after(answered, self._check, place.first)
        if now.state != before.state:
            self._events.append(
                {
                    "kind": "health",
                    "time_ns": time.time_ns(),
                    "backend": place.backend,
                    "transport": place.transport,
                    "port": place.port,
                    "state": now.state,
                    "was": before.state,
                    "check": place.how,
                    "reason": reason,
                }
            )

    def _close(self, attempt: _Attempt) -> None:
        del self._under_way[attempt.place]
        with contextlib.suppress(KeyError):
            self.selector.unregister(attempt.sock)
        attempt.sock.close()
