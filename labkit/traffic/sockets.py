"""Sockets a server listens on: one for IPv4 and one for IPv6 per port, so that IPv4 peers show their own addresses.

A single dual-stack socket would report ``::ffff:10.0.1.11``. Where the kernel has no IPv6, IPv4 alone is served.
"""

import contextlib
import errno
import resource
import socket
from collections.abc import Iterator

from labkit.errors import TaskError

WILDCARDS = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))
NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
PROTOCOLS = {  # named, or asyncio leaves Nagle's algorithm on: then every answer of two writes waits 40 ms for an ACK
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}
BACKLOG = 4096


def bound(name: str, port: int, kind: socket.SocketKind) -> list[socket.socket]:
    """Non-blocking sockets of *kind* on *port* of every address; port 0: the kernel chooses one for both.

    TaskError, naming the server *name*, if the port is taken or may not be used.
    """
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for family, address in WILDCARDS:
            try:
                sock = undo.enter_context(socket.socket(family, kind, PROTOCOLS[kind]))
                _prepare(sock, family, kind)
                sock.bind((address, port))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno in NO_IPV6:
                    continue
                label = "TCP" if kind == socket.SOCK_STREAM else "UDP"
                raise TaskError(f"{name} cannot serve {label} port {port}: {error.strerror}") from error
            port = sock.getsockname()[1]
            sockets.append(sock)
        undo.pop_all()
    return sockets


def _prepare(sock: socket.socket, family: socket.AddressFamily, kind: socket.SocketKind) -> None:
    sock.setblocking(False)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_PKTINFO, 1)


@contextlib.contextmanager
def listening(name: str, port: int) -> Iterator[list[socket.socket]]:
    """TCP sockets for *port*, closed at the end."""
    sockets = bound(name, port, socket.SOCK_STREAM)
    try:
        for sock in sockets:
            sock.listen(BACKLOG)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may go."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
