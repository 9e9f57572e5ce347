"""Bodies that are held: how much of one, what a function makes of it, and how the message says so afterwards."""

from mitmproxy import http

from labkit.balancer.functions.pool import Pool
from labkit.balancer.l7.admission import Reply
from labkit.balancer.l7.code import HELD_MESSAGE
from labkit.balancer.l7.message import Message
from labkit.balancer.l7.request import HELD_BODY, Headers
from labkit.balancer.l7.route import Route
from labkit.balancer.mitmproxy.coding import TooLong, decoded
from labkit.balancer.mitmproxy.functions import Functions
from labkit.balancer.mitmproxy.held import MOST
from labkit.balancer.mitmproxy.journal import Exchange

_OF_CONTENT = (  # they describe the content as it was, or parts of it (RFC 9110 §8, RFC 9530, RFC 1864)
    *("content-encoding", "transfer-encoding", "content-digest", "repr-digest", "digest", "content-md5", "etag"),
    "accept-ranges",
)


def hold_for_rules(flow: http.HTTPFlow) -> None:
    """Hold the request's body, whose length is not said, until the routes have looked into it."""
    flow.metadata[MOST] = (HELD_BODY, f"the routes look into bodies, and {HELD_BODY} bytes of one are held")


def hold_request(flow: http.HTTPFlow, route: Route) -> None:
    """Hold the request's body for the function that changes it."""
    flow.metadata[MOST] = (HELD_MESSAGE, too_long(route))


def hold_response(flow: http.HTTPFlow, route: Route, exchange: Exchange) -> None:
    """Hold the answer's body for the function that changes it; without one, say nothing of what it would be."""
    response = flow.response
    assert response
    if _has_content(exchange, response):
        length = response.headers.get("content-length", "")
        announced = length.isdecimal() and int(length) > HELD_MESSAGE
        flow.metadata[MOST] = (0 if announced else HELD_MESSAGE, too_long(route))
        response.stream = False
    elif exchange.method == "HEAD" or response.status_code == 304:
        for name in (*_OF_CONTENT, "content-length"):
            response.headers.pop(name, None)


def too_long(route: Route) -> str:
    """Why a longer body is refused."""
    return f"the route {route.label} changes bodies, and {HELD_MESSAGE} bytes of one are held for that"


class Bodies:
    """Changes bodies by *functions*, which are called for a request and for its answer from the same *pool*."""

    def __init__(self, functions: Functions, pool: Pool, route: Route, exchange: Exchange) -> None:
        self._functions, self._pool = functions, pool
        self._route, self._exchange = route, exchange

    async def change_request(self, request: http.Request) -> Reply | None:
        """Give *request* the body that the route's function makes, if it has one. A `Reply` instead, if that fails."""
        if self._route.transform_request is None or not request.raw_content:
            return None
        return await self._change(request, "transform_request", (413, 415))

    async def change_response(self, response: http.Response) -> Reply | None:
        """The same for an answer, if it was held; one of no bytes, too."""
        if self._route.transform_response is None or response.stream or not _has_content(self._exchange, response):
            return None
        return await self._change(response, "transform_response", (502, 502), response.status_code)

    async def _change(
        self, message: http.Message, argument: str, refusals: tuple[int, int], status: int | None = None
    ) -> Reply | None:
        try:
            body = decoded(message.headers.get("content-encoding", ""), message.raw_content or b"", HELD_MESSAGE)
        except ValueError as error:
            self._exchange.error = str(error)
            why = f"the route {self._route.label} changes bodies, and of this one {error}"
            return Reply(refusals[0] if isinstance(error, TooLong) else refusals[1], why)
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.headers.fields]
        given = Message(Headers(lines), body, self._exchange.method, self._exchange.target, status)
        made = await self._functions.transformed(self._pool, self._route, argument, given, self._exchange)
        if isinstance(made, Reply):
            return made
        if made is not None:
            for name in _OF_CONTENT:
                message.headers.pop(name, None)
            message.data.content = made
            message.headers["Content-Length"] = str(len(made))
        return None


def _has_content(exchange: Exchange, response: http.Response) -> bool:
    """Whether an answer may have content at all (RFC 9110 §6.4.1)."""
    return exchange.method != "HEAD" and response.status_code >= 200 and response.status_code not in (204, 205, 304)
