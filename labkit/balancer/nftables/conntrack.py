"""New translated connections, as the kernel's connection tracking reports them.

The kernel queues one event per connection that was translated to another destination; all others are held
back by a filter in the kernel. Events are kept as raw bytes: draining must be quicker than connecting,
and what they mean is computed when somebody asks.
"""

import ctypes
import socket
import struct
from dataclasses import dataclass

from .netlink import BODY, as_int, attributes
from .queue import RECEIVE_BUFFER, Queue

NEW_CONNECTIONS = 1  # multicast group
SO_ATTACH_FILTER = 26
TUPLE_ORIGINAL, TUPLE_REPLY, STATUS, TIMESTAMP_EVENT = 1, 2, 3, 27
DESTINATION_TRANSLATED = 0x20  # a bit of the status
PROTOCOLS = {6: "TCP", 17: "UDP"}

# A classic BPF program over one event: find the status attribute, keep the event if the bit is set.
_FILTER = (
    (0x00, 0, 0, BODY),  # A = where the attributes begin
    (0x01, 0, 0, STATUS),  # X = the attribute to find
    (0x20, 0, 0, 0xFFFFF000 + 12),  # A = where it is (the kernel's SKF_AD_NLATTR), 0: nowhere
    (0x15, 4, 0, 0),  # nowhere: drop
    (0x07, 0, 0, 0),  # X = A
    (0x40, 0, 0, 4),  # A = the 32 bits after its header
    (0x45, 0, 1, DESTINATION_TRANSLATED),  # not set: drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
    (0x06, 0, 0, 0),  # drop
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One direction of a connection, as tracked."""

    protocol: str  # TCP | UDP
    source: str
    source_port: int
    destination: str
    destination_port: int


@dataclass(frozen=True, slots=True)
class Translated:
    """A connection as the client began it, and as the answer to it will come. time_ns: Unix time."""

    original: Endpoints
    reply: Endpoints
    time_ns: int


def parse(event: bytes, received_ns: int) -> Translated | None:
    """What an event says; None if it is neither TCP nor UDP. An old kernel gives no time: then the time of receipt."""
    found = dict(attributes(event[BODY:]))
    original, reply = endpoints(found.get(TUPLE_ORIGINAL, b"")), endpoints(found.get(TUPLE_REPLY, b""))
    if original is None or reply is None:
        return None
    stamp = found.get(TIMESTAMP_EVENT)
    return Translated(original, reply, as_int(stamp) if stamp else received_ns)


def endpoints(data: bytes) -> Endpoints | None:
    """A tuple's attributes as addresses and ports; None if it is neither TCP nor UDP."""
    found = dict(attributes(data))
    address, protocol = dict(attributes(found.get(1, b""))), dict(attributes(found.get(2, b"")))
    name = PROTOCOLS.get(as_int(protocol.get(1, b"")))
    source, destination = address.get(1, address.get(3)), address.get(2, address.get(4))
    if name is None or source is None or destination is None:
        return None
    return Endpoints(
        name,
        _address(source),
        as_int(protocol.get(2, b"")),
        _address(destination),
        as_int(protocol.get(3, b"")),
    )


def _address(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


class Events(Queue):
    """The queue of events, from the moment this is made. Not thread-safe."""

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        super().__init__(receive_buffer)
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _FILTER))
        attached = struct.pack("@HP", len(_FILTER), ctypes.addressof(program))
        self._netlink.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        self._netlink.join(NEW_CONNECTIONS)
