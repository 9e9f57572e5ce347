"""WebSocket clients (RFC 6455): call targets that open, send, receive and close, by key.

Runs in a node's worker. The protocol is the websockets library's; no compression and no keep-alive pings, so that
a capture holds what the user sent and nothing else.
"""

import contextlib
import ssl
import time
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_connection

from labkit.traffic.failure import Failure, reported
from labkit.traffic.held import shelf
from labkit.traffic.message import field_line
from labkit.traffic.socket_client import Numbered
from labkit.traffic.target import connect, ends, parse_url
from labkit.traffic.tls import HTTP1, Secrets, handshake

LARGEST = 16 * 1024 * 1024
CLOSING = 2.0
ITS_OWN = frozenset(
    {"host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}
)


class WebSocket:
    """An open WebSocket."""

    def __init__(self, connection: ClientConnection, secrets: Secrets | None) -> None:
        self.connection = connection
        self._secrets = secrets
        self.received: Numbered[str | bytes] = Numbered(self.connection.recv)

    def close(self) -> None:
        self.connection.close()
        if self._secrets:
            self._secrets.end()


@reported
def open_websocket(
    key: str, url: str, headers: list[list[str]], timeout: float, tls: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Call target: connect and upgrade. tls: for `labkit.traffic.tls.handshake`.

    Result: {"status": 101, "headers": [[name, value]] of the answer, "local", "remote": [ip, port], "seconds"}.
    """
    started = time.monotonic()
    target = parse_url(url, ("ws", "wss"))
    for name, value in headers:
        field_line(name, value)
        if name.lower() in ITS_OWN:
            raise Failure("bad header", f"the upgrade to a WebSocket writes {name} itself: leave it out")
    sock = connect(target.host, target.port, timeout)
    where = ends(sock)
    secure = handshake(tls, HTTP1) if tls and target.secure else contextlib.nullcontext((None, None))
    told: list[ssl.SSLError] = []
    try:
        with secure as (context, secrets):
            _tell(context, told)
            connection = open_connection(
                target.url,
                sock=sock,
                ssl=context,
                legacy=True,
                proxy=None,
                compression=None,
                additional_headers=[(name, value) for name, value in headers],
                user_agent_header="labkit",
                open_timeout=max(timeout - (time.monotonic() - started), 0.001),
                ping_interval=None,
                close_timeout=CLOSING,
                max_size=LARGEST,
            )
    except ssl.SSLError as error:
        raise (told[0] if told else error) from None  # some of them are ValueErrors too
    except (InvalidHandshake, InvalidURI, ValueError) as error:
        raise told[0] if told else _refused(error) from error
    except ConnectionClosed as error:  # as we asked
        raise told[0] if told else _closed(error) from error
    seconds = time.monotonic() - started
    shelf.put(key, WebSocket(connection, secrets))
    response = connection.response
    pairs = [[name, value] for name, value in response.headers.raw_items()] if response else []
    return {"status": 101, "headers": pairs, "seconds": seconds, **where}


@reported
def send(key: str, message: str | bytes) -> dict[str, Any]:
    """Call target: send one text or binary message."""
    try:
        shelf.get(key, WebSocket).connection.send(message)
    except ConnectionClosed as error:
        raise _closed(error) from error
    return {}


@reported
def receive(key: str, number: int, timeout: float) -> dict[str, Any]:
    """Call target: message *number*: {"message": str or bytes}."""
    try:
        return {"message": shelf.get(key, WebSocket).received.piece(number, timeout)}
    except ConnectionClosed as error:
        raise _closed(error) from error


def _refused(error: Exception) -> Failure:
    """Why there was no upgrade. Of a redirect, which is not followed here, the library says why it does not either."""
    answered = error if isinstance(error, InvalidStatus) else error.__context__
    if isinstance(answered, InvalidStatus):
        status = answered.response.status_code
        return Failure(f"status {status}", f"the upgrade was answered with status {status}, not 101")
    return Failure("no upgrade", f"the upgrade failed: {error}")


def _tell(context: ssl.SSLContext | None, told: list[ssl.SSLError]) -> None:
    """Have *told* what reading from a socket of *context* raises: the library's own thread reads, and tells nobody.

    In TLS 1.3 the other side judges a client's certificate after the handshake, so that its alert is read only there.
    """

    class Telling(ssl.SSLSocket):
        def read(self, *arguments: Any) -> Any:
            try:
                return super().read(*arguments)
            except ssl.SSLError as error:
                told.append(error)
                raise

    if context:
        context.sslsocket_class = Telling


def _closed(error: ConnectionClosed) -> Failure:
    if error.rcvd is None:
        return Failure("reset", "the connection broke without a closing handshake")
    reason = f": {error.rcvd.reason}" if error.rcvd.reason else ""
    return Failure("closed", f"the other side closed it with code {error.rcvd.code}{reason}")
