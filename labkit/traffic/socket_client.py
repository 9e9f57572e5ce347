"""TCP and UDP clients: call targets that open a socket, send, receive and close, by key.

Runs in a node's worker. What is received is numbered from 0: asking again for a number gives the same piece, so
that nothing is lost when the user interrupts a waiting ``recv``.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from labkit.traffic.failure import reported
from labkit.traffic.held import shelf
from labkit.traffic.target import connect, ends, hang_up, resolve

PIECE = 256 * 1024


class Numbered[T]:
    """What arrives, one numbered piece at a time; the latest piece is kept until the next one is asked for."""

    def __init__(self, receive: Callable[[float], T]) -> None:
        self._receive = receive
        self._busy = threading.Lock()
        self._next = 0
        self._latest: T | None = None

    def piece(self, number: int, timeout: float) -> T | None:
        """Piece *number*: the next one, or the latest one again. TimeoutError, or what receiving raises."""
        deadline = time.monotonic() + timeout
        if not self._busy.acquire(timeout=timeout):
            raise TimeoutError
        try:
            if number >= self._next:
                self._latest = self._receive(max(deadline - time.monotonic(), 0.001))
                self._next += 1
            return self._latest
        finally:
            self._busy.release()


class Socket:
    """A connected TCP or UDP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received: Numbered[bytes] = Numbered(self._receive)

    def _receive(self, timeout: float) -> bytes:
        self.sock.settimeout(timeout)
        return self.sock.recv(PIECE)

    def send(self, data: bytes, timeout: float) -> None:
        writing = self.sock.dup()  # time-outs belong to a Python socket: recv may be waiting in another thread
        try:
            writing.settimeout(timeout)
            writing.sendall(data)
        finally:
            writing.close()

    def close(self) -> None:
        hang_up(self.sock)


@reported
def open_tcp(key: str, host: str, port: int, timeout: float) -> dict[str, Any]:
    """Call target: connect by TCP. Result: {"local", "remote": [ip, port], "seconds" (to connect)}."""
    started = time.monotonic()
    sock = connect(host, port, timeout)
    seconds = time.monotonic() - started
    where = ends(sock)
    shelf.put(key, Socket(sock))
    return {**where, "seconds": seconds}


@reported
def open_udp(key: str, host: str, port: int) -> dict[str, Any]:
    """Call target: a UDP socket that talks to one endpoint only. Result: {"local", "remote": [ip, port]}."""
    family, address = resolve(host, port, socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.connect(address)
        where = ends(sock)
    except OSError:
        sock.close()
        raise
    shelf.put(key, Socket(sock))
    return where


@reported
def send(key: str, data: bytes, timeout: float) -> dict[str, Any]:
    """Call target: send all of *data* (UDP: as one datagram)."""
    shelf.get(key, Socket).send(data, timeout)
    return {}


@reported
def receive(key: str, number: int, timeout: float) -> dict[str, Any]:
    """Call target: piece *number* of what arrives: {"data": bytes}; empty at the end of a TCP stream."""
    return {"data": shelf.get(key, Socket).received.piece(number, timeout)}
