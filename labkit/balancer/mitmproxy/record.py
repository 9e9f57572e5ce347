"""What is on record of a flow, from its first line to its last: mitmproxy's words in ours."""

from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Connection
from mitmproxy.net.http.http1 import expected_http_body_size

from labkit.balancer.l7.request import Request, field_of
from labkit.balancer.mitmproxy.journal import Exchange, Headers, Side
from labkit.balancer.mitmproxy.tls import names_of

STREAM, BODILESS = "labkit.stream", "labkit.bodiless"  # metadata that `layers.Stream` leaves on a flow
_RECORD = "labkit"


def begin(flow: http.HTTPFlow) -> None:
    """Put *flow*, whose head has come, on record."""
    flow.metadata[_RECORD] = _begun(flow)


def record(flow: http.HTTPFlow) -> Exchange:
    """The exchange that `Router.requestheaders` began for *flow*."""
    exchange = flow.metadata[_RECORD]
    assert isinstance(exchange, Exchange)
    return exchange


def request_of(flow: http.HTTPFlow, exchange: Exchange, held: bool) -> Request:
    """The request as the routes look at it."""
    return Request(
        exchange.method,
        exchange.target,
        [(name, value) for name, value in exchange.headers_received],
        "" if exchange.target.startswith("/") and not multiplexed(flow) else exchange.host,
        flow.request.raw_content if held else None,
        exchange.front["client"][0],
        "tls" in exchange.front,
        (exchange.sni or "").lower(),
        tuple(exchange.front["certificate"]) if "certificate" in exchange.front else None,
    )


def front_side(client: Client) -> Side:
    """The client's connection: true addresses of both ends, as the sockets say."""
    names = names_of(client)
    found = side(client, own=client.peername, peer=client.sockname)
    return found if names is None else found | {"certificate": list(names)}


def side(connection: Connection, own: Any, peer: Any) -> Side:
    """A connection: its id, the addresses of both ends, and TLS where that is spoken."""
    found = {"id": connection.id, "client": list(own[:2]), "server": list(peer[:2])}
    return found | ({"tls": connection.tls_version} if connection.tls_version else {})


def _begun(flow: http.HTTPFlow) -> Exchange:
    request = flow.request
    authority = request.data.authority
    in_streams = multiplexed(flow)
    target = (b"http://" + authority if authority and not in_streams else b"") + request.data.path
    return Exchange(
        front_side(flow.client_conn),
        method=request.method,
        target=target.decode("latin-1"),
        host=authority.decode("latin-1") or request.headers.get("host", ""),
        version="HTTP/2" if in_streams else request.http_version,
        front_stream=flow.metadata[STREAM] if in_streams else None,
        sni=flow.client_conn.sni,
        headers_received=headers(request),
        started_ns=int(request.timestamp_start * 1e9),
    )


def headers(request: http.Request) -> Headers:
    """Its header fields, as [name, value]."""
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.fields]


def held_names(exchange: Exchange, body: bool) -> list[str]:
    """Names of all fields in the proxy's hands: what its sockets tell it and what has been parsed."""
    network = "ip6" if ":" in exchange.front["client"][0] else "ip"
    names = [f"{network}.src", f"{network}.dst", "tcp.sport", "tcp.dport"]
    if "tls" in exchange.front:
        names += ["tls.version", *(["tls.sni"] if exchange.sni else []), "tls.alpn"]
        names += ["tls.client_certificate"] if "certificate" in exchange.front else []
    names += ["http.method", "http.target"]
    if exchange.version == "HTTP/2" and exchange.host:
        names.append("http.host")
    names += dict.fromkeys(field_of(name) for name, _ in exchange.headers_received)
    return [*names, "http.body"] if body else names


def multiplexed(flow: http.HTTPFlow) -> bool:
    """Whether the client speaks HTTP/2 on this connection (agreed on by ALPN; never in clear)."""
    return flow.client_conn.alpn == b"h2"


def body_size(flow: http.HTTPFlow) -> int | None:
    """The length of the request's body in bytes; None if it is not said."""
    if not multiplexed(flow):
        return expected_http_body_size(flow.request)
    length = flow.request.headers.get("content-length")  # mitmproxy has seen that it is a number
    return int(length) if length is not None else 0 if flow.metadata[BODILESS] else None
