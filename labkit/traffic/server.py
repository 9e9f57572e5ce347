"""The server of a backend: a task with one process and one event loop for HTTP, WebSocket, TCP echo and UDP echo.

What is answered stands in `labkit.traffic.answers` and `labkit.traffic.echo`, how HTTP is received in
`labkit.traffic.received`. Sends {"ready": {"http": port, "tcp": port, "udp": port}} when all of it listens.
Takes {"op": "slow", "seconds": s}: every answer from then on waits that long first; sends {"slow": s} when it is so.
"""

import asyncio
import contextlib
import logging
import signal
import socket

from labkit.errors import TaskError
from labkit.runtime.protocol import TaskLink
from labkit.traffic import user_app
from labkit.traffic.answers import Answers
from labkit.traffic.echo import TcpEcho, UdpEcho
from labkit.traffic.received import Answering, ExactHttpProtocol, configure
from labkit.traffic.sockets import allow_many_files, bound, listening

GOODBYE = 0.3


def main(
    link: TaskLink,
    name: str,
    http_port: int = 80,
    tcp_port: int = 7,
    udp_port: int = 7,
    app: bytes | None = None,
    delay: float = 0.0,
) -> None:
    """Task target: serve as the backend *name* until SIGTERM or until the owner is gone.

    app: a pickled ASGI application (`labkit.traffic.pickled`) to serve instead of ours on the HTTP port.
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
        http, tcp = (closing.enter_context(listening(name, port)) for port in (http_port, tcp_port))
        udp = [closing.enter_context(sock) for sock in bound(name, udp_port, socket.SOCK_DGRAM)]
        loop.run_until_complete(server.serve(http, tcp, udp))
        closing.callback(server.goodbye, loop)
        loop.add_reader(link.fileno(), server.take, link, loop)
        ports = {kind: socks[0].getsockname()[1] for kind, socks in (("http", http), ("tcp", tcp), ("udp", udp))}
        link.send({"ready": ports})
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

    async def serve(self, http: list[socket.socket], tcp: list[socket.socket], udp: list[socket.socket]) -> None:
        """Begin to serve on the listening sockets given."""
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise TaskError(f"{self.name} cannot serve the application: its start-up failed")
        loop = asyncio.get_running_loop()
        for sock in http:
            await loop.create_server(self._http_connection, sock=sock, backlog=self._config.backlog)
        echo = TcpEcho(self.name, self._pause)
        for sock in tcp:
            await asyncio.start_server(echo, sock=sock, backlog=self._config.backlog)
        for sock in udp:
            UdpEcho(self.name, sock, lambda: self.delay)

    def take(self, link: TaskLink, loop: asyncio.AbstractEventLoop) -> None:
        """Do what the owner's messages say; end when the owner is gone."""
        try:
            for message in link.poll():
                self.delay = float(message["seconds"])
                link.send({"slow": self.delay})
        except EOFError:
            loop.stop()

    def goodbye(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cut the connections, so that no request gets a made-up answer; let the application shut down, briefly."""
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(self._lifespan.shutdown(), GOODBYE))

    async def _pause(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

    def _http_connection(self) -> asyncio.Protocol:
        return ExactHttpProtocol(self._config, self._state, self._lifespan.state)


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is still running, so that nothing is destroyed while pending."""
    logging.getLogger("uvicorn.error").disabled = True  # it would call every cancelled request an error
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=GOODBYE))
