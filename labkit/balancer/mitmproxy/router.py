"""Decides every request and keeps the record of it: mitmproxy's hooks on one side, our policy on the other.

A small body is waited for, so that the whole request is held when the decision falls. A large one is not: the
request is decided on its head and the body streamed. One of unknown length is waited for in HTTP/1.1 until it has
become a large one; in HTTP/2 it is streamed, as a call may last as long as its stream. A body that a function changes
is held, and so is one of unknown length that routes look into; both have a limit. Answering here (no route) opens no
connection to any backend.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mitmproxy import http
from mitmproxy.connection import Client

from labkit.balancer.functions.pool import Pool
from labkit.balancer.l7 import tls
from labkit.balancer.l7.admission import Admission, Reply, granted, too_large
from labkit.balancer.l7.code import HELD_MESSAGE
from labkit.balancer.l7.matching import Decision, walk
from labkit.balancer.l7.request import HELD_BODY, Watched
from labkit.balancer.l7.route import Route
from labkit.balancer.mitmproxy.answers import answer
from labkit.balancer.mitmproxy.bodies import Bodies, hold_for_rules, hold_request, hold_response, too_long
from labkit.balancer.mitmproxy.functions import Functions
from labkit.balancer.mitmproxy.gateway import send_back, send_on
from labkit.balancer.mitmproxy.held import PASSED
from labkit.balancer.mitmproxy.journal import Exchange, Journal
from labkit.balancer.mitmproxy.record import (
    begin,
    body_size,
    headers,
    held_names,
    multiplexed,
    record,
    request_of,
    side,
)
from labkit.balancer.mitmproxy.rewrite import in_origin_form, without_h2c, without_second_host
from labkit.balancer.mitmproxy.upstream import Upstream
from labkit.balancer.policy import L7Policy, Target
from labkit.topology import Listener

UNDECIDED = ("0.0.0.0", 0)  # stands for the upstream until a decision; no connection to it can succeed
_WAY = "labkit.way"


@dataclass(slots=True)
class Way:
    """How a request was decided, while it is under way. target: whose turn it is now; tried: who failed it before."""

    policy: L7Policy
    route: Route
    pool: str
    watched: Watched
    listener: Listener
    target: Target
    bodies: Bodies
    tried: list[str] = field(default_factory=list)
    left: bool = False  # it no longer counts as under way


class Router:
    """The hooks of every connection, by mitmproxy's names. `policy` may be replaced at any time."""

    def __init__(self, listeners: Sequence[Listener], journal: Journal, functions: Functions) -> None:
        self.journal = journal
        self.functions = functions
        self._listeners = {listener.port: listener for listener in listeners}
        self._admission = Admission()
        self._upstream = Upstream(L7Policy(tuple(listeners), ()))
        self.use(L7Policy(tuple(listeners), ()), functions.pool)

    def use(self, policy: L7Policy, pool: Pool) -> None:
        """Decide by *policy* from the next request on; turns begin anew. pool: runs its functions."""
        self.policy = policy
        self.functions.use(pool)
        self._upstream.use(policy)
        self._admission.use(policy.routes)
        self._opens_bodies = any(route.opens_body for route in policy.routes)
        targets = [target for targets in policy.pools.values() for target in targets]
        self._names = {address: target.name for target in targets for address in (target.address4, target.address6)}

    def name_of(self, address: str) -> str | None:
        """The backend at *address*, by the policy in force."""
        return self._names.get(address)

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        begin(flow)
        if flow.error:
            return  # refused by the parser; the error hook follows
        if multiplexed(flow):
            without_second_host(flow.request)
        else:
            without_h2c(flow.request)
            in_origin_form(flow.request)
        size = body_size(flow)
        if size is None and self._opens_bodies:
            hold_for_rules(flow)
        elif multiplexed(flow) if size is None else size > HELD_BODY:
            await self._decide(flow, size, held=False)
            self._stream_or_hold(flow)

    async def request(self, flow: http.HTTPFlow) -> None:
        if record(flow).decided_ns is None and flow.response is None:
            await self._decide(flow, len(flow.request.raw_content or b""), held=True)
        way = way_of(flow)
        if way and (failed := await way.bodies.change_request(flow.request)):
            self._upstream.spread.ended(way.pool, way.target.name)
            del flow.metadata[_WAY]
            record(flow).backend = None  # nobody was asked
            self._answer(flow, failed)

    async def response(self, flow: http.HTTPFlow) -> None:
        way = way_of(flow)
        answered = flow.response if flow.server_conn.peername else None  # by a backend
        if way and answered and (failed := await way.bodies.change_response(answered)):
            self._answer(flow, failed)

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True  # the body is passed on as it comes
        way = way_of(flow)
        if way and flow.server_conn.peername:
            send_back(flow, way.policy, way.route, way.watched, way.target)
            cookie = self._upstream.cookie(way.watched, way.target, way.listener)
            if cookie:
                flow.response.headers.add("Set-Cookie", cookie)
            self._upstream.spread.judged(way.target.name, failed=flow.response.status_code >= 500)
            if way.route.transform_response:
                hold_response(flow, way.route, record(flow))

    async def websocket_end(self, flow: http.HTTPFlow) -> None:
        self._left(flow)

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
        exchange.error = failure or (flow.error.msg if flow.error else None) or exchange.error
        exchange.back_stream = back_stream
        if flow.server_conn.sockname and flow.server_conn.peername:
            exchange.back = side(flow.server_conn, own=flow.server_conn.sockname, peer=flow.server_conn.peername)
            exchange.headers_forwarded = headers(flow.request)
        if not exchange.websocket or failure:
            self._left(flow)
        if way_of(flow) and flow.request.timestamp_end is None and not flow.request.stream:
            exchange.backend = None  # it was held to be changed, and never complete: nobody was asked
        self.journal.finish(exchange)

    async def decide(self, flow: http.HTTPFlow) -> None:
        """Where *flow* goes, whose body turned out to be larger than what is held; or the answer that it gets here."""
        await self._decide(flow, HELD_BODY + 1, held=False)
        self._stream_or_hold(flow)

    def _stream_or_hold(self, flow: http.HTTPFlow) -> None:
        """The body of a request that has been decided is passed on as it comes, unless a function is to change it."""
        way = way_of(flow)
        if way and way.route.transform_request:
            hold_request(flow, way.route)
        else:
            flow.request.stream = flow.response is None
            if way and way.route.max_body is not None:
                flow.metadata[PASSED] = (way.route.max_body, too_large(way.route.max_body))

    def patience(self, flow: http.HTTPFlow) -> float | None:
        """Seconds that the backend has to begin its answer; None if none is asked."""
        way = way_of(flow)
        if way is None or flow.response or flow.error:
            return None
        return way.route.timeout or way.policy.timeouts.answer

    def late(self, flow: http.HTTPFlow) -> None:
        """It has taken longer: the balancer answers."""
        way = way_of(flow)
        assert way
        self.failed(flow)
        reason = f"{way.target.name} did not begin its answer within {self.patience(flow):g} s"
        flow.response = answer(504, reason, head=flow.request.method == "HEAD")
        record(flow).error = reason

    def failed(self, flow: http.HTTPFlow) -> None:
        """The backend did not answer this request as it should."""
        if way := way_of(flow):
            self._upstream.spread.judged(way.target.name, failed=True)

    def again(self, flow: http.HTTPFlow, reason: str) -> bool:
        """The backend failed this request: have it go to another one. False if it may not be asked again."""
        way = way_of(flow)
        if way is None:
            return False
        retries = way.policy.retries
        if retries is None or len(way.tried) >= retries.times:
            return False
        way.tried.append(way.target.name)
        record(flow).tried.append(f"{way.target.name}: {reason}")
        target = self._upstream.choose(way.pool, way.watched, way.listener, frozenset(way.tried))
        if target is None:
            return False
        self._upstream.spread.ended(way.pool, way.target.name)
        self._upstream.spread.begun(way.pool, target.name)
        way.target = target
        record(flow).backend = target.name
        self._upstream.address(flow.request, target, way.watched, way.listener)
        return True

    def _left(self, flow: http.HTTPFlow) -> None:
        """It is no longer under way."""
        way = way_of(flow)
        if way and not way.left:
            way.left = True
            self._upstream.spread.ended(way.pool, way.target.name)

    async def _decide(self, flow: http.HTTPFlow, size: int | None, *, held: bool) -> None:
        exchange = record(flow)
        exchange.held = held_names(exchange, bool(flow.request.raw_content))
        watched = Watched(request_of(flow, exchange, held))
        policy, found = await self._walk(watched, exchange)
        exchange.decided_ns = time.time_ns()
        if isinstance(found, Reply):
            self._answer(flow, found)
        else:
            exchange.rule = found.rule
            self._carry_out(flow, policy, found, watched, size)
        exchange.read = list(watched.reads)

    async def _walk(self, watched: Watched, exchange: Exchange) -> tuple[L7Policy, Decision | Reply]:
        """The decision, and the policy that it is by: the one that is in force when it falls. A `Reply` of a function
        that failed instead."""
        while True:
            policy = self.policy
            found = await self._walk_by(policy, self.functions.pool, watched, exchange)
            if policy is self.policy:
                return policy, found
            exchange.error = exchange.rule = None  # what a function of the other policy said is of no account

    async def _walk_by(self, policy: L7Policy, pool: Pool, watched: Watched, exchange: Exchange) -> Decision | Reply:
        if policy.tls and (reply := tls.at_the_door(policy.tls, watched, policy.https_port)):
            return reply
        steps = walk(policy.routes, watched)
        try:
            route = next(steps)
            while True:
                answer = await self.functions.matches(pool, route, watched.unwatched, exchange)
                if isinstance(answer, Reply):
                    exchange.rule = route.label
                    return answer
                route = steps.send(answer)
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
            return self._answer(flow, admitted, granted(route, watched))
        if route.transform_request and size is not None and size > HELD_MESSAGE:
            return self._answer(flow, Reply(413, too_long(route)))
        assert route.pool is not None
        if self._upstream.spread.full(route.pool):
            return self._answer(flow, Reply(503, f"as many requests are under way to the pool {route.pool} as may be"))
        listener = self._listeners[record(flow).front["server"][1]]
        target = self._upstream.choose(route.pool, watched, listener)
        if target is None:
            return self._answer(flow, Reply(503, f"no backend of the pool {route.pool} takes requests"))
        bodies = Bodies(self.functions, self.functions.pool, route, record(flow))
        flow.metadata[_WAY] = Way(policy, route, route.pool, watched, listener, target, bodies)
        record(flow).backend = target.name
        self._upstream.spread.begun(route.pool, target.name)
        self._upstream.address(flow.request, target, watched, listener)
        send_on(flow.request, policy, route, watched, admitted.user, record(flow).request)

    def _answer(self, flow: http.HTTPFlow, reply: Reply, more: Sequence[tuple[str, str]] = ()) -> None:
        names = {name.lower() for name, _ in reply.headers}
        own = [*reply.headers, *((name, value) for name, value in more if name.lower() not in names)]
        fields = self.fields(flow.client_conn, own)
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


def _no_route(exchange: Exchange, policy: L7Policy) -> str:
    routes = ", ".join(route.label for route in policy.routes) or "none"
    return f"no route of the balancer matches {exchange.target} (routes: {routes})"
