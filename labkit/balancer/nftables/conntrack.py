"""New connections as the kernel's connection tracking announces them, with the translation that was chosen.

A connection is announced once, when its first packet leaves the machine: with its original tuple, and the
reply tuple that shows who will answer. That is the record of an L4 decision.
"""

import socket
import time
from collections import deque
from dataclasses import dataclass
from errno import ENOBUFS

from .netlink import FAMILY, Netlink, as_int, attributes, messages

NEW_GROUP = 1
NEW = 1 << 8  # subsystem ctnetlink, message "new"
ORIGINAL, REPLY, STATUS, EVENT_TIME = 1, 2, 3, 27
IP, PROTOCOL = 1, 2
DESTINATION_CHANGED = 0x20
KEPT = 200_000  # announcements; older ones are forgotten, and counted


@dataclass(frozen=True, slots=True)
class Tuple:
    """One direction of a connection."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """A new, translated connection: when, and both its tuples."""

    time_ns: int
    original: Tuple
    reply: Tuple


class Announcements:
    """Listens from the moment it is made, in the network namespace of that moment. Not thread-safe.

    lost: how many times the kernel could not deliver for lack of room. forgotten: older announcements dropped.
    """

    def __init__(self) -> None:
        self._netlink = Netlink(groups=(NEW_GROUP,), receive_buffer=32 << 20)
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self.lost = 0
        self.forgotten = 0

    def fileno(self) -> int:
        return self._netlink.socket.fileno()

    def drain(self) -> None:
        """Take in all that the kernel has queued."""
        while True:
            try:
                data = self._netlink.socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                self.lost += 1
                continue
            now = time.time_ns()
            for kind, _, _, body in messages(data):
                if kind == NEW:
                    self.forgotten += len(self._kept) == KEPT
                    self._kept.append((now, body))

    def translated(self, after: int = 0) -> list[Announcement]:
        """The kept announcements of connections whose destination was rewritten, oldest first, from number *after* on."""
        self.drain()
        kept = list(self._kept)[max(0, after - self.forgotten) :]
        return [found for now, body in kept if (found := parse(now, body))]

    @property
    def count(self) -> int:
        """How many there have been, forgotten ones included."""
        return self.forgotten + len(self._kept)


def parse(received_ns: int, body: bytes) -> Announcement | None:
    """One announcement; None if the connection's destination was not rewritten, or it has no ports."""
    found = dict(attributes(body[FAMILY.size :]))
    if not as_int(found.get(STATUS, b"")) & DESTINATION_CHANGED:
        return None
    original, reply = _tuple(found.get(ORIGINAL, b"")), _tuple(found.get(REPLY, b""))
    if original is None or reply is None:
        return None
    return Announcement(as_int(found.get(EVENT_TIME, b"")) or received_ns, original, reply)


def _tuple(data: bytes) -> Tuple | None:
    found = dict(attributes(data))
    addresses = dict(attributes(found.get(IP, b"")))
    protocol = dict(attributes(found.get(PROTOCOL, b"")))
    if not {2, 3} <= protocol.keys():
        return None
    source, destination = (_address(addresses, four, four + 2) for four in (1, 2))
    return Tuple(as_int(protocol[1]), source, as_int(protocol[2]), destination, as_int(protocol[3]))


def _address(addresses: dict[int, bytes], four: int, six: int) -> str:
    if four in addresses:
        return socket.inet_ntop(socket.AF_INET, addresses[four])
    return socket.inet_ntop(socket.AF_INET6, addresses.get(six, bytes(16)))
