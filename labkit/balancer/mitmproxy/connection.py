"""One client connection: mitmproxy's handler with our layers, our hooks, and a floor under its crashes."""

import asyncio
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from logging import INFO
from types import TracebackType
from typing import Any, Literal

from mitmproxy.connection import Connection, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import LiveConnectionHandler
from mitmproxy.proxy.server_hooks import ClientDisconnectedHook, ServerDisconnectedHook
from mitmproxy.tls import TlsData

from labkit.balancer.mitmproxy.answers import raw_answer
from labkit.balancer.mitmproxy.layers import FrontHttp
from labkit.balancer.mitmproxy.record import STREAM, record
from labkit.balancer.mitmproxy.retrying import AnswerLate
from labkit.balancer.mitmproxy.router import UNDECIDED, Router
from labkit.balancer.mitmproxy.tls import FrontTls, Tls

_ExcInfo = Literal[True] | tuple[type[BaseException] | None, BaseException | None, TracebackType | None] | None
_BACK_CONNECTIONS = 256  # to one backend: more than a client has streams, or one that waits could wait for ever
_AT_ONCE = struct.pack("ii", 1, 0)  # linger: on, 0 s; closing sends RST instead of FIN
_HOOKS: dict[str, Callable[[Router, HTTPFlow], Awaitable[None]]] = {
    "requestheaders": Router.requestheaders,
    "request": Router.request,
    "decide": Router.decide,
    "responseheaders": Router.responseheaders,
    "websocket_message": Router.websocket_message,
    "websocket_end": Router.websocket_end,
}
_TLS_HOOKS: dict[str, Callable[[Tls, TlsData], None]] = {
    "tls_start_client": Tls.start_client,
    "tls_start_server": Tls.start_server,
    "tls_established_client": Tls.ended_client,
    "tls_failed_client": Tls.ended_client,
    "tls_established_server": Tls.ended_server,
    "tls_failed_server": Tls.ended_server,
}
_ENDS = HttpResponseHook | HttpErrorHook  # every request ends in one of them; nothing but bytes on their way follow


class ClientConnection(LiveConnectionHandler):
    """A client's connection and the backend connections made for it, until the client's ends.

    secure: it begins with TLS, which *tls* ends here.
    """

    def __init__(
        self, reader: Any, writer: Any, options: Options, mode: ProxyMode, router: Router, tls: Tls | None, secure: bool
    ) -> None:
        super().__init__(reader, writer, options, mode)
        context = self.layer.context
        context.server.address = UNDECIDED
        tunnel = FrontTls(context, router.policy.limits.header_seconds) if secure else None
        self.layer = self._http = FrontHttp(context, router)
        if tunnel:
            self.layer, tunnel.child_layer = tunnel, self._http
        self._tls = tls
        self._router = router
        self._full: asyncio.Future[None] | None = None  # done when there is room for more requests
        self._under_way: dict[str, HTTPFlow] = {}
        self._clocks: dict[str, asyncio.TimerHandle] = {}  # of requests whose answers are waited for
        self._tasks: set[asyncio.Task[None]] = set()
        self.max_conns = defaultdict(lambda: asyncio.Semaphore(_BACK_CONNECTIONS))

    async def handle_hook(self, hook: commands.StartHook) -> None:
        try:
            if isinstance(hook, HttpRequestHeadersHook):
                self._under_way[hook.flow.id] = hook.flow
            elif isinstance(hook, HttpResponseHeadersHook | _ENDS):
                self._in_time(hook.flow)
            if isinstance(hook, _ENDS):
                if hook.flow.id in self._under_way:
                    if isinstance(hook, HttpResponseHook):
                        await self._router.response(hook.flow)
                    self._router.ending(hook.flow)
            elif act := _HOOKS.get(hook.name):
                await act(self._router, *hook.args())
            elif self._tls:
                self._tls_hook(self._tls, hook)
            if isinstance(hook, HttpRequestHook):
                self._wait(hook.flow)
        except Exception:  # whatever it was: telling it ends this connection
            self.log(f"the balancer's {hook.name} hook failed", 40, exc_info=True)

    async def server_event(self, event: events.Event) -> None:
        await super().server_event(event)
        if isinstance(event, events.HookCompleted) and isinstance(event.command, _ENDS):
            flow = self._under_way.pop(event.command.flow.id, None)
            if flow:  # what the hook preceded has been written by now
                stream = self._http.back_stream(flow.server_conn, flow.metadata[STREAM])
                self._router.finish(flow, stream)
                self.close_unused()
        if self._full and not self._full.done() and not self._http.full:
            self._full.set_result(None)

    async def drain_writers(self) -> None:
        """Wait before reading on from a connection: until what came can go on, so that TCP slows its sender down."""
        client = self.transports.get(self.client)
        mine = client is not None and asyncio.current_task() is client.handler
        self._http.blocked |= mine
        try:
            await super().drain_writers()  # type: ignore[no-untyped-call]
            if mine and self._http.full:
                self._full = asyncio.get_running_loop().create_future()
                await self._full
        finally:
            if mine:
                self._http.blocked, self._full = False, None

    def _wait(self, flow: HTTPFlow) -> None:
        """The request is complete: from now on its backend has so much time to begin an answer."""
        if seconds := self._router.patience(flow):
            self._clocks[flow.id] = asyncio.get_running_loop().call_later(seconds, self._late, flow)

    def _in_time(self, flow: HTTPFlow) -> None:
        if clock := self._clocks.pop(flow.id, None):
            clock.cancel()

    def _late(self, flow: HTTPFlow) -> None:
        del self._clocks[flow.id]
        self._router.late(flow)
        task = asyncio.get_running_loop().create_task(self.server_event(AnswerLate(flow)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close_unused(self) -> None:
        """Close the idle connections to backends that no route leads to any more: nothing will be asked there."""
        for connection, address in self._back():
            if self._router.name_of(address) is None and self._http.idle(connection):
                self.close_connection(connection)

    def pairs(self) -> list[list[Any]]:
        """[address, port] of the client's end, and of our own end of each connection to a backend, in one list each."""
        return [
            [*self.client.peername[:2], *connection.sockname[:2]]
            for connection, _ in self._back()
            if connection.sockname
        ]

    def reset(self, addresses: Collection[str]) -> int:
        """End what leads to a backend at one of *addresses* with a reset, under way or not. How many those were."""
        writers = [self.transports[connection].writer for connection, address in self._back() if address in addresses]
        doomed = [writer for writer in writers if isinstance(writer, asyncio.StreamWriter)]
        for writer in doomed:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()  # its reader finds the end, and whoever waits for an answer is told
        return len(doomed)

    def _back(self) -> list[tuple[Connection, str]]:
        """The established connections to backends, each with the backend's address."""
        return [
            (connection, connection.address[0])
            for connection, io in self.transports.items()
            if isinstance(connection, Server) and connection.address and io.writer and not io.writer.is_closing()
        ]

    def _tls_hook(self, tls: Tls, hook: commands.StartHook) -> None:
        if isinstance(hook, ClientDisconnectedHook):
            tls.closed(hook.client)
        elif isinstance(hook, ServerDisconnectedHook):
            tls.closed(hook.data.server)
        elif act := _TLS_HOOKS.get(hook.name):
            act(tls, *hook.args())

    def log(self, message: str, level: int = INFO, exc_info: _ExcInfo = None) -> None:
        """mitmproxy's log. An exception told here is one nobody handled: the connection cannot go on."""
        super().log(message, level, exc_info)  # type: ignore[arg-type]
        if exc_info is True:
            self._end_crashed(f"{message}: {sys.exception()!r}")

    def _end_crashed(self, reason: str) -> None:
        io = self.transports.get(self.client)
        writer = io.writer if io and io.writer and not io.writer.is_closing() else None
        front = self._http.front
        answerable = writer is not None and front is not None and not front.answering and not self.client.tls
        for flow in self._under_way.values():
            if answerable:
                record(flow).status = 500
            self._router.finish(flow, failure=reason)
        self._under_way.clear()
        if io and writer:
            if answerable:
                writer.write(raw_answer(500, "the balancer failed on this request"))
            writer.close()
            if io.handler:
                io.handler.cancel("crashed")
