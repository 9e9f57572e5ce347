"""Hosts as the user holds them: ``lab.alice``. What a host can be asked to do, whatever its role.

Nothing here opens a socket: requests are made inside the host, by its worker or by tasks of their own. A backend's
server is a task too, held by `labkit.traffic.server_handle`.
"""

import html
from collections.abc import Callable
from typing import Any, Literal, overload

from labkit.errors import TaskError, TrafficError
from labkit.pickled import pickle
from labkit.runtime import protocol
from labkit.topology import Node
from labkit.topology.model import Role
from labkit.traffic import crafting
from labkit.traffic import options as takes
from labkit.traffic.open_things import TIMEOUT, Session, TcpConnection, UdpSocket, WebSocket
from labkit.traffic.options import refuse_unknown
from labkit.traffic.process import TIMEOUT as PATIENCE
from labkit.traffic.process import Command, Completed, Process, call_function, run_program
from labkit.traffic.remote import Line, new_key
from labkit.traffic.reply import Reply
from labkit.traffic.report import Load, LoadReport, load_arguments
from labkit.traffic.server_handle import STARTING, ServerHandle
from labkit.traffic.spec import CookiesIn, Data, HeadersIn, check_flag, check_seconds, request_spec, tls_options


def no_authority() -> str:
    """Stands for the authority of a host outside a lab."""
    raise TrafficError("this host trusts no certificate authority: only the hosts of a Lab speak TLS")


def no_certificate() -> list[str]:
    """Stands for the certificate of a host outside a lab."""
    raise TrafficError("this host has no certificate of its own: only the hosts of a Lab have")


class Host:
    """A host of the lab. All methods are thread-safe; every one raises LabNotRunning while the lab does not run.

    spec: the node's description. node: gives the running node, or raises LabNotRunning. trust: gives the certificate
    (PEM) of the authority that its clients trust; own: the certificate that they show, and its key.
    """

    def __init__(
        self,
        spec: Node,
        node: Callable[[], protocol.Node],
        trust: Callable[[], str] = no_authority,
        own: Callable[[], list[str]] = no_certificate,
    ) -> None:
        self._spec = spec
        self._node = node
        self._authority = trust
        self._own = own
        self._secure = False  # whether any of its clients may have spoken TLS

    def settle(self, spec: Node) -> None:
        """The lab is about to begin with other addresses than it was described with."""
        self._spec = spec

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def role(self) -> Role:
        return self._spec.role

    @property
    def address(self) -> str:
        """IPv4 address of the first interface."""
        return self._spec.address

    @property
    def addresses(self) -> list[str]:
        """Every address, IPv4 before IPv6, interface by interface."""
        pairs = ((interface.address4, interface.address6) for interface in self._spec.interfaces)
        return [str(address.ip) for pair in pairs for address in pair if address is not None]

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: HeadersIn | None = None,
        cookies: CookiesIn | None = None,
        body: Data | None = None,
        timeout: float = TIMEOUT,
        http2: bool = False,
        http3: bool = False,
        tls: str | None = None,
        certificate: bool = False,
        **unknown: object,
    ) -> Reply:
        """One HTTP request on a connection of its own, which is closed after the answer.

        headers: sent in the order and case given (a list of pairs may repeat a name); Host, User-Agent and Accept are
        added where absent. Names and values, also of cookies, are text, or bytes sent as they are. The URL's path goes
        out byte for byte. timeout: seconds for all of it. Over ``https://`` certificates are verified by the lab's own
        authority; http2: speak HTTP/2 there (no request falls back to HTTP/1.1); http3: speak HTTP/3 there, over QUIC,
        whatever ``Alt-Svc`` says (RFC 9114 §3.3: none falls back to TCP); tls: "1.2" or "1.3" forces a version;
        certificate: show this host's own, by the lab's authority, if the other side asks for one (mutual TLS).
        Redirects are not followed. TrafficError (see its ``cause``) if there is no answer; an answer of any status is a
        `Reply`.
        """
        refuse_unknown("request", unknown, takes.REQUEST)
        options = self._tls(url, tls, certificate)
        spec = request_spec(method, url, headers, cookies, body, timeout, http2, http3, options)
        key = new_key("request")
        ask = self._line().ask
        return Reply.of(ask(f"{method} {url}", "http:request", key, spec, timeout=spec["timeout"], give_up=key))

    def get(self, url: str, **options: Any) -> Reply:
        """``request("GET", url, ...)``."""
        refuse_unknown("get", options, takes.REQUEST)
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Reply:
        """``request("POST", url, ...)``."""
        refuse_unknown("post", options, takes.REQUEST)
        return self.request("POST", url, **options)

    def session(self) -> Session:
        """Requests that share one connection and keep cookies: ``with lab.alice.session() as s: s.get(...)``."""
        return Session(self._line(), self._tls)

    def websocket(
        self,
        url: str,
        *,
        headers: HeadersIn | None = None,
        timeout: float = TIMEOUT,
        tls: str | None = None,
        certificate: bool = False,
        **unknown: object,
    ) -> WebSocket:
        """An open WebSocket to a ``ws://`` or ``wss://`` URL; tls, certificate: as for `request`.

        TrafficError with cause "status 404" where the upgrade is refused.
        """
        refuse_unknown("websocket", unknown, takes.WEBSOCKET)
        options = self._tls(url, tls, certificate)
        return WebSocket(self._line(), url, headers, timeout, options)

    def tcp(self, host: str, port: int, *, timeout: float = TIMEOUT, **unknown: object) -> TcpConnection:
        """A TCP connection: ``with lab.alice.tcp("lb", 7) as c: c.send(b"hi\\n"); c.readline()``."""
        refuse_unknown("tcp", unknown, takes.TCP)
        return TcpConnection(self._line(), host, port, timeout)

    def udp(self, host: str, port: int, **unknown: object) -> UdpSocket:
        """A UDP socket that talks to one endpoint."""
        refuse_unknown("udp", unknown, takes.UDP)
        return UdpSocket(self._line(), host, port)

    @overload
    def run(self, command: Command, *, timeout: float = ..., background: Literal[False] = ...) -> Completed: ...
    @overload
    def run(self, command: Command, *, timeout: float = ..., background: Literal[True]) -> Process: ...
    def run(
        self, command: Command, *, timeout: float = PATIENCE, background: bool = False, **unknown: object
    ) -> Completed | Process:
        """Run a program inside the host: text by its shell, a list as it is.

        Its end is waited for, at most *timeout* seconds (TaskError); in the background, a `Process` to stop.
        """
        refuse_unknown("run", unknown, takes.RUN)
        if check_flag("background", background):
            return Process(self._line(), command)
        return run_program(self._line(), command, check_seconds("timeout", timeout))

    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float = PATIENCE, **unknown: object) -> Any:
        """Run a Python function inside the host, in a process of its own; the plain data it returns.

        TaskError, with the traceback, if it raises; if it takes more than *timeout* seconds, it is ended.
        """
        refuse_unknown("call", unknown, takes.CALL)
        return call_function(self.name, self._node(), function, arguments, check_seconds("timeout", timeout))

    @overload
    def load(
        self,
        url: str,
        *,
        connections: int = ...,
        seconds: float = ...,
        requests: int | None = ...,
        new_connections: bool = ...,
        headers: HeadersIn | None = ...,
        cookies: CookiesIn | None = ...,
        timeout: float = ...,
        background: Literal[False] = ...,
    ) -> LoadReport: ...
    @overload
    def load(
        self,
        url: str,
        *,
        connections: int = ...,
        seconds: float = ...,
        requests: int | None = ...,
        new_connections: bool = ...,
        headers: HeadersIn | None = ...,
        cookies: CookiesIn | None = ...,
        timeout: float = ...,
        background: Literal[True],
    ) -> Load: ...
    def load(
        self,
        url: str,
        *,
        connections: int = 64,
        seconds: float = 5.0,
        requests: int | None = None,
        new_connections: bool = True,
        headers: HeadersIn | None = None,
        cookies: CookiesIn | None = None,
        timeout: float = TIMEOUT,
        background: bool = False,
        **unknown: object,
    ) -> LoadReport | Load:
        """GET *url* as fast as *connections* at a time allow, for *seconds* or *requests*, whichever ends first.

        new_connections: each request on a connection of its own; otherwise connections are kept. timeout: seconds a
        request may take before it counts as failed. In the background: a `Load`, with ``stop()`` and live counts.
        """
        refuse_unknown("load", unknown, takes.LOAD)
        check_flag("background", background)
        if isinstance(url, str) and url.lower().startswith("https:"):
            raise TrafficError(
                f"{self.name}: load over https:// is not built yet: use http://, or requests of a session"
            )
        spec = request_spec("GET", url, headers, cookies, None, timeout)
        arguments = load_arguments(spec, connections, seconds, requests, new_connections)
        load = Load(self._line(), self._node(), f"load on {url}", arguments)
        return load if background else load.wait()

    def send(self, packets: Any, *, interface: str | None = None, **unknown: object) -> int:
        """Send scapy packets from here byte for byte; how many that were.

        packets: one, or several, that begin with IP(), IPv6() or Ether(). What they leave open is as this host would
        fill it in; they leave by its route, or through *interface*. Their TCP and UDP source ports are held for 120 s
        after their last use, so that this host's kernel does not answer for them (RST, port unreachable).
        TrafficError, with nothing sent, for what cannot be.
        """
        refuse_unknown("send", unknown, takes.SEND)
        return crafting.send(self._line(), packets, interface)

    def sr(
        self,
        packets: Any,
        *,
        timeout: float = crafting.TIMEOUT,
        interface: str | None = None,
        multi: bool = False,
        **unknown: object,
    ) -> tuple[Any, Any]:
        """Send as `send` does and wait for answers: scapy's lists of (sent, received) and of those without an answer.

        timeout: seconds after the last packet left; it ends earlier when all are answered. multi: a packet may have
        several answers, so all the time is waited (at most for 100,000 in all). Packets that began with Ether() are
        answered by frames.
        """
        refuse_unknown("sr", unknown, takes.SR)
        return crafting.sr(self._line(), packets, timeout, interface, multi)

    def sr1(
        self, packets: Any, *, timeout: float = crafting.TIMEOUT, interface: str | None = None, **unknown: object
    ) -> Any:
        """Send as `send` does and give the first answer, a scapy packet; None if none came in *timeout* seconds.

        >>> lab.alice.sr1(IP(dst=lab.vip) / TCP(dport=80, flags="S"))
        """
        refuse_unknown("sr1", unknown, takes.SR1)
        return crafting.sr1(self._line(), packets, timeout, interface)

    def secrets(self, since_ns: int) -> tuple[list[tuple[int, list[str], bool]], bool]:
        """(Unix time in ns, NSS key log lines, whether it is QUIC) of each TLS connection of its clients that was open
        at *since_ns* or later. And whether there were more, which are forgotten.
        """
        if not self._secure:
            return [], False  # none was ever opened
        told = self._node().call("labkit.traffic.tls:secrets", since_ns, timeout=TIMEOUT)
        return [(time_ns, lines, quic) for time_ns, lines, quic in told["made"]], told["forgot"]

    def _tls(self, url: object, version: object, certificate: bool) -> dict[str, Any] | None:
        """How TLS is to be spoken there."""
        own = self._own if check_flag("certificate", certificate) else None
        return tls_options(url, version, self._trust, own)

    def _trust(self) -> str:
        self._secure = True
        return self._authority()

    def _line(self) -> Line:
        return Line(self.name, self._node())

    def __repr__(self) -> str:
        return f"<{self.role} {self.name} {self.address}>"

    def _repr_html_(self) -> str:
        return f"{self.role} <b>{html.escape(self.name)}</b> <code>{self.address}</code>"


class Backend(Host):
    """A host that serves HTTP and WebSockets (port 80, under TLS 443), TCP echo and UDP echo (port 7).

    certificate: gives [chain, key] as PEM text to serve TLS with; None where it shall not be served.
    drain: takes it out of its balancer's rotation.
    What was set stays set: after `kill` and `restore` the same application is served, as slowly as before.
    """

    def __init__(
        self,
        spec: Node,
        node: Callable[[], protocol.Node],
        trust: Callable[[], str] = no_authority,
        own: Callable[[], list[str]] = no_certificate,
        *,
        certificate: Callable[[], list[str]] | None = None,
        drain: Callable[[], Any] | None = None,
        http_port: int = 80,
        tcp_port: int = 7,
        udp_port: int = 7,
        https_port: int = 443,
    ) -> None:
        super().__init__(spec, node, trust, own)
        self._drain = drain
        ports = {"http_port": http_port, "tcp_port": tcp_port, "udp_port": udp_port}
        if certificate:
            ports["https_port"] = https_port
        self.ports: tuple[tuple[Literal["tcp", "udp"], int], ...] = (
            *(("tcp", port) for name, port in ports.items() if name != "udp_port"),
            ("udp", udp_port),
        )  # what its server listens on
        self._server = ServerHandle(spec.name, node, ports, certificate)

    @property
    def serving(self) -> bool:
        """True while its server answers."""
        return self._server.serving

    def start_server(self) -> None:
        """Start the server, unless it runs, without waiting for it: see `wait_ready`."""
        self._server.start()

    def wait_ready(self, timeout: float = STARTING) -> None:
        """Wait until the server listens on all its ports. TaskError if it ended instead, or takes longer."""
        self._server.wait_ready(check_seconds("timeout", timeout))

    def serve(self, app: Any) -> None:
        """Serve *app*, an ASGI application, on the HTTP ports instead of the lab's own; None brings that back.

        The server is started anew, so open connections are cut. An exception in *app* is a 500 with its traceback.
        TaskError if it cannot be served; then what was served before is served again.
        """
        if app is not None and not callable(app):
            kind = type(app).__name__
            raise TaskError(f"{self.name} cannot serve a {kind}: an ASGI application is called with (scope, ...)")
        self._server.serve(None if app is None else pickle(app))

    def kill(self) -> None:
        """Kill the server process (SIGKILL): its connections are reset or closed by the kernel, new ones refused."""
        self._server.kill()

    def restore(self) -> None:
        """Bring the server back as it was, application and slowness included. Does nothing while it serves."""
        self._server.start()
        self._server.wait_ready()

    def drain(self) -> Any:
        """Have the balancer send it nothing new, while its connections go on: `lab.balancer.drain` of this backend."""
        if self._drain is None:
            raise TaskError(f"{self.name} cannot be drained: no balancer sends it anything. Make a Lab.")
        return self._drain()

    def slow(self, seconds: float) -> None:
        """Make every answer from now on wait *seconds* first; 0 ends that. Stays over `kill` and `restore`."""
        self._server.slow(seconds)
