"""mitmproxy's HTTP layers, changed where they would break or keep silent.

- A refused or failed request is answered in the balancer's own words, naming the backend, and the status
  is put on record (mitmproxy's HTML pages name neither).
- A request that cannot be parsed is answered 400 and put on record; mitmproxy tells no hook of it.
- The body of a request that is already answered is thrown away as it comes, not collected.
- Trailer fields are discarded, as RFC 9110 §6.5.1 allows; mitmproxy crashes on them in HTTP/1.1.
- A connection to a backend that failed is forgotten, so that the next request tries again; an idle one in HTTP/1.1
  carries the next request also where the client speaks HTTP/2 (mitmproxy opens one a request).
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    HttpStream,
    _http1,
    _http2,
)
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)

from labkit.balancer.mitmproxy.answers import raw_answer
from labkit.balancer.mitmproxy.http2 import FrontHttp2
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.mitmproxy.rewrite import as_http1
from labkit.balancer.mitmproxy.router import BODILESS, STREAM, Router, body_size, front_side, record

Commands = Generator[commands.Command, Any, None]


class FrontHttp(HttpLayer):
    """HTTP of one client connection and of the backend connections made for it."""

    front: "FrontConnection | FrontHttp2 | None" = None  # from the start on

    def __init__(self, context: Context, router: Router) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.router = router

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            kind = FrontHttp2 if self.context.client.alpn == b"h2" else FrontConnection
            self.front = self.connections[self.context.client] = kind(self.context.fork(), self)
        elif isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            return  # of a connection that failed and was forgotten
        yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        self.streams[stream_id] = stream = Stream(self.context.fork(), stream_id)
        yield from self.event_to_child(stream, events.Start())

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        for connection, layer in list(self.connections.items()):
            if not event.connection_spec_matches(connection) or connection in self.waiting_for_establishment:
                continue
            if connection.error:
                del self.connections[connection]
            elif connection.connected and _idle(layer):
                stream = self.command_sources.pop(event)
                yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (connection, None)))
                return
        yield from super().get_connection(event, reuse=reuse)

    def idle(self, connection: Connection) -> bool:
        """Whether nothing is asked of a backend over *connection*, which is kept in case something will be."""
        inner = _innermost(self.connections.get(connection))
        if isinstance(inner, _http2.Http2Client):
            return not inner.streams and not inner.stream_queue
        return _idle(inner)

    def back_stream(self, connection: Connection, stream_id: int) -> int | None:
        """The HTTP/2 stream that carried the client's stream to the backend; None in HTTP/1.1."""
        inner = _innermost(self.connections.get(connection))
        return inner.our_stream_id.get(stream_id) if isinstance(inner, _http2.Http2Client) else None


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
        fields = self._http.router.fields(self.context.client)
        return raw_answer(status, reason, fields, head=self.request is not None and self.request.method == "HEAD")

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

    _bodiless = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, RequestTrailers | ResponseTrailers):
            return
        if isinstance(event, RequestHeaders):
            self._bodiless = event.end_stream
            event = replace(event, request=event.request.copy())  # what is edited here, the connection has still to see
        elif isinstance(event, ResponseHeaders):
            event = replace(event, response=event.response.copy())
        yield from super()._handle_event(event)

    def check_invalid(self, request: bool) -> Generator[commands.Command, Any, bool]:
        if request:  # the flow has just been made, and no hook has seen it
            self.flow.metadata |= {STREAM: self.stream_id, BODILESS: self._bodiless}
        return (yield from super().check_invalid(request))

    def make_server_connection(self) -> Generator[commands.Command, Any, bool]:
        opened: bool = yield from super().make_server_connection()
        if opened and self.context.client.alpn == b"h2" and self.context.server.alpn != b"h2":
            as_http1(self.flow.request, framed=body_size(self.flow) is not None)
        return opened

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


def _innermost(layer: Layer | None) -> Layer | None:
    """What speaks HTTP at the end of a stack of layers."""
    while (child := getattr(layer, "child_layer", None)) is not None:
        layer = child
    return layer


def _idle(layer: Layer | None) -> bool:
    """Whether a connection in HTTP/1.1 has answered all it was asked, and can be asked again."""
    inner = _innermost(layer)
    return isinstance(inner, _http1.Http1Client) and inner.request is None and inner.state == inner.read_headers


class _TrailersDiscarded(ChunkedReader):
    def __call__(self, buffer: Any) -> Any:
        event = super().__call__(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def discard_trailers() -> None:
    """Make mitmproxy's HTTP/1 parser skip trailer fields, on both sides, in this process."""
    _http1.ChunkedReader = _TrailersDiscarded  # type: ignore[attr-defined]
