"""HTTP/2 for a backend (RFC 9113): hypercorn's protocol on connections that TLS has already been agreed on.

Everything else about the backend is `labkit.traffic.server`. hypercorn is imported with the first such connection,
since most labs see none. It gives the application ``:authority`` as a Host header, and names in lower case.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

from labkit.traffic.answers import Receive, Scope, Send
from labkit.traffic.received import EXTENSION, KEEP_ALIVE

Headers = Callable[[], list[tuple[bytes, bytes]]]


class Http2:
    """Serves *app* over HTTP/2. headers: what every answer carries besides the application's own; state: lifespan's."""

    def __init__(self, app: Any, headers: Headers, state: dict[str, Any]) -> None:
        self._app = app
        self._headers = headers
        self._state = state
        self._serving: dict[asyncio.Task[None], asyncio.WriteTransport] = {}

    @property
    def transports(self) -> tuple[asyncio.WriteTransport, ...]:
        """Of the connections that are open now."""
        return tuple(self._serving.values())

    def protocol(self, tls: str) -> asyncio.StreamReaderProtocol:
        """The protocol of one connection; *tls*: the version agreed on, for the application to see."""
        reader = asyncio.StreamReader()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(reader, writer, tls))
            self._serving[task] = writer.transport
            task.add_done_callback(self._serving.pop)

        return asyncio.StreamReaderProtocol(reader, begin)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: str) -> None:
        from hypercorn.app_wrappers import ASGIWrapper
        from hypercorn.asyncio.tcp_server import TCPServer

        class AsReceived(TCPServer):
            async def _read_data(self) -> None:  # hyper's h2 would move Cookie fields to the end
                connection: Any = self.protocol.protocol.connection
                connection.config.normalize_inbound_headers = False
                await super()._read_data()

        loop = asyncio.get_running_loop()
        app = ASGIWrapper(_Exact(self._app, tls))  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await AsReceived(app, loop, self._config, self._context, self._state, reader, writer)

    @cached_property
    def _config(self) -> Any:
        from hypercorn.config import Config

        headers = self._headers

        class Answering(Config):
            keep_alive_timeout = KEEP_ALIVE
            keep_alive_max_requests = 1 << 31
            errorlog = None
            accesslog = None

            def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
                return headers()

        return Answering()

    @cached_property
    def _context(self) -> Any:
        from hypercorn.asyncio.worker_context import WorkerContext

        return WorkerContext(None)


class _Exact:
    """*app* with the request as it was received, where `labkit.traffic.received` puts it for HTTP/1.1."""

    def __init__(self, app: Any, tls: str) -> None:
        self._app = app
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
            exact = {"target": target, "headers": tuple(scope["headers"]), "tls": self._tls}
            scope["extensions"] = {**scope["extensions"], EXTENSION: exact}
            scope["headers"] = _one_cookie(scope["headers"])
        await self._app(scope, receive, send)


def _one_cookie(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Cookie fields joined, as applications expect them (RFC 9113 §8.2.3)."""
    crumbs = [value for name, value in headers if name == b"cookie"]
    rest = [field for field in headers if field[0] != b"cookie"]
    return [*rest, (b"cookie", b"; ".join(crumbs))] if crumbs else rest
