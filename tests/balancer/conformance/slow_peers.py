"""Clients that send half a head and no more, and others meanwhile; runs inside a host."""

import resource
import selectors
import socket
import time
from typing import Any

VIP = ("lb", 80)
HALF = b"GET /api/slow HTTP/1.1\r\nHost: lb\r\nX-Half: "
WHOLE = b"GET /api/quick HTTP/1.1\r\nHost: lb\r\n\r\n"


def hold(slow: int, good: int, patience: float) -> dict[str, Any]:
    """*slow* half-sent heads held open, *good* requests meanwhile, then how each of the slow ones ended.

    good: [status, seconds] of each. open: how many of the slow ones were so after the good ones. ended: of each of them
    the status, or "closed" or "reset". seconds: until the last one had ended, *patience* at most.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [socket.create_connection(VIP, 10) for _ in range(slow)]
    for each in held:
        each.sendall(HALF)
    began = time.monotonic()
    answers = [_good() for _ in range(good)]
    with selectors.DefaultSelector() as selector:
        for each in held:
            each.setblocking(False)
            selector.register(each, selectors.EVENT_READ, each)
        still = slow - len(selector.select(0))
        ended: list[str] = []
        while len(ended) < slow and (left := began + patience - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                ended.append(_end(key.data))
    return {"good": answers, "ended": ended, "open": still, "seconds": time.monotonic() - began}


def _good() -> list[float]:
    began = time.monotonic()
    with socket.create_connection(VIP, 10) as connection:
        connection.sendall(WHOLE)
        status = float(connection.recv(65536).split()[1])
    return [status, time.monotonic() - began]


def _end(connection: socket.socket) -> str:
    try:
        answer = connection.recv(65536)
    except ConnectionResetError:
        return "reset"
    return answer.split()[1].decode() if answer else "closed"
