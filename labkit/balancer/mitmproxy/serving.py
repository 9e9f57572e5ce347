"""The proxy's event loop: listens, takes orders from the owner, tells what happened. Imports mitmproxy.

mitmproxy's proxy core is used without its Master and addons: that saves a third of the import and of the
memory, writes no file anywhere, and lets a failing hook be seen where mitmproxy would swallow it.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

from mitmproxy.options import Options
from mitmproxy.proxy.mode_specs import ReverseMode

from labkit.balancer import memory
from labkit.balancer.mitmproxy.connection import ClientConnection
from labkit.balancer.mitmproxy.functions import Functions, Unloadable
from labkit.balancer.mitmproxy.journal import Journal
from labkit.balancer.mitmproxy.layers import discard_trailers
from labkit.balancer.mitmproxy.router import Router
from labkit.balancer.mitmproxy.tls import Tls
from labkit.balancer.plain import from_plain, to_plain
from labkit.balancer.policy import L7Policy
from labkit.runtime.protocol import Message, TaskLink
from labkit.topology import Listener

_BACKLOG = 4096
_IDLE_SECONDS = 24 * 3600  # a quiet WebSocket is no reason to close it
_MODE = ReverseMode.parse("reverse:http://0.0.0.0:1")  # the upstream is decided request by request
_EXTRA_OPTIONS: dict[str, tuple[type, Any]] = {  # what mitmproxy's layers ask for and its addons would define
    "connection_strategy": (str, "lazy"),
    "keep_host_header": (bool, True),
    "validate_inbound_headers": (bool, True),
    "normalize_outbound_headers": (bool, True),
    "store_streamed_bodies": (bool, False),
    "proxy_debug": (bool, False),
    "stream_large_bodies": (str, ""),
    "body_size_limit": (str, ""),
}


def serve(link: TaskLink, addresses: Sequence[str], listeners: Sequence[Listener]) -> None:
    """Listen on every address at every listener's port and serve until told to stop. OSError if one is taken."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    discard_trailers()
    asyncio.run(_Proxy(link, listeners).run(addresses))


class _Proxy:
    def __init__(self, link: TaskLink, listeners: Sequence[Listener]) -> None:
        self._link = link
        self._listeners = listeners
        self._journal = Journal(link.send)
        self._functions = Functions(link.send)
        self._router = Router(listeners, self._journal, self._functions)
        self._switching = asyncio.Lock()  # policies come into force in the order in which they were given
        self._switches: set[asyncio.Task[None]] = set()
        self._tls: Tls | None = None  # until the owner says who this is
        self._options = _options()
        self._connections: set[ClientConnection] = set()
        self._over = asyncio.Event()
        self._listening: list[list[Any]] = []

    async def run(self, addresses: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # as mitmproxy's own main loop has it
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        for address in addresses:
            for listener in self._listeners:
                sock = _listening_socket(address, listener.port)
                accept = partial(self._accept, listener.protocol == "https")
                await asyncio.start_server(accept, sock=sock, backlog=_BACKLOG)
                self._listening.append(list(sock.getsockname()[:2]))
        loop.add_reader(self._link.fileno(), self._orders)
        self._link.send({"kind": "ready", "listening": self._listening})
        self._orders()
        await self._over.wait()
        self._functions.pool.close()

    async def _accept(self, secure: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if secure and self._tls is None:
            writer.close()  # no rule of the kernel leads here yet
            return
        connection = ClientConnection(reader, writer, self._options, _MODE, self._router, self._tls, secure)
        self._connections.add(connection)
        try:
            await connection.handle_client()
        finally:
            self._connections.discard(connection)

    def _orders(self) -> None:
        try:
            for message in self._link.poll():
                self._carry_out(message)
        except (EOFError, BrokenPipeError):
            self._over.set()  # the owner is gone

    def _carry_out(self, message: Message) -> None:
        number = message["id"]
        match message["op"]:
            case "policy":
                task = asyncio.get_running_loop().create_task(self._switch(number, from_plain(message["policy"])))
                self._switches.add(task)
                task.add_done_callback(self._switches.discard)
            case "unused":
                for connection in self._connections:
                    connection.close_unused()
                self._link.send({"kind": "reply", "id": number})
            case "reset":
                reset = sum(connection.reset(message["addresses"]) for connection in self._connections)
                self._link.send({"kind": "reply", "id": number, "reset": reset})
            case "pairs":
                pairs = [pair for connection in self._connections for pair in connection.pairs()]
                self._link.send({"kind": "reply", "id": number, "pairs": pairs, "bytes": memory.of("self")})
            case "routes":
                self._tell_routes(number)
            case "identity":
                self._tls = Tls(message["identity"], self._link.send, self._router.name_of)
                self._tls.use(self._router.policy.tls)
                self._link.send({"kind": "reply", "id": number})
            case "certificates":
                assert self._tls  # who it is has been told before
                self._tls.certify(message["certificates"])
                self._link.send({"kind": "reply", "id": number})
            case "flush":
                self._journal.flush(number)

    async def _switch(self, number: int, policy: L7Policy) -> None:
        """Have the policy in force; without functions at once. One whose functions cannot be loaded never is."""
        async with self._switching:
            try:
                pool = await self._functions.prepared(policy)
            except Unloadable as error:
                self._link.send({"kind": "reply", "id": number, "refused": str(error)})
                return
            self._router.use(policy, pool)
            if self._tls:
                self._tls.use(policy.tls)
            self._tell_routes(number)

    def _tell_routes(self, number: int) -> None:
        policy = to_plain(self._router.policy)
        self._link.send({"kind": "reply", "id": number, "policy": policy, "listening": self._listening})


def _options() -> Options:
    options = Options(confdir="/tmp/labkit-mitmproxy", tcp_timeout=_IDLE_SECONDS)
    for name, (kind, value) in _EXTRA_OPTIONS.items():
        options.add_option(name, kind, value, "")
    return options


def _listening_socket(address: str, port: int) -> socket.socket:
    """Bound also while the address is not up yet (an IPv6 address is tentative at first)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio switches Nagle's algorithm off where a socket says that it is TCP; those accepted say what this one does
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_IP, getattr(socket, "IP_FREEBIND", 15), 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, getattr(socket, "IPV6_FREEBIND", 78), 1)
    sock.bind((address, port))
    return sock
