"""The server of a backend: a task with one process and one event loop for HTTP, WebSocket, TCP echo and UDP echo.

HTTP is served in clear and, where there is a port for it, under TLS too: there HTTP/1.1 and HTTP/2, by ALPN. What is
answered stands in `labkit.traffic.answers` and `labkit.traffic.echo`, how HTTP is received in
`labkit.traffic.received` and `labkit.traffic.http2_server`. Sends {"ready": {"http": port, "tcp": port, "udp": port}},
with "https" where it is served, when all of it listens. Sends {"certificate": True} when the first one comes to the
TLS port: until then it needs none.
Takes {"op": "slow", "seconds": s}: every answer from then on waits that long first; sends {"slow": s} when it is so.
Takes {"op": "certify", "chain", "key"} (PEM) once: whoever has come to the TLS port is served from then on.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable

from labkit.errors import TaskError
from labkit.runtime.protocol import TaskLink
from labkit.traffic import user_app
from labkit.traffic.answers import Answers
from labkit.traffic.echo import TcpEcho, UdpEcho
from labkit.traffic.http2_server import Http2
from labkit.traffic.received import Answering, ExactHttpProtocol, configure, tls_version
from labkit.traffic.sockets import allow_many_files, bound, listening
from labkit.traffic.tls import server_context

GOODBYE = 0.3


def main(
    link: TaskLink,
    name: str,
    http_port: int = 80,
    tcp_port: int = 7,
    udp_port: int = 7,
    https_port: int | None = None,
    app: bytes | None = None,
    delay: float = 0.0,
) -> None:
    """Task target: serve as the backend *name* until SIGTERM or until the owner is gone.

    https_port: None where TLS is not served. app: a pickled ASGI application (`labkit.pickled`) to serve
    instead of ours on the HTTP ports.
    delay: seconds before each answer. Ports may be 0 (chosen by the kernel, reported in "ready"). TaskError if
    a port is taken or the application cannot be loaded or started.
    """
    allow_many_files()
    server = Server(name, app, delay)
    loop = asyncio.new_event_loop()
    loop.add_signal_handler(signal.SIGTERM, loop.stop)  # an exception raised in a handler could land in an application
    with contextlib.ExitStack() as closing:
        closing.callback(loop.close)
        closing.callback(_wind_up, loop)
        tcp_ports = {"http": http_port, "tcp": tcp_port, **({} if https_port is None else {"https": https_port})}
        socks = {kind: closing.enter_context(listening(name, port)) for kind, port in tcp_ports.items()}
        socks["udp"] = [closing.enter_context(sock) for sock in bound(name, udp_port, socket.SOCK_DGRAM)]
        loop.run_until_complete(server.serve(socks, lambda: link.send({"certificate": True})))
        closing.callback(server.goodbye, loop)
        loop.add_reader(link.fileno(), server.take, link, loop)
        link.send({"ready": {kind: first.getsockname()[1] for kind, (first, *_) in socks.items()}})
        loop.run_forever()


class Server:
    """What the parts of one backend's server share."""

    def __init__(self, name: str, app: bytes | None, delay: float) -> None:
        self.name = name
        self.delay = delay
        if app is None:
            self._config = configure(Answers(name, self._pause), lifespan=False)
        else:
            self._config = configure(user_app.Guarded(user_app.load(name, app), self._pause), lifespan=True)
        self._state = Answering(name)
        self._lifespan = self._config.lifespan_class(self._config)
        self._http2 = Http2(self._config.app, lambda: self._state.default_headers, self._lifespan.state)

    async def serve(self, socks: dict[str, list[socket.socket]], want_certificate: Callable[[], None]) -> None:
        """Begin to serve on the sockets given: "http", "tcp", "udp"; "https" waits for a client, then for `certify`."""
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise TaskError(f"{self.name} cannot serve the application: its start-up failed")
        loop = asyncio.get_running_loop()
        for sock in socks["http"]:
            await loop.create_server(self._http_connection, sock=sock, backlog=self._config.backlog)
        self._uncertified = socks.get("https", [])
        for sock in self._uncertified:
            loop.add_reader(sock, self._first_secure_client, want_certificate)
        echo = TcpEcho(self.name, self._pause)
        for sock in socks["tcp"]:
            await asyncio.start_server(echo, sock=sock, backlog=self._config.backlog)
        for sock in socks["udp"]:
            UdpEcho(self.name, sock, lambda: self.delay)

    def take(self, link: TaskLink, loop: asyncio.AbstractEventLoop) -> None:
        """Do what the owner's messages say; end when the owner is gone."""
        try:
            for message in link.poll():
                if message["op"] == "certify":
                    self._certifying = loop.create_task(self._certify(message["chain"], message["key"]))
                else:
                    self.delay = float(message["seconds"])
                    link.send({"slow": self.delay})
        except EOFError:
            loop.stop()

    def goodbye(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cut the connections, so that no request gets a made-up answer; let the application shut down, briefly."""
        http1 = (connection.transport for connection in self._state.connections)
        for transport in (*http1, *self._http2.transports):
            transport.abort()
        with contextlib.suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(self._lifespan.shutdown(), GOODBYE))

    def _first_secure_client(self, want_certificate: Callable[[], None]) -> None:
        for sock in self._uncertified:
            asyncio.get_running_loop().remove_reader(sock)
        want_certificate()

    async def _certify(self, chain: str, key: str) -> None:
        context = server_context(chain, key)
        loop = asyncio.get_running_loop()
        for sock in self._uncertified:
            await loop.create_server(self._secure_connection, sock=sock, backlog=self._config.backlog, ssl=context)

    async def _pause(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

    def _http_connection(self) -> asyncio.Protocol:
        return ExactHttpProtocol(self._config, self._state, self._lifespan.state)

    def _secure_connection(self) -> asyncio.Protocol:
        return _Agreed(self._http_connection, self._http2)


class _Agreed(asyncio.Protocol):
    """A connection whose TLS handshake is over: gives it to the protocol that was agreed on (ALPN)."""

    def __init__(self, http1: Callable[[], asyncio.Protocol], http2: Http2) -> None:
        self._http1 = http1
        self._http2 = http2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        protocol: asyncio.Protocol
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            protocol = self._http2.protocol(str(tls_version(transport)))
        else:
            protocol = self._http1()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is still running, so that nothing is destroyed while pending."""
    logging.getLogger("uvicorn.error").disabled = True  # it would call every cancelled request an error
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=GOODBYE))
