"""A plain socket for whatever stream the SDK gives: a socket as it is, TLS, SSH and pipes through two threads.

The loop that reads all streams of a lab waits on sockets of the kernel, and only there it knows when something can be
read; a stream with a buffer of its own is pumped into such a socket.
"""

import contextlib
import socket
import ssl
import threading
from typing import Any

_CHUNK = 1 << 16


def plain_socket(raw: Any) -> socket.socket:
    """The socket that *raw*, of an answer to the SDK, wraps; or else the near end of a pair that is pumped from it."""
    inner = getattr(raw, "_sock", raw)
    if isinstance(inner, socket.socket) and not isinstance(inner, ssl.SSLSocket):
        own = inner.dup()
        raw._response.close()  # in this order: what has been closed below it is an error to the SDK's buffers
        return own
    near, far = socket.socketpair()
    for pump in (_out, _in):
        threading.Thread(target=pump, args=(far, inner), name="labkit docker stream", daemon=True).start()
    return near


def _out(far: socket.socket, raw: Any) -> None:
    with contextlib.suppress(OSError):
        while data := far.recv(_CHUNK):
            raw.sendall(data)
    with contextlib.suppress(OSError):
        raw.close()


def _in(far: socket.socket, raw: Any) -> None:
    with contextlib.suppress(OSError):
        while data := raw.recv(_CHUNK):
            far.sendall(data)
    far.close()
