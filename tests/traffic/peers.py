"""Misbehaving peers, run as tasks beside the hosts under test, and helpers for the tests' own process."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from labkit.runtime.protocol import TaskLink

RESET = b"RESET"


def canned(link: TaskLink, port: int, connections: list[list[bytes]]) -> None:
    """For each connection in turn: read a request, send the next answer, and so on; then close (or reset)."""
    with socket.create_server(("127.0.0.50", port)) as server:
        link.send("ready")
        for answers in connections:
            sock, _ = server.accept()
            with sock:
                _serve(link, sock, answers)
    link.receive()


def _serve(link: TaskLink, sock: socket.socket, answers: list[bytes]) -> None:
    for answer in answers:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return
            data += piece
        link.send(data)
        if answer == RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        sock.sendall(answer)


def mute(link: TaskLink, port: int, count: int) -> None:
    """Accept *count* connections and never say a word; tells when each of them ends."""
    with socket.create_server(("127.0.0.51", port)) as server:
        link.send("ready")
        for _ in range(count):
            sock, _ = server.accept()
            with sock:
                while sock.recv(65536):
                    pass
            link.send("closed")
    link.receive()


@contextlib.contextmanager
def running(node: Any, target: str, **arguments: Any) -> Iterator[Any]:
    """The peer *target* of this module, ready, as a task."""
    task = node.start(f"tests.traffic.peers:{target}", **arguments)
    try:
        assert task.receive(10) == "ready"
        yield task
    finally:
        task.stop(kill=True)
