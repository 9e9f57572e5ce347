"""mitmproxy's HTTP layers, changed where they would break or keep silent.

- A refused or failed request is answered in the balancer's own words, naming the backend, and the status
  is put on record (mitmproxy's HTML pages name neither).
- A request that cannot be parsed is answered 400 and put on record; mitmproxy tells no hook of it.
- The body of a request that is already answered is thrown away as it comes, not collected.
- Trailer fields are discarded, as RFC 9112 §7.1.2 allows; mitmproxy crashes on them.
"""

from collections.abc import Generator
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, HttpStream, _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestProtocolError,
    ResponseProtocolError,
)

from labkit.balancer.mitmproxy.answers import raw_answer
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.mitmproxy.router import Router, front_side, record

Commands = Generator[commands.Command, Any, None]


class FrontHttp(HttpLayer):
    """HTTP of one client connection and of the backend connections made for it."""

    def __init__(self, context: Context, router: Router) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.front = FrontConnection(context.fork(), self)
        self.router = router

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            self.connections[self.context.client] = self.front
        yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        self.streams[stream_id] = stream = Stream(self.context.fork(), stream_id)
        yield from self.event_to_child(stream, events.Start())


class FrontConnection(_http1.Http1Server):
    """The client's side of HTTP/1: what it sends is read here, what it gets is written here."""

    def __init__(self, context: Context, http: FrontHttp) -> None:
        super().__init__(context)
        self._http = http

    @property
    def answering(self) -> bool:
        """A final response has begun, so another one can no longer be sent."""
        return self.response is not None and self.response.status_code >= 200

    def send(self, event: HttpEvent) -> Commands:
        if not isinstance(event, ResponseProtocolError):
            yield from super().send(event)
        elif self.conn.state & ConnectionState.CAN_WRITE:
            status = event.code.http_status_code()
            if status is not None and not self.answering:
                yield commands.SendData(self.conn, self.refusal(status, event.message))
            yield commands.CloseConnection(self.conn)

    def refusal(self, status: int, reason: str) -> bytes:
        """An answer of our own, as bytes; its status goes on the record of the request it answers."""
        stream = self._http.streams.get(self.stream_id)
        if stream:
            record(stream.flow).status = status
        return raw_answer(status, reason, head=self.request is not None and self.request.method == "HEAD")

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        refused = False
        for command in super().read_headers(event):
            if isinstance(command, commands.SendData):  # only ever a 400
                refused = True
                yield commands.SendData(self.conn, raw_answer(400, "the balancer cannot parse this request"))
                continue
            if refused and isinstance(command, commands.Log):  # nothing of it could be parsed
                self._http.router.journal.finish(
                    Exchange(front_side(self.context.client), status=400, error=command.message)
                )
            yield command
            if refused and isinstance(command, ReceiveHttp) and isinstance(command.event, RequestProtocolError):
                record(self._http.streams[self.stream_id].flow).status = 400


class Stream(HttpStream):
    """One request and its response."""

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        backend = record(self.flow).backend
        if isinstance(event, ResponseProtocolError) and backend:
            what = "cannot reach" if event.code is ErrorCode.CONNECT_FAILED else "got no whole answer from"
            host = self.flow.request.host
            event.message = f"the balancer {what} {backend} ({host} port {self.flow.request.port}): {event.message}"
        yield from super().handle_protocol_error(event)

    def state_consume_request_body(self, event: events.Event) -> Commands:
        if isinstance(event, RequestData) and self.flow.response:
            return
        yield from super().state_consume_request_body(event)


class _TrailersDiscarded(ChunkedReader):
    def __call__(self, buffer: Any) -> Any:
        event = super().__call__(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def discard_trailers() -> None:
    """Make mitmproxy's HTTP/1 parser skip trailer fields, on both sides, in this process."""
    _http1.ChunkedReader = _TrailersDiscarded  # type: ignore[attr-defined]
