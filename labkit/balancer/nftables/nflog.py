"""First packets that rules log (``log prefix "api1 10.0.2.11" group 80``), as the kernel hands them over.

Where nothing is translated, conntrack has nothing to report: then the rule that chose says so itself, in its log. A
logged packet is kept as raw bytes, as conntrack's reports are, and parsed when somebody asks.
"""

import socket
import struct
import time
from errno import ENOBUFS

from .conntrack import A_DRAIN, PROTOCOLS, RECEIVE_BUFFER, Endpoints, Translated
from .netlink import ACK, BODY, NETLINK_NETFILTER, Message, Netlink, as_text, attribute, attributes, u32

GROUP = 80  # of the log statement; nothing else in a lab logs to one
SNAPLEN = 64  # bytes of each packet: the IP header and the ports
ULOG, CONFIG = 4, 1  # the subsystem; its message that configures a group
COMMAND, MODE, QUEUE_THRESHOLD, BIND, COPY_PACKET = 1, 2, 5, 1, 2
TIMESTAMP, PAYLOAD, PREFIX = 3, 9, 10


class Log:
    """What is logged to `GROUP` from the moment this is made, in the namespace of that moment. Not thread-safe."""

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        self._netlink = Netlink(receive_buffer)
        self.lost_ns = 0  # when it was noticed last that the queue had been full
        for payload in (
            attribute(COMMAND, bytes([BIND])),
            attribute(MODE, struct.pack("!IBB", SNAPLEN, COPY_PACKET, 0)),
            u32(QUEUE_THRESHOLD, 1),  # each packet at once
        ):
            what = "the log of direct server return"
            self._netlink.dump(Message(ULOG << 8 | CONFIG, 0, payload, what, ACK, GROUP))

    def fileno(self) -> int:
        return self._netlink.socket.fileno()

    def close(self) -> None:
        """Idempotent."""
        self._netlink.close()

    def drain(self) -> list[tuple[int, bytes]]:
        """What is queued, oldest first: (Unix time of receipt in ns, message). At most `A_DRAIN`; does not wait."""
        found: list[tuple[int, bytes]] = []
        while len(found) < A_DRAIN:
            try:
                message = self._netlink.socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                self.lost_ns = time.time_ns()
                continue
            found.append((time.time_ns(), message))
        return found

    @property
    def lost(self) -> int:
        """How many packets the kernel could not queue."""
        with open("/proc/net/netlink", encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if words[1:3] == [str(NETLINK_NETFILTER), str(self._netlink.port)]:
                    return int(words[8])
        return 0


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
