"""TLS of the proxy: ends it at the front, speaks it to backends that are asked for it, tells the secrets of both.

The front offers HTTP/2 and HTTP/1.1 (ALPN, RFC 7301) under TLS 1.2 and 1.3, with forward secrecy and AEAD ciphers alone
(RFC 9325 §4.2), without compression, renegotiation and resumption; which certificate it shows, and whether it asks for
one, is a `labkit.balancer.l7.tls.Tls`'s to say. A backend must show a certificate of the
lab's root for its own name; it is offered what the client speaks: HTTP/2 if that, TLS 1.2 if no more. Secrets are
NSS key log lines, told handshake by handshake as ``{"kind": "secrets", "time_ns", "leg", "connection", "lines"}``, and
the end of such a connection as ``{"kind": "closed", "time_ns", "connection"}``.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from mitmproxy import certs
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.tunnel import TunnelState
from mitmproxy.tls import TlsData
from OpenSSL import SSL, crypto

from labkit.balancer.l7 import tls as rules

HTTP2, HTTP1 = b"h2", b"http/1.1"
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all of this kind
_LINGER_SECONDS = 1.0
_ASKING = {
    None: SSL.VERIFY_NONE,
    "optional": SSL.VERIFY_PEER,
    "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


class Tls:
    """The contexts of one proxy, and the hooks of mitmproxy's TLS layers, by their names.

    identity: [chain, key, root] as PEM text. tell: takes the messages. name_of: the backend at an address, or None.
    """

    def __init__(
        self, identity: Sequence[str], tell: Callable[[Any], None], name_of: Callable[[str], str | None]
    ) -> None:
        self._certificates: dict[str, Sequence[str]] = {"": identity[:2]}  # by name; that of the VIP's own names first
        self._root = crypto.load_certificate(crypto.FILETYPE_PEM, identity[2].encode())
        self._fronts: dict[tuple[str, str | None], SSL.Context] = {}
        self._rules = rules.Tls()
        self._tell = tell
        self._name_of = name_of
        self._told: set[str] = set()
        self._back, self._old_back = self._to_backends(), self._to_backends()
        self._old_back.set_max_proto_version(SSL.TLS1_2_VERSION)

    def certify(self, certificates: Mapping[str, Sequence[str]]) -> None:
        """Have a certificate for further names: name -> [certificate, key]."""
        self._certificates |= certificates

    def use(self, tls: rules.Tls | None) -> None:
        """End TLS as *tls* says from the next handshake on; the names have been certified."""
        self._rules = tls or rules.Tls()

    def start_client(self, data: TlsData) -> None:
        """A client has said hello."""
        sni = (data.context.client.sni or "").lower()
        data.ssl_conn = SSL.Connection(self._front(sni if sni in self._rules.names else ""))
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

    def _front(self, name: str) -> SSL.Context:
        """For clients that ask for *name*; "" for those that get the VIP's certificate."""
        asking = self._rules.clients
        if (name, asking) not in self._fronts:
            chain, key = (text.encode() for text in self._certificates[name])
            context = self._context(SSL.TLS_SERVER_METHOD)
            context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, chain))
            context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, key))
            context.set_alpn_select_callback(_agree)
            context.set_cipher_list(_CIPHERS)
            context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            context.set_verify(_ASKING[asking])
            if asking:
                self._trust_root(context)
                context.add_client_ca(self._root)
            self._fronts[name, asking] = context
        return self._fronts[name, asking]

    def _trust_root(self, context: SSL.Context) -> None:
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(self._root)

    def _to_backends(self) -> SSL.Context:
        context = self._context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER)
        self._trust_root(context)
        return context

    def _context(self, method: int) -> SSL.Context:
        context = SSL.Context(method)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION)
        context.set_keylog_callback(_note)
        return context


class FrontTls(ClientTLSLayer):
    """The client's TLS; says what was wrong with a handshake, and goodbye before it closes (alerts, RFC 8446 §6), which
    mitmproxy leaves out.

    After a failed handshake it is the client that closes, or time that runs out: a client of TLS 1.3 may have sent its
    request by then, and the reset that it would get for that could reach it before the alert. seconds: for the whole
    handshake; then the connection is closed.
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

    def on_handshake_error(self, err: str) -> Generator[commands.Command, Any, None]:
        if self.tls:  # the hello made sense
            yield from self.tls_interact()
        for command in super().on_handshake_error(err):
            if self.tls and isinstance(command, commands.CloseConnection):
                yield commands.CloseTcpConnection(self.conn, half_close=True)
                yield commands.RequestWakeup(_LINGER_SECONDS)
            else:
                yield command

    def errored(self, event: events.Event) -> Generator[commands.Command, Any, None]:
        if isinstance(event, events.Wakeup):
            yield commands.CloseConnection(self.conn)

    def send_close(self, command: commands.CloseConnection) -> Generator[commands.Command, Any, None]:
        with contextlib.suppress(SSL.Error):
            self.tls.shutdown()
        yield from self.tls_interact()
        yield from super().send_close(command)


def names_of(client: Client) -> tuple[str, ...] | None:
    """The names (DNS) in the certificate that *client* showed, which the handshake has verified; None without one."""
    if not client.certificate_list:
        return None
    every = client.certificate_list[0].altnames
    return tuple(name.value for name in every if isinstance(name, certs.x509.DNSName))  # type: ignore[attr-defined]


def _note(connection: SSL.Connection, line: bytes) -> None:
    connection.get_app_data().append(line.decode("ascii"))


def _agree(_: SSL.Connection, offered: list[bytes]) -> Any:
    """The best of what the client offers; without one of ours the handshake goes on, and HTTP/1.1 is spoken."""
    return next((protocol for protocol in (HTTP2, HTTP1) if protocol in offered), SSL.NO_OVERLAPPING_PROTOCOLS)


def _expect(connection: SSL.Connection, setter: Callable[..., int], subject: bytes) -> None:
    """Accept no certificate but one for *subject*: pyOpenSSL has no call of its own for that."""
    parameters = SSL._lib.SSL_get0_param(connection._ssl)  # type: ignore[attr-defined]
    SSL._openssl_assert(setter(parameters, subject, len(subject)) == 1)
