"""HTTP/2 in a stream of bytes (RFC 9113): frames, and the requests and answers that they carry.

Frames are parsed by hyperframe, fields by hpack. It must see a connection from its beginning, for fields refer to
what was sent before (RFC 7541 §2.3.2); where it no longer understands it stops and says why. It judges nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hpack import Decoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from .http import Headers, Request, Response

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 §3.4
VERSION = "HTTP/2"
_HEADER = 9  # bytes
MOST_FIELDS = 1 << 26  # bytes of decoded fields on one side, for a few bytes may stand for many (RFC 7541 §7.3)
_LARGEST_TABLE = 1 << 20  # the table may be as large as its reader allowed, which is the other side's business
# RFC 9113 §7
_ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """A frame that is part of no message, in words: "SETTINGS", "GOAWAY …", "RST_STREAM stream 3: CANCEL"."""

    words: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Side:
    """What one side sent: messages in the order in which they began. why: what ended the reading at *at*, or None."""

    messages: tuple[Request | Response, ...]
    notes: tuple[Note, ...]
    why: str | None = None
    at: int = 0

    @property
    def requests(self) -> list[Request]:
        return [message for message in self.messages if isinstance(message, Request)]

    @property
    def responses(self) -> list[Response]:
        return [message for message in self.messages if isinstance(message, Response)]


def spoken(client: bytes) -> bool:
    """Whether a client's stream begins as HTTP/2's must."""
    return client.startswith(PREFACE)


def by_client(data: bytes) -> Side:
    """The requests in a client's stream, which begins with the preface."""
    return _Reader(data, _request).read(len(PREFACE))


def by_server(data: bytes) -> Side:
    """The answers in a server's stream."""
    return _Reader(data, _response).read(0)


@dataclass(slots=True)
class _Building:
    """A message of which some frames were read."""

    stream: int
    headers: Headers
    body: bytearray = field(default_factory=bytearray)
    spans: list[tuple[int, int]] = field(default_factory=list)
    complete: bool = False


class _Reader:
    """Goes once through the frames of one direction."""

    def __init__(self, data: bytes, finish: "Callable[[_Building], Request | Response]") -> None:
        self._data, self._finish = data, finish
        self._decoder = Decoder()
        self._weight = 0
        self._decoder.max_allowed_table_size = _LARGEST_TABLE
        self._every: list[_Building] = []
        self._open: dict[int, _Building] = {}
        self._notes: list[Note] = []
        self._block: tuple[Frame, bytearray, int] | None = None  # fields that CONTINUATION frames go on with

    def read(self, at: int) -> Side:
        why = None
        try:
            for frame, begin, end in self._frames(at):
                self._take(frame, begin, end)
                at = end
        except (HyperframeError, HPACKError, ValueError) as error:
            why = f"HTTP/2 frames that are not understood ({type(error).__name__})"
        except OverflowError:
            why = f"HTTP/2 frames with more fields than the {MOST_FIELDS:,} bytes that labkit decodes"
        messages = tuple(self._finish(one) for one in self._every)
        return Side(messages, tuple(self._notes), why, at)

    def _frames(self, at: int) -> Iterator[tuple[Frame, int, int]]:
        view = memoryview(self._data)
        while at + _HEADER <= len(view):
            frame, length = Frame.parse_frame_header(view[at : at + _HEADER])
            end = at + _HEADER + length
            if end > len(view):
                return
            frame.parse_body(view[at + _HEADER : end])
            yield frame, at, end
            at = end

    def _take(self, frame: Frame, begin: int, end: int) -> None:
        if isinstance(frame, HeadersFrame | PushPromiseFrame):
            self._block = (frame, bytearray(frame.data), begin)
        elif isinstance(frame, ContinuationFrame) and self._block:
            self._block[1].extend(frame.data)
        elif isinstance(frame, DataFrame):
            self._data_of(frame, begin, end)
        elif words := _words(frame):
            self._notes.append(Note(words, begin, end))
        if self._block and "END_HEADERS" in frame.flags:
            (opening, fields, start), self._block = self._block, None
            self._headers(opening, bytes(fields), start, end)

    def _headers(self, frame: Frame, fields: bytes, begin: int, end: int) -> None:
        decoded = self._decoder.decode(fields, raw=True)
        headers = tuple((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value, *_ in decoded)
        self._weight += sum(len(name) + len(value) + 64 for name, value in headers)
        if self._weight > MOST_FIELDS:
            raise OverflowError
        if isinstance(frame, PushPromiseFrame):
            self._notes.append(Note(f"PUSH_PROMISE stream {frame.promised_stream_id}", begin, end))
            return
        building = self._open.get(frame.stream_id)
        if building is None or building.complete or _interim(building):
            building = self._open[frame.stream_id] = _Building(frame.stream_id, headers)
            self._every.append(building)
        building.spans.append((begin, end))  # trailers belong to the message, and are not shown as its headers
        building.complete = "END_STREAM" in frame.flags

    def _data_of(self, frame: DataFrame, begin: int, end: int) -> None:
        if building := self._open.get(frame.stream_id):
            building.body += frame.data
            building.spans.append((begin, end))
            building.complete = "END_STREAM" in frame.flags


def _words(frame: Frame) -> str | None:
    """What a frame says that is no part of a message; None for those that only keep the connection going."""
    if isinstance(frame, SettingsFrame):
        return None if "ACK" in frame.flags else "SETTINGS"
    if isinstance(frame, GoAwayFrame):
        return f"GOAWAY after stream {frame.last_stream_id}: {_error(frame.error_code)}"
    if isinstance(frame, RstStreamFrame):
        return f"RST_STREAM stream {frame.stream_id}: {_error(frame.error_code)}"
    return None


def _error(code: int) -> str:
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code}"


def _interim(building: _Building) -> bool:
    return dict(building.headers).get(":status", "").startswith("1")


def _regular(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if not name.startswith(":"))


def _request(one: _Building) -> Request:
    pseudo = dict(one.headers)
    return Request(
        method=pseudo.get(":method", ""),
        target=pseudo.get(":path", ""),
        version=VERSION,
        headers=_regular(one.headers),
        body=bytes(one.body),
        complete=one.complete,
        authority=pseudo.get(":authority"),
        stream=one.stream,
        spans=tuple(one.spans),
    )


def _response(one: _Building) -> Response:
    status = dict(one.headers).get(":status", "")
    return Response(
        status=int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0,
        reason="",
        version=VERSION,
        headers=_regular(one.headers),
        body=bytes(one.body),
        complete=one.complete or _interim(one),
        stream=one.stream,
        spans=tuple(one.spans),
    )
