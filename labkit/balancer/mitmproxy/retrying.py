"""A request that a backend fails is asked of another one, where the policy wants it and it is safe (RFC 9110 §9.2.2).

What never left (no connection) is always safe. What was sent is asked again only where the method is idempotent, the
whole request is held, and nothing of an answer has been passed on: then an answer 502, 503 or 504 is read to its end
and thrown away, so that its connection can be used again.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from labkit.balancer.l7.resilience import IDEMPOTENT
from labkit.balancer.mitmproxy.router import Router, way_of

Commands = Generator[commands.Command, Any, None]
_WORTH = frozenset({502, 503, 504})  # answers that say: not now, or not here
_MOST_DISCARDED = 1 << 20  # bytes of such an answer that are read to keep its connection


@dataclass
class AnswerLate(events.Event):
    """The backend has had all its time, and has not begun to answer."""

    flow: HTTPFlow


class RetryingStream(HttpStream):
    """One request and its response, at one backend after another."""

    def __init__(self, context: Context, stream_id: int, router: Router) -> None:
        super().__init__(context, stream_id)
        self._router = router
        self._discarded = 0

    def make_server_connection(self) -> Generator[commands.Command, Any, bool]:
        while True:
            target: tuple[Connection | None, str | None] = yield GetHttpConnection(
                (self.flow.request.host, self.flow.request.port),
                self.flow.request.scheme == "https",
                self.flow.server_conn.via,
                self.flow.server_conn.transport_protocol,
            )
            connection, error = target
            if connection is not None:
                self.context.server = self.flow.server_conn = connection  # type: ignore[assignment]
                return True
            self._router.failed(self.flow)
            if not self._router.again(self.flow, f"no connection: {error}"):
                break
        failure = ResponseProtocolError(self.stream_id, error or "", ErrorCode.CONNECT_FAILED)
        yield from self.handle_protocol_error(failure)
        return False

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        status = event.response.status_code
        if status in _WORTH and self._repeatable() and self._router.again(self.flow, f"answered {status}"):
            self._router.failed(self.flow)
            self._discarded = 0
            self.server_state = self._discard
            return
        yield from super().state_wait_for_response_headers(event)

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        waiting = self.server_state in (self.state_wait_for_response_headers, self._discard)
        if isinstance(event, ResponseProtocolError) and waiting and event.code is not ErrorCode.CONNECT_FAILED:
            self._router.failed(self.flow)
            repeated = self.server_state == self._discard or (
                self._repeatable() and self._router.again(self.flow, f"no whole answer: {event.message}")
            )
            if repeated:
                yield from self._ask_again()
                return
        yield from super().handle_protocol_error(event)

    def late(self, reason: str) -> Commands:
        """The time for an answer is over."""
        if self.server_state not in (self.state_wait_for_response_headers, self._discard):
            return
        self.server_state = self.state_errored  # whatever still comes from there is of no use
        yield SendHttp(RequestProtocolError(self.stream_id, reason, ErrorCode.CANCEL), self.context.server)
        yield from self.send_response()

    def _repeatable(self) -> bool:
        """Whether the request may be sent a second time, and can be."""
        request = self.flow.request
        held = self.client_state == self.state_done and not request.stream
        return held and request.method in IDEMPOTENT and way_of(self.flow) is not None

    def _discard(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseData):
            self._discarded += len(event.data)
            if self._discarded > _MOST_DISCARDED:
                self.server_state = self.state_errored
                yield SendHttp(RequestProtocolError(self.stream_id, "too much", ErrorCode.CANCEL), self.context.server)
                yield from self._ask_again()
        elif isinstance(event, ResponseEndOfMessage):
            yield from self._ask_again()

    def _ask_again(self) -> Commands:
        self.server_state = self.state_wait_for_response_headers
        if not (yield from self.make_server_connection()):
            return
        content = self.flow.request.raw_content
        yield SendHttp(RequestHeaders(self.stream_id, self.flow.request, not content), self.context.server)
        if content:
            yield SendHttp(RequestData(self.stream_id, content), self.context.server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), self.context.server)
