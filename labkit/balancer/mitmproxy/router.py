"""Decides every request and keeps the record of it: mitmproxy's hooks on one side, our policy on the other.

A small body is waited for, so that the whole request is held when the decision falls; a large or chunked
one is not: the request is decided on its head and the body streamed. Answering here (no route) opens no
connection to any backend.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Connection
from mitmproxy.net.http.http1 import expected_http_body_size

from labkit.balancer.l7 import tls
from labkit.balancer.l7.admission import Admission, Reply
from labkit.balancer.l7.matching import Decision, walk
from labkit.balancer.l7.request import HELD_BODY, Request, Watched, field_of
from labkit.balancer.l7.route import Route
from labkit.balancer.mitmproxy.answers import answer
from labkit.balancer.mitmproxy.gateway import send_back, send_on
from labkit.balancer.mitmproxy.journal import Exchange, Headers, Journal, Side
from labkit.balancer.mitmproxy.rewrite import in_origin_form, without_h2c, without_second_host
from labkit.balancer.mitmproxy.tls import names_of
from labkit.balancer.mitmproxy.upstream import Upstream
from labkit.balancer.policy import L7Policy, Target
from labkit.topology import Listener

UNDECIDED = ("0.0.0.0", 0)  # stands for the upstream until a decision; no connection to it can succeed
STREAM, BODILESS = "labkit.stream", "labkit.bodiless"  # metadata that `layers.Stream` leaves on a flow
_RECORD, _WAY = "labkit", "labkit.way"


@dataclass(slots=True)
class Way:
    """How a request was decided, while it is under way. target: whose turn it is now; tried: who failed it before."""

    policy: L7Policy
    route: Route
    pool: str
    watched: Watched
    listener: Listener
    target: Target
    tried: list[str] = field(default_factory=list)


class Router:
    """The hooks of every connection, by mitmproxy's names. `policy` may be replaced at any time."""

    def __init__(self, listeners: Sequence[Listener], journal: Journal) -> None:
        self.journal = journal
        self._listeners = {listener.port: listener for listener in listeners}
        self._admission = Admission()
        self._upstream = Upstream(L7Policy(tuple(listeners), ()))
        self.use(L7Policy(tuple(listeners), ()))

    def use(self, policy: L7Policy) -> None:
        """Decide by *policy* from the next request on; turns begin anew."""
        self.policy = policy
        self._upstream.use(policy)
        self._opens_bodies = any(route.opens_body for route in policy.routes)
        targets = [target for targets in policy.pools.values() for target in targets]
        self._names = {address: target.name for target in targets for address in (target.address4, target.address6)}

    def name_of(self, address: str) -> str | None:
        """The backend at *address*, by the policy in force."""
        return self._names.get(address)

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.metadata[_RECORD] = _begun(flow)
        if flow.error:
            return  # refused by the parser; the error hook follows
        if _multiplexed(flow):
            without_second_host(flow.request)
        elif flow.request.http_version.startswith("HTTP/1."):
            without_h2c(flow.request)
            in_origin_form(flow.request)
        else:
            flow.response = answer(505, "the balancer speaks HTTP/1.0 and HTTP/1.1 here", close=True)
            return
        size = body_size(flow)
        if (size is None and not self._opens_bodies) or (size or 0) > HELD_BODY:
            await self._decide(flow, size, held=False)
            flow.request.stream = flow.response is None

    async def request(self, flow: http.HTTPFlow) -> None:
        if record(flow).decided_ns is None and flow.response is None:
            await self._decide(flow, len(flow.request.raw_content or b""), held=True)

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True  # the body is passed on as it comes
        way = way_of(flow)
        if way and flow.server_conn.peername:
            send_back(flow.response, way.policy, way.route, way.watched, way.target)
            cookie = self._upstream.cookie(way.watched, way.target, way.listener)
            if cookie:
                flow.response.headers.add("Set-Cookie", cookie)
            self._upstream.spread.judged(way.target.name, failed=flow.response.status_code >= 500)

    async def websocket_message(self, flow: http.HTTPFlow) -> None:
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
        if way := way_of(flow):
            self._upstream.spread.ended(way.pool, way.target.name)
        self.journal.finish(exchange)

    async def _decide(self, flow: http.HTTPFlow, size: int | None, *, held: bool) -> None:
        exchange, policy = record(flow), self.policy
        exchange.held = _held(exchange, bool(flow.request.raw_content))
        watched = Watched(_request(flow, exchange, held))
        reply = tls.at_the_door(policy.tls, watched, policy.https_port) if policy.tls else None
        decision = None if reply else await self._walk(policy, watched)
        exchange.decided_ns = time.time_ns()
        if decision:
            exchange.rule = decision.rule
            self._carry_out(flow, policy, decision, watched, size)
        elif reply:
            self._answer(flow, reply)
        exchange.read = list(watched.reads)

    async def _walk(self, policy: L7Policy, watched: Watched) -> Decision:
        steps = walk(policy.routes, watched)
        try:
            next(steps)
            raise AssertionError("no function can be asked here")
        except StopIteration as end:
            decision: Decision = end.value
            return decision

    def _carry_out(
        self, flow: http.HTTPFlow, policy: L7Policy, decision: Decision, watched: Watched, size: int | None
    ) -> None:
        route = decision.route
        if route is None:
            return self._answer(flow, Reply(404, _no_route(record(flow), policy)))
        admitted = self._admission.judge(route, watched, size, time.monotonic())
        if isinstance(admitted, Reply):
            return self._answer(flow, admitted)
        assert route.pool is not None
        if self._upstream.spread.full(route.pool):
            return self._answer(flow, Reply(503, f"as many requests are under way to the pool {route.pool} as may be"))
        listener = self._listeners[record(flow).front["server"][1]]
        target = self._upstream.choose(route.pool, watched, listener)
        if target is None:
            return self._answer(flow, Reply(503, f"no backend of the pool {route.pool} takes requests"))
        flow.metadata[_WAY] = Way(policy, route, route.pool, watched, listener, target)
        record(flow).backend = target.name
        self._upstream.spread.begun(route.pool, target.name)
        self._upstream.address(flow.request, target, watched, listener)
        send_on(flow.request, policy, route, watched, admitted.user, record(flow).request)

    def _answer(self, flow: http.HTTPFlow, reply: Reply) -> None:
        fields = self.fields(flow.client_conn, reply.headers)
        flow.response = answer(
            reply.status, reply.reason, text=reply.text, fields=fields, head=flow.request.method == "HEAD"
        )

    def fields(self, client: Client, own: Sequence[tuple[str, str]] = ()) -> Sequence[tuple[str, str]]:
        """The header fields of an answer of our own to *client*: *own*, and what every answer has."""
        return tls.answered(self.policy.tls, own, secure=client.tls)


def way_of(flow: http.HTTPFlow) -> Way | None:
    """How *flow* was decided, if it goes to a pool."""
    way: Way | None = flow.metadata.get(_WAY)
    return way


def _request(flow: http.HTTPFlow, exchange: Exchange, held: bool) -> Request:
    """The request as the routes look at it."""
    return Request(
        exchange.method,
        exchange.target,
        [(name, value) for name, value in exchange.headers_received],
        "" if exchange.target.startswith("/") and not _multiplexed(flow) else exchange.host,
        flow.request.raw_content if held else None,
        exchange.front["client"][0],
        "tls" in exchange.front,
        (exchange.sni or "").lower(),
        tuple(exchange.front["certificate"]) if "certificate" in exchange.front else None,
    )


def record(flow: http.HTTPFlow) -> Exchange:
    """The exchange that `Router.requestheaders` began for *flow*."""
    exchange = flow.metadata[_RECORD]
    assert isinstance(exchange, Exchange)
    return exchange


def front_side(client: Client) -> Side:
    """The client's connection: true addresses of both ends, as the sockets say."""
    names = names_of(client)
    side = _side(client, own=client.peername, peer=client.sockname)
    return side if names is None else side | {"certificate": list(names)}


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
        names += ["tls.client_certificate"] if "certificate" in exchange.front else []
    names += ["http.method", "http.target"]
    if exchange.version == "HTTP/2" and exchange.host:
        names.append("http.host")
    names += dict.fromkeys(field_of(name) for name, _ in exchange.headers_received)
    return [*names, "http.body"] if body else names


def _no_route(exchange: Exchange, policy: L7Policy) -> str:
    routes = ", ".join(route.label for route in policy.routes) or "none"
    return f"no route of the balancer matches {exchange.target} (routes: {routes})"


def _multiplexed(flow: http.HTTPFlow) -> bool:
    """Whether the client speaks HTTP/2 on this connection (agreed on by ALPN; never in clear)."""
    return flow.client_conn.alpn == b"h2"


def body_size(flow: http.HTTPFlow) -> int | None:
    """The length of the request's body in bytes; None if it is not said."""
    if not _multiplexed(flow):
        return expected_http_body_size(flow.request)
    length = flow.request.headers.get("content-length")  # mitmproxy has seen that it is a number
    return int(length) if length is not None else 0 if flow.metadata[BODILESS] else None
