"""Decides every request and keeps the record of it: mitmproxy's hooks on one side, our policy on the other.

A small body is waited for, so that the whole request is held when the decision falls. A large one is not: the
request is decided on its head and the body streamed. One of unknown length is waited for in HTTP/1.1 until it has
become a large one; in HTTP/2 it is streamed, as a call may last as long as its stream. Answering here (no route)
opens no connection to any backend.
"""

import time
from collections.abc import Sequence
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Connection
from mitmproxy.net.http.http1 import expected_http_body_size

from labkit.balancer.matching import RequestHead, RoundRobin, decide
from labkit.balancer.mitmproxy.answers import answer
from labkit.balancer.mitmproxy.journal import Exchange, Headers, Journal, Side
from labkit.balancer.mitmproxy.rewrite import in_origin_form, without_h2c, without_second_host
from labkit.balancer.policy import L7Policy, Target
from labkit.topology import Listener

UNDECIDED = ("0.0.0.0", 0)  # stands for the upstream until a decision; no connection to it can succeed
HELD_BODY = 64 * 1024  # bytes of a request body that is waited for before deciding
STREAM, BODILESS = "labkit.stream", "labkit.bodiless"  # metadata that `layers.Stream` leaves on a flow
_RECORD = "labkit"
_FIELDS = {"host": "http.host", "cookie": "http.cookie"}


class Router:
    """The hooks of every connection, by mitmproxy's names. `policy` may be replaced at any time."""

    def __init__(self, listeners: Sequence[Listener], journal: Journal) -> None:
        self.journal = journal
        self._listeners = {listener.port: listener for listener in listeners}
        self.use(L7Policy(tuple(listeners), ()))

    def use(self, policy: L7Policy) -> None:
        """Decide by *policy* from the next request on; turns begin anew."""
        self.policy = policy
        self._turns = RoundRobin(policy.pools)
        targets = [target for targets in policy.pools.values() for target in targets]
        self._names = {address: target.name for target in targets for address in (target.address4, target.address6)}

    def name_of(self, address: str) -> str | None:
        """The backend at *address*, by the policy in force."""
        return self._names.get(address)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.metadata[_RECORD] = _begun(flow)
        if flow.error:
            return  # refused by the parser; the error hook follows
        if _multiplexed(flow):
            without_second_host(flow.request)
        else:
            without_h2c(flow.request)
            in_origin_form(flow.request)
        size = body_size(flow)
        if _multiplexed(flow) if size is None else size > HELD_BODY:
            self.decide(flow)
            flow.request.stream = flow.response is None

    def request(self, flow: http.HTTPFlow) -> None:
        if record(flow).decided_ns is None and flow.response is None:
            self.decide(flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True  # the body is passed on as it comes

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        assert flow.websocket
        flow.websocket.messages.clear()  # passed on, not collected

    def ending(self, flow: http.HTTPFlow) -> None:
        """The answer, or the failure, is complete; `finish` follows when its last bytes have been written."""
        self.journal.ending(record(flow))

    def finish(self, flow: http.HTTPFlow, back_stream: int | None = None, failure: str | None = None) -> None:
        """The last bytes of this request are on their way to the client: complete its record and tell it."""
        exchange = record(flow)
        if exchange.status is None and flow.response:  # no answer of our own took its place
            exchange.status = flow.response.status_code
        exchange.websocket = flow.websocket is not None
        exchange.error = failure or (flow.error.msg if flow.error else None)
        exchange.back_stream = back_stream
        if flow.server_conn.sockname and flow.server_conn.peername:
            exchange.back = _side(flow.server_conn, own=flow.server_conn.sockname, peer=flow.server_conn.peername)
            exchange.headers_forwarded = _headers(flow.request)
        self.journal.finish(exchange)

    def decide(self, flow: http.HTTPFlow) -> None:
        """Where *flow* goes, by what is held of it; or the answer that it gets here."""
        exchange = record(flow)
        exchange.held = _held(exchange, bool(flow.request.raw_content))
        head = RequestHead(
            exchange.method, exchange.target, [(name, value) for name, value in exchange.headers_received]
        )
        decision = decide(self.policy, head)
        exchange.decided_ns = time.time_ns()
        exchange.rule, exchange.read = decision.rule, list(decision.reads)
        if decision.pool is None:
            flow.response = answer(404, _no_route(exchange, self.policy), head=flow.request.method == "HEAD")
            return
        if not self.policy.pools[decision.pool]:
            reason = f"no backend of the pool {decision.pool} takes requests"
            flow.response = answer(503, reason, head=flow.request.method == "HEAD")
            return
        target = self._turns.next(decision.pool)
        exchange.backend = target.name
        client_address, port = exchange.front["server"]
        listener = self._listeners[port]
        secure = listener.protocol == "https"
        inside_tls = secure and self.policy.reencrypt
        flow.request.data.host = _reachable(target, client_address)
        flow.request.data.port = self.policy.http_port if secure and not inside_tls else listener.target_port
        flow.request.data.scheme = b"https" if inside_tls else b"http"


def record(flow: http.HTTPFlow) -> Exchange:
    """The exchange that `Router.requestheaders` began for *flow*."""
    exchange = flow.metadata[_RECORD]
    assert isinstance(exchange, Exchange)
    return exchange


def front_side(client: Client) -> Side:
    """The client's connection: true addresses of both ends, as the sockets say."""
    return _side(client, own=client.peername, peer=client.sockname)


def _side(connection: Connection, own: Any, peer: Any) -> Side:
    side = {"id": connection.id, "client": list(own[:2]), "server": list(peer[:2])}
    return side | ({"tls": connection.tls_version} if connection.tls_version else {})


def _begun(flow: http.HTTPFlow) -> Exchange:
    request = flow.request
    authority = request.data.authority
    multiplexed = _multiplexed(flow)
    target = (b"http://" + authority if authority and not multiplexed else b"") + request.data.path
    return Exchange(
        front_side(flow.client_conn),
        method=request.method,
        target=target.decode("latin-1"),
        host=authority.decode("latin-1") or request.headers.get("host", ""),
        version="HTTP/2" if multiplexed else request.http_version,
        front_stream=flow.metadata[STREAM] if multiplexed else None,
        sni=flow.client_conn.sni,
        headers_received=_headers(request),
        started_ns=int(request.timestamp_start * 1e9),
    )


def _headers(request: http.Request) -> Headers:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.fields]


def _held(exchange: Exchange, body: bool) -> list[str]:
    """Names of all fields in the proxy's hands: what its sockets tell it and what has been parsed."""
    network = "ip6" if ":" in exchange.front["client"][0] else "ip"
    names = [f"{network}.src", f"{network}.dst", "tcp.sport", "tcp.dport"]
    if "tls" in exchange.front:
        names += ["tls.version", *(["tls.sni"] if exchange.sni else []), "tls.alpn"]
    names += ["http.method", "http.target"]
    if exchange.version == "HTTP/2" and exchange.host:
        names.append("http.host")
    lowered = (name.lower() for name, _ in exchange.headers_received)
    names += dict.fromkeys(_FIELDS.get(name, f"http.header.{name}") for name in lowered)
    return [*names, "http.body"] if body else names


def _no_route(exchange: Exchange, policy: L7Policy) -> str:
    routes = ", ".join(route.path for route in policy.routes) or "none"
    return f"no route of the balancer matches {exchange.target} (routes: {routes})"


def _reachable(target: Target, client_side: str) -> str:
    """The backend's address in the client's address family, if it has one there."""
    return target.address6 if ":" in client_side and target.address6 else target.address4


def _multiplexed(flow: http.HTTPFlow) -> bool:
    """Whether the client speaks HTTP/2 on this connection (agreed on by ALPN; never in clear)."""
    return flow.client_conn.alpn == b"h2"


def body_size(flow: http.HTTPFlow) -> int | None:
    """The length of the request's body in bytes; None if it is not said."""
    if not _multiplexed(flow):
        return expected_http_body_size(flow.request)
    length = flow.request.headers.get("content-length")  # mitmproxy has seen that it is a number
    return int(length) if length is not None else 0 if flow.metadata[BODILESS] else None
