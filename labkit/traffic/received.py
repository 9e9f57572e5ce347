"""uvicorn's HTTP protocol with the request kept exactly as it was received.

ASGI lower-cases header names and takes the target apart; the lab shows what really came over the wire. An
application finds it in ``scope["extensions"]["labkit"]``: {"target": bytes, "headers": [(name, value), …]} in order
and in the sender's own case, and {"tls": "TLSv1.3"} or None. What to answer is left to the application.
"""

import asyncio
import time
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

EXTENSION = "labkit"
KEEP_ALIVE = 600
BACKLOG = 4096


class ExactHttpProtocol(HttpToolsProtocol):
    """One HTTP connection. Trailer fields are no headers and are left out."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._fields.append((name, value.rstrip(b" \t")))  # white space around a value is none of it: RFC 9110 §5.5

    def on_headers_complete(self) -> None:
        exact: dict[object, object] = {
            "target": self.url,
            "headers": tuple(self._fields),
            "tls": tls_version(self.transport),
        }
        self.scope["extensions"] = {EXTENSION: exact}
        super().on_headers_complete()


def tls_version(transport: asyncio.BaseTransport) -> str | None:
    """ "TLSv1.2", "TLSv1.3", or None for a connection in clear."""
    session = transport.get_extra_info("ssl_object")
    return session.version() if session else None


class Answering(ServerState):
    """State shared by a server's connections; the headers every answer carries are made fresh once a second."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        if now != self._second:
            self._second = now
            date = formatdate(now, usegmt=True).encode()  # RFC 9110 §6.6.1
            self._headers = [(b"date", date), (b"x-backend", self._name)]
        return self._headers

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        """uvicorn's own, empty at first, are not used."""


def configure(app: Any, *, lifespan: bool) -> Config:
    """uvicorn's settings for *app*: nothing logged per request, no header believed, no WebSocket pings or compression.

    *lifespan*: run the application's start-up and shutdown, if it has any.
    """
    config = Config(
        app,
        http=ExactHttpProtocol,
        ws=WebSocketsSansIOProtocol,
        interface="asgi3",
        lifespan="auto" if lifespan else "off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE,
        backlog=BACKLOG,
    )
    config.load()
    return config
