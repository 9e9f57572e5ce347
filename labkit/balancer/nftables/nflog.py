"""First packets that rules log (``log prefix "api1 10.0.2.11" group 80``), as the kernel hands them over.

Where nothing is translated, conntrack has nothing to report: then the rule that chose says so itself, in its log. A
logged packet is kept as raw bytes, as conntrack's reports are, and parsed when somebody asks.
"""

import socket
import struct

from .conntrack import PROTOCOLS, Endpoints, Translated
from .netlink import ACK, BODY, Message, as_text, attribute, attributes, u32
from .queue import RECEIVE_BUFFER, Queue

GROUP = 80  # of the log statement; nothing else in a lab logs to one
SNAPLEN = 64  # bytes of each packet: the IP header and the ports
ULOG, CONFIG = 4, 1  # the subsystem; its message that configures a group
COMMAND, MODE, QUEUE_THRESHOLD, BIND, COPY_PACKET = 1, 2, 5, 1, 2
TIMESTAMP, PAYLOAD, PREFIX = 3, 9, 10


class Log(Queue):
    """What is logged to `GROUP` from the moment this is made, in the namespace of that moment. Not thread-safe."""

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        super().__init__(receive_buffer)
        for payload in (
            attribute(COMMAND, bytes([BIND])),
            attribute(MODE, struct.pack("!IBB", SNAPLEN, COPY_PACKET, 0)),
            u32(QUEUE_THRESHOLD, 1),  # each packet at once
        ):
            what = "the log of direct server return"
            self._netlink.dump(Message(ULOG << 8 | CONFIG, 0, payload, what, ACK, GROUP))


def is_log(message: bytes) -> bool:
    """Whether it is a logged packet, not a report of conntrack's."""
    return message[5] == ULOG  # the high byte of its type


def parse(message: bytes, received_ns: int) -> Translated | None:
    """The flow that the packet begins, and as whose answer it will be given; None if it is neither TCP nor UDP.

    time_ns: when it was received by the interface, if the kernel stamped it, else when the log was read.
    """
    found = dict(attributes(message[BODY:]))
    original, words = _endpoints(found.get(PAYLOAD, b"")), as_text(found.get(PREFIX, b"")).split()
    if original is None or len(words) != 2:
        return None
    backend = words[1]
    reply = Endpoints(original.protocol, backend, original.destination_port, original.source, original.source_port)
    stamp = found.get(TIMESTAMP)
    seconds, micro = struct.unpack("!QQ", stamp) if stamp else (0, 0)
    return Translated(original, reply, seconds * 1_000_000_000 + micro * 1_000 if seconds else received_ns)


def _endpoints(packet: bytes) -> Endpoints | None:
    """Addresses and ports of an IP packet without extension headers."""
    if len(packet) < 28:
        return None
    if packet[0] >> 4 == 4:
        protocol, at, family, addresses = packet[9], (packet[0] & 0xF) * 4, socket.AF_INET, packet[12:20]
    else:
        protocol, at, family, addresses = packet[6], 40, socket.AF_INET6, packet[8:40]
    name, half = PROTOCOLS.get(protocol), len(addresses) // 2
    if name is None or len(packet) < at + 4:
        return None
    source_port, destination_port = struct.unpack_from("!HH", packet, at)
    source, destination = (socket.inet_ntop(family, part) for part in (addresses[:half], addresses[half:]))
    return Endpoints(name, source, source_port, destination, destination_port)
