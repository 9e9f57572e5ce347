"""A netlink socket that the kernel fills by itself, as a queue: emptied without waiting, its losses counted."""

import time
from errno import ENOBUFS

from .netlink import NETLINK_NETFILTER, Netlink

RECEIVE_BUFFER = 64 << 20  # bytes; without root the kernel gives what net.core.rmem_max allows
A_DRAIN = 4096  # messages at most


class Queue:
    """Whoever inherits says what is queued. Not thread-safe."""

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        self._netlink = Netlink(receive_buffer)
        self.lost_ns = 0  # when it was noticed last that the queue had been full

    def fileno(self) -> int:
        return self._netlink.socket.fileno()

    def close(self) -> None:
        """Idempotent."""
        self._netlink.close()

    def drain(self) -> list[tuple[int, bytes]]:
        """What is queued, oldest first: (Unix time of receipt in ns, message). At most `A_DRAIN`; does not wait."""
        found: list[tuple[int, bytes]] = []
        receive, now = self._netlink.socket.recv, time.time_ns
        while len(found) < A_DRAIN:
            try:
                message = receive(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != ENOBUFS:  # said once after the queue was full; `lost` counts
                    raise
                self.lost_ns = now()
                continue
            found.append((now(), message))
        return found

    @property
    def lost(self) -> int:
        """How many messages the kernel could not queue because the queue was full: this socket's drops."""
        with open("/proc/net/netlink", encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if words[1:3] == [str(NETLINK_NETFILTER), str(self._netlink.port)]:
                    return int(words[8])
        return 0
