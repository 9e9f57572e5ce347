"""A plain socket for the stream that the SDK gives: a socket as it is, TLS through a thread that is between the two.

The loop that reads all streams of a lab waits on sockets of the kernel, and only by them it knows when there is
something to read; TLS keeps what it has decrypted in a buffer of its own.
"""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

_CHUNK = 1 << 16


def plain_socket(raw: Any) -> socket.socket:
    """The socket that *raw*, of an answer to the SDK, is or wraps; of one that speaks TLS, the near end of a pair."""
    inner = getattr(raw, "_sock", raw)
    if not isinstance(inner, ssl.SSLSocket):
        own: socket.socket = inner.dup()
        raw._response.close()  # in this order: what has been closed below it is an error to the SDK's buffers
        return own
    near, far = socket.socketpair()
    threading.Thread(target=_carry, args=(far, inner), name="labkit docker stream", daemon=True).start()
    return near


def _carry(far: socket.socket, secure: ssl.SSLSocket) -> None:
    """Whatever comes at one goes out at the other, until one of them ends. One thread: TLS is not for two at once."""
    far.setblocking(False)
    secure.setblocking(False)
    outward, inward = bytearray(), bytearray()
    with contextlib.suppress(OSError, ValueError), far, secure, _hanging_up(secure):  # ValueError: closed elsewhere
        while True:
            if not inward and (data := _received(secure)) is not None:
                if not data:
                    return
                inward += data
            if not outward and (data := _received(far)) is not None:
                if not data:
                    return
                outward += data
            moved = _sent(far, inward) + _sent(secure, outward)
            if not moved and not (secure.pending() and not inward):
                ready = select.poll()  # and not select, which knows 1,024 descriptors
                for sock, wanted in ((secure, _events(not inward, outward)), (far, _events(not outward, inward))):
                    if wanted:
                        ready.register(sock, wanted)
                ready.poll()


def _events(reading: object, writing: object) -> int:
    return (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0)


@contextlib.contextmanager
def _hanging_up(secure: ssl.SSLSocket) -> Iterator[None]:
    """The connection ends even where a fork of this process holds a copy."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            secure.shutdown(socket.SHUT_RDWR)


def _received(sock: socket.socket) -> bytes | None:
    """What is there: b"" at the end, None if nothing is."""
    try:
        return sock.recv(_CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def _sent(sock: socket.socket, waiting: bytearray) -> int:
    """Send what goes out at once; returns how many bytes that was."""
    if not waiting:
        return 0
    try:
        count = sock.send(waiting)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return 0
    del waiting[:count]
    return count
