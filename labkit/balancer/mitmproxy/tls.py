"""TLS of the proxy: ends it at the front, speaks it to backends that are asked for it, tells the secrets of both.

The front offers HTTP/2 and HTTP/1.1 (ALPN, RFC 7301) under TLS 1.2 and 1.3. A backend must show a certificate of the
lab's root for its own name; it is offered what the client speaks: HTTP/2 if that, TLS 1.2 if no more. Secrets are
NSS key log lines, told handshake by handshake as ``{"kind": "secrets", "time_ns", "leg", "connection", "lines"}``, and
the end of such a connection as ``{"kind": "closed", "time_ns", "connection"}``.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from ipaddress import ip_address
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.tunnel import TunnelState
from mitmproxy.tls import TlsData
from OpenSSL import SSL, crypto

HTTP2, HTTP1 = b"h2", b"http/1.1"


class Tls:
    """The contexts of one proxy, and the hooks of mitmproxy's TLS layers, by their names.

    identity: [chain, key, root] as PEM text. tell: takes the messages. name_of: the backend at an address, or None.
    """

    def __init__(
        self, identity: Sequence[str], tell: Callable[[Any], None], name_of: Callable[[str], str | None]
    ) -> None:
        chain, key, root = (text.encode() for text in identity)
        self._tell = tell
        self._name_of = name_of
        self._told: set[str] = set()
        self._front = self._context(SSL.TLS_SERVER_METHOD)
        self._front.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, chain))
        self._front.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, key))
        self._front.set_alpn_select_callback(_agree)
        self._back, self._old_back = self._to_backends(root), self._to_backends(root)
        self._old_back.set_max_proto_version(SSL.TLS1_2_VERSION)

    def start_client(self, data: TlsData) -> None:
        """A client has said hello."""
        data.ssl_conn = SSL.Connection(self._front)
        data.ssl_conn.set_app_data([])
        data.ssl_conn.set_accept_state()

    def start_server(self, data: TlsData) -> None:
        """A connection to a backend is there, and shall be TLS."""
        assert isinstance(data.conn, Server)
        assert data.conn.address
        address = data.conn.address
        name = self._name_of(address[0])
        data.conn.sni = name or address[0]
        data.ssl_conn = SSL.Connection(self._old_back if data.context.client.tls_version == "TLSv1.2" else self._back)
        data.ssl_conn.set_app_data([])
        if name:
            data.ssl_conn.set_tlsext_host_name(name.encode())
            data.ssl_conn.set_verify(SSL.VERIFY_PEER)
            _expect(data.ssl_conn, SSL._lib.X509_VERIFY_PARAM_set1_host, name.encode())  # type: ignore[attr-defined]
        else:
            packed = ip_address(address[0]).packed
            _expect(data.ssl_conn, SSL._lib.X509_VERIFY_PARAM_set1_ip, packed)  # type: ignore[attr-defined]
        offers = [HTTP2, HTTP1] if data.context.client.alpn == HTTP2 else [HTTP1]
        data.conn.alpn_offers = offers
        data.ssl_conn.set_alpn_protos(offers)
        data.ssl_conn.set_connect_state()

    def ended_client(self, data: TlsData) -> None:
        """The front's handshake is over, well or not."""
        self._tell_secrets(data, "front")

    def ended_server(self, data: TlsData) -> None:
        """A backend's handshake is over, well or not."""
        self._tell_secrets(data, "back")

    def closed(self, connection: Connection) -> None:
        """A connection, of whatever kind, has ended."""
        if connection.id in self._told:
            self._told.discard(connection.id)
            self._tell({"kind": "closed", "time_ns": time.time_ns(), "connection": connection.id})

    def _tell_secrets(self, data: TlsData, leg: str) -> None:
        lines = data.ssl_conn.get_app_data() if data.ssl_conn else []
        if lines:
            self._told.add(data.conn.id)
            now = time.time_ns()
            message = {"kind": "secrets", "time_ns": now, "leg": leg, "connection": data.conn.id, "lines": list(lines)}
            self._tell(message)

    def _to_backends(self, root: bytes) -> SSL.Context:
        context = self._context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, root))
        return context

    def _context(self, method: int) -> SSL.Context:
        context = SSL.Context(method)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION)
        context.set_keylog_callback(_note)
        return context


class FrontTls(ClientTLSLayer):
    """The client's TLS; says goodbye before it closes (close_notify, RFC 8446 §6.1), which mitmproxy leaves out.

    seconds: for the whole handshake; then the connection is closed.
    """

    def __init__(self, context: Context, seconds: float) -> None:
        context.layers.append(self)  # mitmproxy looks at what lies below, which is the socket here
        super().__init__(context)
        self._wakeup = commands.RequestWakeup(seconds)

    def _handle_event(self, event: events.Event) -> Generator[commands.Command, Any, None]:
        if isinstance(event, events.Start):
            yield self._wakeup
        if not isinstance(event, events.Wakeup) or event.command is not self._wakeup:
            yield from super()._handle_event(event)
        elif self.tunnel_state is TunnelState.ESTABLISHING:
            yield commands.CloseConnection(self.conn)

    def send_close(self, command: commands.CloseConnection) -> Generator[commands.Command, Any, None]:
        with contextlib.suppress(SSL.Error):
            self.tls.shutdown()
        yield from self.tls_interact()
        yield from super().send_close(command)


def _note(connection: SSL.Connection, line: bytes) -> None:
    connection.get_app_data().append(line.decode("ascii"))


def _agree(_: SSL.Connection, offered: list[bytes]) -> Any:
    """The best of what the client offers; without one of ours the handshake goes on, and HTTP/1.1 is spoken."""
    return next((protocol for protocol in (HTTP2, HTTP1) if protocol in offered), SSL.NO_OVERLAPPING_PROTOCOLS)


def _expect(connection: SSL.Connection, setter: Callable[..., int], subject: bytes) -> None:
    """Accept no certificate but one for *subject*: pyOpenSSL has no call of its own for that."""
    parameters = SSL._lib.SSL_get0_param(connection._ssl)  # type: ignore[attr-defined]
    SSL._openssl_assert(setter(parameters, subject, len(subject)) == 1)
