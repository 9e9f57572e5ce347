"""Boots the default lab and lets it to another process: ``python -m tests.runtime.let FD``, a Unix socket.

That gets the streams of the lab's nodes, in the topology's order, and holds the lab until it closes the socket.
"""

import socket
import sys

from labkit.runtime.netns import runtime as netns
from labkit.topology import default

_streams: list[socket.socket] = []


class _Let(netns.StreamNode):
    """A node whose stream nobody reads here."""

    def __init__(self, name: str, sock: socket.socket, *_: object) -> None:
        self.name = name
        _streams.append(sock)

    def lose(self, reason: str) -> None:
        """Whoever reads the stream hears of its end."""


def main(number: str, *preload: str) -> int:
    netns.StreamNode = _Let  # type: ignore[misc]
    tenant = socket.socket(fileno=int(number))
    runtime = netns.NetnsRuntime()
    runtime.start(default(), preload)
    socket.send_fds(tenant, [b"here"], [stream.fileno() for stream in _streams])
    for stream in _streams:
        stream.close()
    tenant.recv(1)
    runtime.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
