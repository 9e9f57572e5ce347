"""WebSocket messages in a stream of bytes after the upgrade (RFC 6455 §5), compressed ones too (RFC 7692).

wsproto parses them as well, but does not say where a frame stands, and unpacks without a limit.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
MOST_UNPACKED = 1 << 20  # bytes of one message
MOST_IN_ALL = 1 << 26  # of one side's messages
_CONTROL = 8
_END_OF_MESSAGE = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.2


@dataclass(frozen=True, slots=True)
class Message:
    """opcode: "text", "binary", "close", "ping", "pong" or "opcode 3". payload: unmasked and unpacked.

    length: of the payloads as they were sent. masked: as clients must. complete: its last frame is there; cut: its
    payload was unpacked in part only; packed: not at all, though it is compressed. begin, end: from its first frame to
    its last.
    """

    opcode: str
    payload: bytes
    length: int
    masked: bool
    begin: int
    end: int
    frames: int = 1
    complete: bool = True
    cut: bool = False
    packed: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    fin: bool
    packed: bool
    opcode: int
    masked: bool
    payload: bytes
    begin: int
    end: int


class Deflate:
    """How one side packs its messages: permessage-deflate with its dictionary kept from message to message, or not."""

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._inflater = zlib.decompressobj(-15)
        self._left = MOST_IN_ALL

    def unpack(self, data: bytes) -> tuple[bytes, bool]:
        """The message, and whether there is more of it than may be unpacked. ValueError if it is not packed so."""
        if not self._keeps:
            self._inflater = zlib.decompressobj(-15)
        try:
            if self._left <= 0:
                return b"", True
            text = self._inflater.decompress(data + _END_OF_MESSAGE, min(MOST_UNPACKED, self._left))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        self._left -= len(text)
        return text, bool(self._inflater.unconsumed_tail)


def deflate(extensions: str | None, side: str) -> Deflate | None:
    """How *side* ("client" or "server") packs, by the server's Sec-WebSocket-Extensions; None: it does not."""
    for offer in (extensions or "").lower().split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == "permessage-deflate":
            return Deflate(keeps=f"{side}_no_context_takeover" not in parameters)
    return None


def messages(data: bytes, at: int, packing: Deflate | None = None) -> Iterator[Message]:
    """The messages from *at* on, in the order of their last frames; ends at what is cut off or not understood."""
    parts: list[_Frame] = []
    for frame in _frames(data, at):
        if frame.opcode >= _CONTROL:  # may stand between the frames of a message
            yield _message([frame], None)
            continue
        parts.append(frame)
        if not frame.fin:
            continue
        try:
            yield _message(parts, packing)
        except ValueError:
            return
        parts = []
    if parts:
        yield _message(parts, None, complete=False)


def _message(parts: list[_Frame], packing: Deflate | None, *, complete: bool = True) -> Message:
    first, last = parts[0], parts[-1]
    payload, cut = b"".join(part.payload for part in parts), False
    length, packed = len(payload), first.packed and packing is None
    if first.packed and packing is not None:
        payload, cut = packing.unpack(payload)
    name = OPCODES.get(first.opcode, f"opcode {first.opcode}")
    return Message(name, payload, length, first.masked, first.begin, last.end, len(parts), complete, cut, packed)


def _frames(data: bytes, at: int) -> Iterator[_Frame]:
    while at + 2 <= len(data):
        begin, one, two = at, data[at], data[at + 1]
        length, at = two & 0x7F, at + 2
        extra = {126: 2, 127: 8}.get(length, 0)
        if extra:
            length, at = int.from_bytes(data[at : at + extra]), at + extra
        masked = bool(two & 0x80)
        mask, at = (data[at : at + 4], at + 4) if masked else (b"", at)
        if at + length > len(data):
            return
        payload = data[at : at + length]
        at += length
        yield _Frame(
            bool(one & 0x80), bool(one & 0x40), one & 0xF, masked, _unmasked(payload, mask) if masked else payload,
            begin, at,
        )  # fmt: skip


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """Exclusive or with the mask, over and over (RFC 6455 §5.3)."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))
