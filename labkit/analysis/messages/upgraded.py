"""The WebSocket that a connection was upgraded to (RFC 6455 §4): what both sides said, message by message.

Where the answer to the upgrade was not captured, the client's frames after its request are read all the same, and what
they leave open is told.
"""

from dataclasses import dataclass

from labkit.wording import inert

from . import http, websocket
from .content import Content
from .streams import Stream

DATA = ("text", "binary")  # the others are control frames
MOST_SHOWN = 1_000  # characters of a message
_PACKED = 0x40  # of a frame's first byte: RFC 7692 §6


@dataclass(frozen=True, slots=True)
class Said:
    """One message, or a control frame. by_client: who said it. rows: the packets that carried it."""

    by_client: bool
    message: websocket.Message
    rows: tuple[int, ...]

    @property
    def text(self) -> str | None:
        """What it says, harmless to show and at most 1,000 characters of it; None if that is no text."""
        message = self.message
        if message.packed or message.opcode not in ("text", "close", "ping", "pong"):
            return None
        payload, code = message.payload, ""
        if message.opcode == "close" and len(payload) >= 2:  # RFC 6455 §5.5.1
            code, payload = f"{int.from_bytes(payload[:2])} ", payload[2:]
        shown = payload[: 4 * MOST_SHOWN + 4].decode("utf-8", "replace")
        if message.opcode in ("ping", "pong") and not shown.replace("\ufffd", "\0").isprintable():
            return None
        cut = f"{shown[:MOST_SHOWN]}…" if len(shown) > MOST_SHOWN else shown
        return inert(f"{code}{cut}".rstrip() if code else cut)

    @property
    def note(self) -> str | None:
        """What else must be known of it, or None."""
        message = self.message
        told = (
            "compressed, and no permessage-deflate is known to be agreed on" if message.packed else None,
            f"unpacked up to {len(message.payload):,} bytes only" if message.cut else None,
            None if message.complete else "its last frame is missing",
        )
        return "; ".join(filter(None, told)) or None


@dataclass(frozen=True, slots=True)
class Upgraded:
    """said: in order of time. lacks: what could not be read, in words."""

    said: tuple[Said, ...]
    lacks: tuple[str, ...]

    @property
    def count(self) -> int:
        """Messages of both sides, without control frames."""
        return sum(one.message.opcode in DATA for one in self.said)


def upgraded(content: Content, request: http.Request, response: http.Response | None) -> Upgraded | None:
    """What was said after *request* and its *response*, the last ones of *content*; None if it is no WebSocket."""
    if response is None:
        if not _unanswered(content, request):
            return None
        said, rest = _read(content.client, request.spans[-1][1], None, by_client=True)
        lacks = ["the answer to the upgrade was not captured, so what the server said cannot be read", *rest]
        return Upgraded(tuple(said), tuple(lacks))
    if not response.to_websocket:
        return None
    extensions = response.header("sec-websocket-extensions")
    every: list[Said] = []
    told: list[str] = []
    for stream, opening, side in ((content.client, request, "client"), (content.server, response, "server")):
        packing = websocket.deflate(extensions, side)
        said, rest = _read(stream, opening.spans[-1][1], packing, by_client=side == "client")
        every += said
        told += rest
    every.sort(key=lambda one: one.rows[0])
    return Upgraded(tuple(every), (*told, *([content.why] if content.why else [])))


def _unanswered(content: Content, request: http.Request) -> bool:
    """Whether it can only be a WebSocket: the client went on after asking for one, and no answer was captured."""
    asked = "websocket" in (request.header("upgrade") or "").lower()
    return asked and not content.server.data and len(content.client.data) > request.spans[-1][1]


def _read(
    stream: Stream, at: int, packing: websocket.Deflate | None, *, by_client: bool
) -> tuple[list[Said], list[str]]:
    said = [
        Said(by_client, message, stream.rows_of(message.begin, message.end))
        for message in websocket.messages(stream.data, at, packing)
    ]
    last = max((one.message.end for one in said), default=at)
    if last >= len(stream.data):
        return said, []
    side = "client" if by_client else "server"
    what = "are compressed and do not unpack" if stream.data[last] & _PACKED else "are no whole frame"
    return said, [f"the last {len(stream.data) - last:,} bytes that the {side} said {what}"]
