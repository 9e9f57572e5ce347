"""The client's side of HTTP/2 (RFC 9113), with the balancer's own words where mitmproxy's would name nobody.

A request that would mean something else in HTTP/1.1 is answered here, on its stream; hyper-h2 ends the whole connection
for those that HTTP/2 itself forbids.
"""

import time
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import h2.errors
import h2.events
from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from labkit.balancer import syntax
from labkit.balancer.mitmproxy.answers import answer
from labkit.balancer.mitmproxy.deadline import Deadline
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.mitmproxy.record import front_side, record
from labkit.balancer.syntax import Field

if TYPE_CHECKING:
    from labkit.balancer.mitmproxy.layers import FrontHttp

Commands = Generator[commands.Command, Any, None]


class FrontHttp2(_http2.Http2Server):
    """Many requests at a time on one connection; a refused one ends its stream and nothing else."""

    answering = True  # nothing but frames may be written here, whatever happens

    def __init__(self, context: Context, http: "FrontHttp") -> None:
        super().__init__(context)
        self._http = http
        self._deadline = Deadline()
        self._bodies: dict[int, float] = {}  # stream -> when it sent something last, the longest silent first

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, events.Wakeup):
            yield from self._handle_own(event)
        elif self._deadline.passed():
            if not self._http.streams:
                self.h2_conn.close_connection()  # GOAWAY without an error (RFC 9113 §9.1)
                yield commands.SendData(self.conn, self.h2_conn.data_to_send())
                yield from self.close_connection("idle")
                return
            for stream_id in [*self._bodies][:1]:
                yield from self._give_up(stream_id)
        self._deadline.after(self._patience())
        yield from self._deadline.wakeups()

    def _patience(self) -> float | None:
        """How long the client may go on saying nothing."""
        limits = self._http.router.policy.limits
        if not self._http.streams:
            return limits.idle_seconds
        if not self._bodies:
            return None
        return next(iter(self._bodies.values())) + limits.body_seconds - time.monotonic()

    def _give_up(self, stream_id: int) -> Commands:
        """Its body is late. Once it is being answered it may take its time: calls in both directions do."""
        del self._bodies[stream_id]
        if self._http.blocked:
            self._bodies[stream_id] = time.monotonic()  # a backend is slow, and not the client
        elif self._answerable(stream_id):
            rule = "RFC 9110 §15.5.9: the request's body did not come in time"
            yield from self._refuse(stream_id, 408, rule)
            yield ReceiveHttp(RequestProtocolError(stream_id, rule, ErrorCode.GENERIC_CLIENT_ERROR))

    def _handle_own(self, event: events.Event) -> Commands:
        status = event.code.http_status_code() if isinstance(event, ResponseProtocolError) else None
        if isinstance(event, ResponseProtocolError) and status and self._answerable(event.stream_id):
            yield from self._refuse(event.stream_id, status, event.message)
        else:
            yield from super()._handle_event(event)

    def _answerable(self, stream_id: int) -> bool:
        """Nothing has been sent on this stream, and something can be."""
        stream = self.h2_conn.streams.get(stream_id)
        return self.is_open_for_us(stream_id) and stream is not None and not stream.state_machine.headers_sent

    def _refuse(self, stream_id: int, status: int, reason: str) -> Commands:
        stream = self._http.streams.get(stream_id)
        head = False
        if stream:
            record(stream.flow).refuse(status)
            head = stream.flow.request.method == "HEAD"
        fields = self._http.router.fields(self.context.client)
        yield from self._answer(stream_id, answer(status, reason, fields=fields, head=head))

    def _answer(self, stream_id: int, response: http.Response) -> Commands:
        content = response.raw_content or b""
        parts: list[events.Event] = [ResponseHeaders(stream_id, response, end_stream=False)]
        parts += [ResponseData(stream_id, content)] if content else []
        for part in (*parts, ResponseEndOfMessage(stream_id)):
            yield from super()._handle_event(part)

    def handle_h2_event(self, event: h2.events.Event) -> Generator[commands.Command, Any, bool]:
        if isinstance(event, h2.events.DataReceived) and event.stream_id in self._bodies:
            del self._bodies[event.stream_id]  # it goes to the end
            self._bodies[event.stream_id] = time.monotonic()
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self._bodies.pop(event.stream_id, None)
        elif isinstance(event, h2.events.RequestReceived):
            pseudo, fields = _parted(event.headers)
            asked = pseudo[b":method"], pseudo[b":path"], pseudo.get(b":authority", b"")
            try:
                syntax.multiplexed(*asked, fields, ended=event.stream_ended is not None)
            except syntax.BadRequest as fault:
                yield from self._turn_away(event.stream_id, *asked, fields, fault)
                return False
            if not event.stream_ended:
                self._bodies[event.stream_id] = time.monotonic()
        return (yield from super().handle_h2_event(event))

    def _turn_away(
        self,
        stream_id: int,
        method: bytes,
        path: bytes,
        authority: bytes,
        fields: list[Field],
        fault: syntax.BadRequest,
    ) -> Commands:
        """Answer and put on record what no other part shall see."""
        host = authority or next((value for name, value in fields if name == b"host"), b"")
        exchange = Exchange(
            front_side(self.context.client),
            front_stream=stream_id,
            method=method.decode("latin-1"),
            target=path.decode("latin-1"),
            host=host.decode("latin-1"),
            version="HTTP/2",
            sni=self.context.client.sni,
            headers_received=[[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields],
            error=fault.rule,
        )
        exchange.refuse(fault.status)
        self._http.router.journal.finish(exchange)
        yield from self._answer(stream_id, answer(fault.status, fault.rule, head=method == b"HEAD"))

    def protocol_error(self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR) -> Commands:
        if not self.streams:  # otherwise each open stream's request is told to have failed
            exchange = Exchange(front_side(self.context.client), version="HTTP/2", error=message)
            self._http.router.journal.finish(exchange)
        yield from super().protocol_error(message, error_code)


def _parted(headers: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    """The pseudo-headers, and the fields."""
    pseudo = {name: value for name, value in headers if name.startswith(b":")}
    return pseudo, [(name, value) for name, value in headers if not name.startswith(b":")]
