"""From the bytes of a pcapng file to its blocks: sections, interfaces, where the packets stand, events, statistics.

Walks the chain once and believes no length: what does not fit ends the walk, and everything before it is kept.
`pcapng_reader` makes a recording of the result.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from labkit.errors import CaptureError, NotACapture

from . import pcapng_format as pcapng
from . import secrets
from .model import Loss

MOST: Final = 0xFFFF
_SMALLEST: Final[Mapping[int, int]] = {pcapng.PACKET: 32, pcapng.OLD_PACKET: 32, pcapng.SIMPLE_PACKET: 16}


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface description: where in the file it stands, and what it says. name None: it says none."""

    position: int
    link_type: int
    snap_length: int
    name: str | None = None
    description: str = ""
    resolution: int = pcapng.MICROSECONDS
    offset_seconds: int = 0


@dataclass(slots=True)
class Section:
    """One section: its byte order ("<" or ">"), interfaces, and the file positions of its packet blocks by kind."""

    order: str
    interfaces: list[Interface] = field(default_factory=list)
    packets: dict[int, list[int]] = field(default_factory=lambda: {kind: [] for kind in _SMALLEST})
    losses: dict[int, Loss] = field(default_factory=dict)


@dataclass(slots=True)
class Blocks:
    """All that was found. places: of labkit's own vantage points by name, None in a foreign file."""

    sections: list[Section] = field(default_factory=list)
    places: Mapping[str, Mapping[str, str]] | None = None
    lacks: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)  # lines of TLS key logs
    unreadable: int = 0  # packet blocks too small to be one
    cut_short: bool = False
    position: int = 0  # of the block being read
    interfaces: int = 0  # in all sections


def walk(data: Any, size: int) -> Blocks:
    """Read the chain of blocks in *data* (mmap or bytes). NotACapture when not even one section begins it."""
    found = Blocks()
    position = 0
    order: str | None = None
    head = struct.Struct("<II")
    tail = struct.Struct("<I")
    packets: dict[int, list[int]] = {}
    while position + 12 <= size:
        kind, length = head.unpack_from(data, position)
        if kind == pcapng.SECTION:
            order = _byte_order(data, position, size)
            if order is None:
                break
            head, tail = struct.Struct(order + "II"), struct.Struct(order + "I")
            kind, length = head.unpack_from(data, position)
        end = position + length
        if length < 12 or length & 3 or end > size or tail.unpack_from(data, end - 4)[0] != length:
            break
        if kind in packets and length >= _SMALLEST[kind]:
            packets[kind].append(position)
        elif kind in _SMALLEST:
            found.unreadable += 1
        elif kind == pcapng.SECTION:
            packets = _begin(found, order or "<").packets
        elif read := _READERS.get(kind):
            found.position = position
            read(found, bytes(data[position + 8 : end - 4]))
        position = end
    if not found.sections:
        raise NotACapture("it begins like a pcapng file, but its first block is damaged or cut off")
    found.cut_short = position != size
    return found


def _byte_order(data: Any, position: int, size: int) -> str | None:
    magic = bytes(data[position + 8 : position + 12])
    orders = {struct.pack(order + "I", pcapng.BYTE_ORDER): order for order in "<>"}
    return orders.get(magic) if position + 28 <= size else None


def _begin(found: Blocks, order: str) -> Section:
    if len(found.sections) >= MOST:
        raise CaptureError(f"it has more than {MOST} sections, more than labkit reads")
    found.sections.append(Section(order))
    return found.sections[-1]


def _interface(found: Blocks, body: bytes) -> None:
    section = found.sections[-1]
    order = section.order
    found.interfaces += 1
    if found.interfaces > MOST:
        raise CaptureError(f"it describes more than {MOST} interfaces, more than labkit can number")
    link_type, _, snap_length = struct.unpack_from(order + "HHI", body.ljust(8, b"\0"))
    said = dict(pcapng.read_options(body[8:], order))
    section.interfaces.append(
        Interface(
            found.position,
            link_type,
            snap_length,
            name=pcapng.text(said[pcapng.OPT_NAME]) if pcapng.OPT_NAME in said else None,
            description=pcapng.text(said.get(pcapng.OPT_DESCRIPTION, b"")),
            resolution=(said.get(pcapng.OPT_RESOLUTION) or bytes([pcapng.MICROSECONDS]))[0],
            offset_seconds=pcapng.number(said.get(pcapng.OPT_OFFSET, b"")[:8], order, signed=True),
        )
    )


def _statistics(found: Blocks, body: bytes) -> None:
    section = found.sections[-1]
    if len(body) < 12:
        return
    (index,) = struct.unpack_from(section.order + "I", body)
    said = pcapng.read_options(body[12:], section.order)
    counts = {code: pcapng.number(value[:8], section.order) for code, value in said}
    dropped = counts.get(pcapng.OPT_DROPPED, counts.get(pcapng.OPT_OS_DROPPED))
    received = counts.get(pcapng.OPT_RECEIVED, 0)
    section.losses[index] = Loss(counts.get(pcapng.OPT_DELIVERED, max(0, received - (dropped or 0))), dropped)


def _evidence(found: Blocks, body: bytes) -> None:
    if len(body) < 4 or struct.unpack_from(found.sections[-1].order + "I", body)[0] != pcapng.DOCUMENTATION_PEN:
        return
    try:
        value = json.loads(body[4:].rstrip(b"\0"))
    except (ValueError, RecursionError):
        return  # local-use types are anybody's: not ours
    if not isinstance(value, dict) or value.get("labkit") != 1:
        return
    event = value.get("event")
    if isinstance(event, dict) and isinstance(event.get("kind"), str) and isinstance(event.get("time_ns"), int):
        found.events.append(event)
    elif isinstance(value.get("vantages"), dict):
        places = value["vantages"].items()
        found.places = {name: place for name, place in places if isinstance(place, dict)}
        found.lacks += [str(lack) for lack in value.get("lacks") or ()]


def _secrets(found: Blocks, body: bytes) -> None:
    found.secrets += secrets.read(body, found.sections[-1].order)


_READERS: Final[Mapping[int, Callable[[Blocks, bytes], None]]] = {
    pcapng.INTERFACE: _interface,
    pcapng.STATISTICS: _statistics,
    pcapng.SECRETS: _secrets,
    pcapng.EVIDENCE: _evidence,
}
