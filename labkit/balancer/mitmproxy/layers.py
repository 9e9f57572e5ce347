"""mitmproxy's HTTP layers, changed where they would break or keep silent.

- A refused or failed request is answered in the balancer's own words, naming the backend, and the status
  is put on record (mitmproxy's HTML pages name neither).
- What the client sends in HTTP/1 passes a `guard` first, and an HTTP/2 request a check of its own (`http2`).
- The body of a request that is already answered is thrown away as it comes, not collected.
- A body in chunks is waited for like any other, up to a size: until then its framing may still turn out to be wrong.
- Trailer fields are discarded, as RFC 9110 §6.5.1 allows; mitmproxy crashes on a backend's in HTTP/1.1.
- A connection to a backend that failed is forgotten, so that the next request tries again; an idle one in HTTP/1.1
  carries the next request also where the client speaks HTTP/2 (mitmproxy opens one a request).
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    _http1,
    _http2,
)
from mitmproxy.proxy.layers.http._base import HttpEvent
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

from labkit.balancer.l7.request import HELD_BODY
from labkit.balancer.mitmproxy.answers import raw_answer
from labkit.balancer.mitmproxy.gathered import Gathering
from labkit.balancer.mitmproxy.guard import Guard
from labkit.balancer.mitmproxy.held import HeldBodies
from labkit.balancer.mitmproxy.http2 import FrontHttp2
from labkit.balancer.mitmproxy.record import BODILESS, STREAM, body_size, record
from labkit.balancer.mitmproxy.retrying import AnswerLate, RetryingStream
from labkit.balancer.mitmproxy.rewrite import as_http1
from labkit.balancer.mitmproxy.router import Router

Commands = Generator[commands.Command, Any, None]


class FrontHttp(Gathering, HttpLayer):
    """HTTP of one client connection and of the backend connections made for it."""

    front: "FrontConnection | FrontHttp2 | None" = None  # from the start on
    blocked = False  # what the client sent cannot go on yet
    _guard: Guard | None = None  # in HTTP/1

    def __init__(self, context: Context, router: Router) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.router = router

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            if self.context.client.alpn == b"h2":
                self.front = self.connections[self.context.client] = FrontHttp2(self.context.fork(), self)
            else:
                self.front = FrontConnection(self.context.fork(), self)
                self._guard = self.connections[self.context.client] = Guard(self.context.fork(), self, self.front)
        elif isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            return  # of a connection that failed and was forgotten
        elif isinstance(event, AnswerLate):
            stream = self.streams.get(event.flow.metadata[STREAM])
            if stream and stream.flow is event.flow:
                yield from self.event_to_child(stream, event)
            return
        yield from super()._handle_event(event)

    @property
    def full(self) -> bool:
        """So much has come ahead of its turn that no more should be read from the client."""
        return self._guard is not None and self._guard.full

    def make_stream(self, stream_id: int) -> Commands:
        self.streams[stream_id] = stream = Stream(self.context.fork(), stream_id, self.router)
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
            record(stream.flow).refuse(status)
        fields = self._http.router.fields(self.context.client)
        return raw_answer(status, reason, fields, head=self.request is not None and self.request.method == "HEAD")


@dataclass
class DecideHook(commands.StartHook):  # type: ignore[no-untyped-call]
    """A body turned out to be too large to be held: what becomes of its request is decided now."""

    flow: HTTPFlow


class Stream(HeldBodies, RetryingStream):
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
        elif isinstance(event, AnswerLate):
            yield from self.late("no answer in time")
            return
        yield from super()._handle_event(event)

    def check_invalid(self, request: bool) -> Generator[commands.Command, Any, bool]:
        if request:  # the flow has just been made, and no hook has seen it
            self.flow.metadata |= {STREAM: self.stream_id, BODILESS: self._bodiless}
        return (yield from super().check_invalid(request))

    def make_server_connection(self) -> Generator[commands.Command, Any, bool]:
        opened = yield from super().make_server_connection()
        multiplexed = self.flow.request.is_http2  # not if it is asked again, and was changed before
        if opened and multiplexed and self.context.server.alpn != b"h2":
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
        undecided = record(self.flow).decided_ns is None
        if isinstance(event, RequestData) and undecided and len(self.request_body_buf) > HELD_BODY:  # one in chunks
            yield DecideHook(self.flow)
            if self.flow.request.stream:
                yield from self._stream_on()

    def _stream_on(self) -> Commands:
        """Pass on what has been collected of the body, and the rest as it comes."""
        collected = bytes(self.request_body_buf)
        self.request_body_buf.clear()  # type: ignore[no-untyped-call]
        yield from self.start_request_stream()
        if self.client_state == self.state_stream_request_body:
            yield from self.state_stream_request_body(RequestData(self.stream_id, collected))


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
    """Make mitmproxy's HTTP/1 parser skip a backend's trailer fields; clients' do not get that far."""
    _http1.ChunkedReader = _TrailersDiscarded  # type: ignore[attr-defined]
