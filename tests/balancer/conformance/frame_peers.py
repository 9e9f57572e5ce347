"""A WebSocket client that sends a message in very many frames; runs inside a host."""

import socket
import time

UPGRADE = (
    b"GET /ws/frames HTTP/1.1\r\nHost: lb\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ASK = b"GET /ws/other HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"


def send(frames: int) -> list[float]:
    """A message of so many bytes, each in a frame: seconds until it is echoed, and of the slowest other request."""
    with socket.create_connection(("lb", 80), 30) as connection:
        connection.sendall(UPGRADE)
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        first, next_, last = (bytes([head, 0x81, 0, 0, 0, 0]) + b"a" for head in (0x02, 0x00, 0x80))
        connection.sendall(first + next_ * (frames - 2) + last)
        began, slowest = time.monotonic(), 0.0
        connection.setblocking(False)
        while True:
            slowest = max(slowest, _ask())
            try:
                connection.recv(1)
            except BlockingIOError:
                continue
            return [time.monotonic() - began, slowest]


def _ask() -> float:
    began = time.monotonic()
    with socket.create_connection(("lb", 80), 30) as connection:
        connection.sendall(ASK)
        connection.recv(1)
    return time.monotonic() - began
