"""A stream that holds no more of a body than it was told to: what is longer is refused at once, not at its end."""

from collections.abc import Generator
from typing import Any

from mitmproxy import flow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestProtocolError,
    ResponseData,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.proxy.utils import ReceiveBuffer

Commands = Generator[commands.Command, Any, None]
PASSED = "labkit.passed"  # the same of a request's body that is passed on as it comes
MOST = "labkit.most"  # metadata of a flow: the most bytes of the body that comes now, and why no more are held


class HeldBodies(HttpStream):
    """One request and its response; a body that is not passed on as it comes has a limit, where `MOST` says so."""

    _passed = 0  # bytes of the request's body

    def state_consume_request_body(self, event: events.Event) -> Commands:
        if isinstance(event, RequestData) and (reason := self._excess(len(self.request_body_buf), event)):
            yield from self._refuse(ErrorCode.REQUEST_TOO_LARGE, reason)
            return
        yield from super().state_consume_request_body(event)

    def state_stream_request_body(self, event: events.Event) -> Commands:
        most, reason = self.flow.metadata.get(PASSED, (None, ""))
        if most is not None and isinstance(event, RequestData):
            self._passed += len(event.data)
            if self._passed > most:
                error = RequestProtocolError(self.stream_id, reason, ErrorCode.CANCEL)
                yield SendHttp(error, self.context.server)
                yield from self._refuse(ErrorCode.REQUEST_TOO_LARGE, reason)
                return
        yield from super().state_stream_request_body(event)

    def state_consume_response_body(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseData) and (reason := self._excess(len(self.response_body_buf), event)):
            yield from self._refuse(ErrorCode.RESPONSE_TOO_LARGE, reason)
            error = RequestProtocolError(self.stream_id, reason, ErrorCode.RESPONSE_TOO_LARGE)
            yield SendHttp(error, self.context.server)
            return
        yield from super().state_consume_response_body(event)

    def _excess(self, held: int, event: RequestData | ResponseData) -> str:
        """Why *event* is not taken when *held* bytes are there already; empty if it is."""
        most, reason = self.flow.metadata.get(MOST, (None, ""))
        return reason if most is not None and held + len(event.data) > most else ""

    def _refuse(self, code: ErrorCode, reason: str) -> Commands:
        self.request_body_buf, self.response_body_buf = ReceiveBuffer(), ReceiveBuffer()  # type: ignore[no-untyped-call]
        self.flow.error = flow.Error(reason)
        self.client_state = self.server_state = self.state_errored
        yield HttpErrorHook(self.flow)
        yield SendHttp(ResponseProtocolError(self.stream_id, reason, code), self.context.client)
        self.flow.live = False
