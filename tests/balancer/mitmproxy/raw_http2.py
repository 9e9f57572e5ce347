"""A client of HTTP/2 that sends what no decent one does, and what the proxy told of it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events

from .secure import SecureStand


class Raw:
    """An HTTP/2 connection, frame by frame: also for what no decent client sends."""

    def __init__(self, stand: SecureStand) -> None:
        context = ssl.create_default_context(cadata=stand.signer.trust())
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", stand.listeners[1].port), timeout=10)
        self.socket = context.wrap_socket(plain, server_hostname="lb")
        config = h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def send(self, stream: int, headers: list[tuple[str, str]], *, end: bool = True) -> None:
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()

    def events(self) -> Iterator[h2.events.Event]:
        while data := self.socket.recv(65536):
            yield from self.h2.receive_data(data)
            self.flush()

    def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """Headers and body of the answer on *stream*."""
        headers: dict[str, str] = {}
        body = b""
        for event in self.events():
            match event:
                case h2.events.ResponseReceived(stream_id=number) if number == stream:
                    headers = dict(event.headers)
                case h2.events.DataReceived(stream_id=number) if number == stream:
                    body += event.data
                case h2.events.StreamEnded(stream_id=number) if number == stream:
                    return headers, body
                case h2.events.StreamReset(stream_id=number) if number == stream:
                    return {":reset": str(int(event.error_code))}, body
                case h2.events.ConnectionTerminated():
                    return {":goaway": str(int(event.error_code))}, body
        raise ConnectionError("closed")


def get(path: str = "/api/x", *more: tuple[str, str], method: str = "GET") -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "https"), (":authority", "lb"), (":path", path), *more]


@contextmanager
def raw(stand: SecureStand) -> Iterator[Raw]:
    connection = Raw(stand)
    try:
        yield connection
    finally:
        connection.socket.close()


def told(stand: SecureStand, before: int, count: int) -> list[dict[str, Any]]:
    """The *count* events after the first *before*; waits for those of requests that end with their connection."""
    for _ in range(500):
        if len(events := stand.engine.events()[before:]) >= count:
            return events
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(events)} events")


def pseudo(**changed: str) -> list[tuple[str, str]]:
    """A request's pseudo-headers, some of them changed, or left out where there is nothing."""
    usual = {"method": "GET", "scheme": "https", "authority": "lb", "path": "/api/x"} | changed
    return [(f":{name}", value) for name, value in usual.items() if value]
