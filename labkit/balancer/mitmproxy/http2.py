"""The client's side of HTTP/2 (RFC 9113), with the balancer's own words where mitmproxy's would name nobody."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import h2.errors
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._events import (
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from labkit.balancer.mitmproxy.answers import answer
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.mitmproxy.router import front_side, record

if TYPE_CHECKING:
    from labkit.balancer.mitmproxy.layers import FrontHttp

Commands = Generator[commands.Command, Any, None]


class FrontHttp2(_http2.Http2Server):
    """Many requests at a time on one connection; a refused one ends its stream and nothing else."""

    answering = True  # nothing but frames may be written here, whatever happens

    def __init__(self, context: Context, http: "FrontHttp") -> None:
        super().__init__(context)
        self._http = http

    def _handle_event(self, event: events.Event) -> Commands:
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
            record(stream.flow).status = status
            head = stream.flow.request.method == "HEAD"
        response = answer(status, reason, fields=self._http.router.fields(self.context.client), head=head)
        content = response.raw_content or b""
        parts: list[events.Event] = [ResponseHeaders(stream_id, response, end_stream=False)]
        parts += [ResponseData(stream_id, content)] if content else []
        for part in (*parts, ResponseEndOfMessage(stream_id)):
            yield from super()._handle_event(part)

    def protocol_error(self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR) -> Commands:
        if not self.streams:  # otherwise each open stream's request is told to have failed
            exchange = Exchange(front_side(self.context.client), version="HTTP/2", error=message)
            self._http.router.journal.finish(exchange)
        yield from super().protocol_error(message, error_code)
