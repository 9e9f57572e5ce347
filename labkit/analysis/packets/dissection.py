"""A scapy packet taken apart: its layers, their fields, and which bytes of the frame each field is.

Every byte of the frame belongs to a field, or to the part at the end that says it was not dissected. Values are text,
as scapy writes them; how they are shown, and made inert, is a view's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LAYERS, _FIELDS = 64, 400  # more are not followed


@dataclass(frozen=True, slots=True)
class Part:
    """A field: its value as text, and the bytes [begin, end) of the frame that it is in.

    bits: how many it has, where it shares its bytes with others.
    """

    name: str
    value: str
    begin: int
    end: int
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """A header, or a payload that has no header: its fields and its bytes [begin, end)."""

    name: str
    begin: int
    end: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Dissection:
    """frame: all bytes that were kept. wire_length: what they were on the wire. seen_at: "" if it was not captured."""

    frame: bytes
    wire_length: int
    seen_at: str
    layers: tuple[Layer, ...]


def dissected(shown: Any) -> Dissection:
    """*shown*, a scapy packet: one that was captured, or one made by hand, which is built first.

    What cannot be built (a field that does not fit) has no bytes, and one layer that says why.
    """
    seen_at = str(getattr(shown, "sniffed_on", None) or "")
    try:
        frame = bytes(shown)
        again = shown if shown.original == frame else type(shown)(frame)
    except Exception as error:  # whatever building or dissecting raises
        why = Part("cannot be built", f"{type(error).__name__}: {error}", 0, 0)
        return Dissection(b"", 0, seen_at, (Layer(type(shown).__name__, 0, 0, (why,)),))
    layers = tuple(_layers(again, frame))
    end = layers[-1].end if layers else 0
    if end < len(frame):
        rest = Part("bytes", repr(frame[end:]), end, len(frame))
        layers = (*layers, Layer("not dissected", end, len(frame), (rest,)))
    length = max(len(frame), int(getattr(shown, "wirelen", None) or 0))
    return Dissection(frame, length, seen_at, layers)


def _layers(shown: Any, frame: bytes) -> Iterator[Layer]:
    """Layer by layer while its bytes are found in the frame, one after another."""
    at, layer = 0, shown
    for _ in range(_LAYERS):
        raw = bytes(layer.original)
        if not raw or frame[at : at + len(raw)] != raw:
            return
        parts = tuple(_parts(layer, raw, at))
        end = parts[-1].end if parts else at
        yield Layer(str(layer.name), at, end, parts)
        at, layer = end, layer.payload
        if not layer:
            return


def _parts(layer: Any, raw: bytes, at: int) -> Iterator[Part]:
    """The fields that are there, read once more to see how many bits each one takes."""
    rest: Any = raw
    for field in layer.fields_desc[:_FIELDS]:
        left = _bits(rest)
        try:
            rest, _ = field.getfield(layer, rest)
            value = _text(field, layer)
        except Exception:  # a field that cannot be read ends the header
            return
        begin, end = len(raw) * 8 - left, len(raw) * 8 - _bits(rest)
        if begin < end <= len(raw) * 8:
            whole = begin % 8 == end % 8 == 0
            yield Part(field.name, value, at + begin // 8, at + -(-end // 8), None if whole else end - begin)
        if not rest:
            return


def _text(field: Any, layer: Any) -> str:
    """As scapy writes it, "http (80)": a number that it has a name for keeps its number."""
    value = layer.getfieldval(field.name)
    text = str(field.i2repr(layer, value))
    named = type(value) is int and text and not text[0].isdigit() and not text.startswith("-")
    return f"{text} ({value})" if named else text


def _bits(rest: Any) -> int:
    """How many bits are left; scapy writes (bytes, bits already taken of the first) inside a byte."""
    return len(rest[0]) * 8 - int(rest[1]) if isinstance(rest, tuple) else len(rest) * 8
