"""What stands before mitmproxy's HTTP/1 parser: only whole lines and lengths that `framing` has read reach it.

A layer between `layers.FrontHttp` and `layers.FrontConnection`. It takes the client's bytes (after TLS) and gives the
parser one request at a time, the next one when the last is answered: so a refusal follows the answers before it, and
what follows an upgrade is passed on raw if the backend agrees (101), or else read as the next request. A refused
request is answered and put on record here, its connection closed; nothing of it is passed on from there.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseData, ResponseHeaders

from labkit.balancer.framing import Framer, Refusal
from labkit.balancer.mitmproxy.answers import raw_answer
from labkit.balancer.mitmproxy.deadline import Deadline
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.mitmproxy.record import front_side

if TYPE_CHECKING:
    from labkit.balancer.mitmproxy.layers import FrontConnection, FrontHttp

Commands = Generator[commands.Command, Any, None]
_LINGER = 1.0  # seconds that a refused client has to read the answer and close (RFC 9112 §9.6)
_AHEAD = 64 * 1024  # bytes of later requests that are read while one is answered


class Guard(Layer):
    """Frames what the client of one connection sends to *front*."""

    def __init__(self, context: Context, http: "FrontHttp", front: "FrontConnection") -> None:
        super().__init__(context)
        self._http = http
        self._front = front
        self._client = context.client
        self._framer = Framer(http.router.policy.limits)
        self._raw = False  # another protocol has been agreed on
        self._refused = False
        self._passing = False  # the parser is being given something; its answer to that may come meanwhile
        self._phase = ""
        self._deadline = Deadline()

    def handle_event(self, event: events.Event) -> Commands:
        """Never waits for a reply, so nothing has to be kept back here, as `Layer` would for those who do."""
        if isinstance(event, ResponseHeaders | ResponseData) and not self._refused:
            return self._front.handle_event(event)  # an answer on its way changes nothing here
        return self._handle_event(event)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            yield from self._received(event)
        elif isinstance(event, events.Wakeup):
            yield from self._woken()
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closed(event)
        else:
            yield from self._tell(event)
            if not self._passing:
                yield from self._pass_on()
        if not self._passing:
            self._set_deadline(moved=isinstance(event, events.DataReceived))
            yield from self._deadline.wakeups()

    def _received(self, event: events.DataReceived) -> Commands:
        if self._raw:
            yield from self._tell(event)
        elif not self._refused:
            self._framer.feed(event.data)
            yield from self._pass_on()

    def _closed(self, event: events.ConnectionClosed) -> Commands:
        if self._refused:
            yield commands.CloseConnection(self._client)
            return
        by_the_client = self._client.state & ConnectionState.CAN_WRITE
        if by_the_client and not self._raw and self._wanted and (refusal := self._framer.end()):
            yield from self._refuse(refusal)
        else:
            yield from self._tell(event)

    @property
    def _wanted(self) -> bool:
        """It is the client's turn: a request can begin, or goes on."""
        front = self._front
        return not self._framer.between or (front.request is None and front.state == front.read_headers)

    @property
    def full(self) -> bool:
        """So much has come ahead of its turn that no more should be read."""
        return self._framer.unread > _AHEAD and not self._wanted

    def _pass_on(self) -> Commands:
        """Give the parser what is framed, as far as it is its turn."""
        if self._raw or self._refused:
            return
        self._passing = True
        while self._wanted:
            if self._framer.between:
                self._framer.limits = self._http.router.policy.limits
            piece = self._framer.next()
            if isinstance(piece, Refusal):
                yield from self._refuse(piece)
                break
            if piece is None:
                break
            if piece.raw:
                yield from self._tell(events.DataReceived(self._client, piece.raw))
        self._passing = False
        if self._front.state == self._front.passthrough:
            self._raw = True
            if rest := self._framer.rest():
                yield from self._tell(events.DataReceived(self._client, rest))

    def _tell(self, event: events.Event) -> Commands:
        if not self._refused:
            yield from self._front.handle_event(event)
            return
        for command in self._front.handle_event(event):  # to the client the last word has been said
            if not isinstance(command, commands.ConnectionCommand) or command.connection is not self._client:
                yield command

    def _refuse(self, refusal: Refusal) -> Commands:
        self._refused = True
        front = self._front
        under_way = front.request is not None
        answer = b""
        if not under_way:
            exchange = self._exchange(refusal)
            exchange.refuse(refusal.status)
            self._http.router.journal.finish(exchange)
            answer = raw_answer(refusal.status, refusal.rule, head=refusal.head.method == b"HEAD")
        elif not front.answering:
            answer = front.refusal(refusal.status, refusal.rule)
        front.state = front.done
        if answer:
            yield commands.SendData(self._client, answer)
        if self._client.state & ConnectionState.CAN_READ:
            yield commands.CloseTcpConnection(self._client, half_close=True)
        else:
            yield commands.CloseConnection(self._client)
        if under_way:
            error = RequestProtocolError(front.stream_id, refusal.rule, ErrorCode.GENERIC_CLIENT_ERROR)
            yield ReceiveHttp(error)

    def _exchange(self, refusal: Refusal) -> Exchange:
        head = refusal.head
        return Exchange(
            front_side(self._client),
            method=_text(head.method),
            target=_text(head.target),
            host=_text(head.value(b"host")),
            version=_text(head.version),
            sni=self._client.sni,
            headers_received=[[_text(name), _text(value)] for name, value in head.fields],
            error=refusal.rule,
        )

    def _set_deadline(self, moved: bool) -> None:
        """Until when the client has to send something now; *moved*: it just has."""
        phase, seconds = self._patience()
        if phase != self._phase or (moved and phase == "body"):
            self._phase = phase
            self._deadline.after(seconds)

    def _patience(self) -> tuple[str, float | None]:
        if self._refused:
            return "refused", _LINGER
        if self._raw or not self._wanted:
            return "balancer", None
        limits = self._framer.limits
        match self._framer.waiting:
            case "idle":
                return "idle", limits.idle_seconds
            case "head":
                return "head", limits.header_seconds
        return "body", limits.body_seconds

    def _woken(self) -> Commands:
        if not self._deadline.passed():
            return
        if self._phase in ("idle", "refused"):
            yield commands.CloseConnection(self._client)
        elif self._phase == "body" and self._http.blocked:
            self._phase = ""  # a backend is slow, and not the client: it has as long again
        else:
            yield from self._refuse(self._framer.late())


def _text(data: bytes) -> str:
    return data.decode("latin-1")
