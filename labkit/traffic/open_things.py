"""What a client keeps open for the user: sessions, WebSockets, TCP connections and UDP sockets. The owner's side.

Each is a context manager and thread-safe. The connections themselves live in the host.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

from labkit.errors import TrafficError
from labkit.traffic.options import REQUEST, refuse_unknown
from labkit.traffic.remote import Held, Line, new_key
from labkit.traffic.reply import Headers, Reply
from labkit.traffic.spec import (
    CookiesIn,
    Data,
    HeadersIn,
    check_data,
    check_port,
    check_seconds,
    check_text,
    check_whole,
    header_pairs,
    request_spec,
)

TIMEOUT = 10.0
_BYTES = "bytes([1, 2]) makes bytes of numbers, str(5) makes text of one"


class Session(Held):
    """Requests over one connection, with a cookie jar. In HTTP/2 and 3 several threads' requests are on it at a time.

    A request to another host or port, by another protocol or version, or one after the server closed the connection,
    opens a new connection. Interrupting a request closes the session.
    """

    def __init__(self, line: Line, tls: Callable[[object, object, bool], dict[str, Any] | None]) -> None:
        super().__init__(line, new_key("session"))
        self._tls = tls
        line.ask("opening a session", "http:open_session", self._key, timeout=TIMEOUT, give_up=self._key)

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
        """As `Host.request`, over the session's connection and with its cookies."""
        refuse_unknown("request", unknown, REQUEST)
        options = self._tls(url, tls, certificate)
        spec = request_spec(method, url, headers, cookies, body, timeout, http2, http3, options)
        doing = f"{method} {url}"
        key = self._key
        return Reply.of(self._line.ask(doing, "http:session_request", key, spec, timeout=spec["timeout"], give_up=key))

    def get(self, url: str, **options: Any) -> Reply:
        """``request("GET", url, ...)``."""
        refuse_unknown("get", options, REQUEST)
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Reply:
        """``request("POST", url, ...)``."""
        refuse_unknown("post", options, REQUEST)
        return self.request("POST", url, **options)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies the session has been given so far."""
        answer = self._line.ask("reading cookies", "http:session_cookies", self._key, timeout=TIMEOUT)
        cookies: dict[str, str] = answer["cookies"]
        return cookies

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<session of {self._line.client}>"


class _Connected(Held):
    """Something with two ends: ``local`` and ``remote``, each [ip, port]. Received pieces are asked for by number."""

    _module = "socket_client"

    def __init__(self, line: Line, target: str, opener: str, *arguments: Any, timeout: float) -> None:
        super().__init__(line, new_key(opener))
        self.target = target
        self._number = 0
        self._receiving = threading.Lock()
        patience = check_seconds("timeout", timeout)
        self.opened = line.ask(
            target, f"{self._module}:{opener}", self._key, *arguments, timeout=patience, give_up=self._key
        )
        self.local: list[Any] = self.opened["local"]
        self.remote: list[Any] = self.opened["remote"]

    def _receive(self, timeout: float) -> dict[str, Any]:
        """The next piece; with the lock held. An interrupt loses nothing: the same number is asked for again."""
        function = f"{self._module}:receive"
        patience = check_seconds("timeout", timeout)
        answer = self._line.ask(
            f"receiving from {self.target}", function, self._key, self._number, patience, timeout=patience
        )
        self._number += 1
        return answer

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{self.target} of {self._line.client}>"


class WebSocket(_Connected):
    """An open WebSocket: ``send`` and ``recv`` text or bytes; iterating gives messages until the other side closes."""

    _module = "websocket_client"

    def __init__(
        self, line: Line, url: str, headers: HeadersIn | None, timeout: float, tls: dict[str, Any] | None
    ) -> None:
        check_text("a URL", url, "ws://lb/ws/chat")
        pairs = header_pairs(headers)
        super().__init__(line, f"WebSocket {url}", "open_websocket", url, pairs, timeout, tls, timeout=timeout)
        self.headers = Headers(self.opened["headers"])
        self.seconds: float = self.opened["seconds"]

    @property
    def backend(self) -> str | None:
        """Who accepted, by its own word in the answer to the upgrade."""
        return self.headers.get("x-backend")

    def send(self, message: Data) -> None:
        """Send one message: text as text, bytes as binary."""
        content = check_data("a WebSocket message", message, "json.dumps(...) makes text of other things")
        sent = message if isinstance(message, str) else content
        self._line.ask(f"sending to {self.target}", "websocket_client:send", self._key, sent, timeout=TIMEOUT)

    def recv(self, timeout: float = TIMEOUT) -> str | bytes:
        """The next message. TrafficError with cause "timed out", "closed" or "reset"."""
        with self._receiving:
            message: str | bytes = self._receive(timeout)["message"]
        return message

    def __iter__(self) -> Iterator[str | bytes]:
        while True:
            try:
                message = self.recv()
            except TrafficError as error:
                if error.cause != "closed":
                    raise
                return
            yield message


class TcpConnection(_Connected):
    """A TCP connection, used like a socket."""

    def __init__(self, line: Line, host: str, port: int, timeout: float) -> None:
        super().__init__(line, f"TCP {host} port {port}", "open_tcp", *_place(host, port), timeout, timeout=timeout)
        self.seconds: float = self.opened["seconds"]
        self._buffer = bytearray()

    def send(self, data: Data, timeout: float = TIMEOUT) -> None:
        """Send all of *data*; text goes as UTF-8."""
        content = check_data("what is sent", data, _BYTES)
        patience = check_seconds("timeout", timeout)
        doing = f"sending to {self.target}"
        self._line.ask(doing, "socket_client:send", self._key, content, patience, timeout=patience)

    sendall = send

    def recv(self, size: int = 65536, timeout: float = TIMEOUT) -> bytes:
        """At most *size* bytes, as soon as there are any; b"" when the other side has closed."""
        check_whole("size", size)
        check_seconds("timeout", timeout)
        with self._receiving:
            if not self._buffer:
                self._buffer += self._receive(timeout)["data"]
            return self._take(size)

    def readline(self, timeout: float = TIMEOUT) -> bytes:
        """Up to and with the next line end, or what is left when the other side closes. *timeout*: per piece."""
        check_seconds("timeout", timeout)
        with self._receiving:
            while b"\n" not in self._buffer:
                data = self._receive(timeout)["data"]
                if not data:
                    return self._take(len(self._buffer))
                self._buffer += data
            return self._take(self._buffer.index(b"\n") + 1)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


class UdpSocket(_Connected):
    """A UDP socket that talks to one endpoint."""

    def __init__(self, line: Line, host: str, port: int) -> None:
        super().__init__(line, f"UDP {host} port {port}", "open_udp", *_place(host, port), timeout=TIMEOUT)

    def send(self, data: Data) -> None:
        """Send one datagram; text goes as UTF-8."""
        content = check_data("a datagram", data, _BYTES)
        doing = f"sending to {self.target}"
        self._line.ask(doing, "socket_client:send", self._key, content, TIMEOUT, timeout=TIMEOUT)

    def recv(self, timeout: float = TIMEOUT) -> bytes:
        """The next datagram. TrafficError: "timed out", or "refused" if the other host said that nobody listens."""
        with self._receiving:
            data: bytes = self._receive(timeout)["data"]
        return data


def _place(host: str, port: int) -> tuple[str, int]:
    return check_text("a host", host, "lb"), check_port(port)
