"""From the bytes of a pcapng file to its blocks: sections, interfaces, where the packets stand, events, statistics.

Walks the chain once and believes no length: what does not fit ends the walk, and everything before it is kept.
`pcapng_chain` follows long runs of packets, `pcapng_evidence` reads labkit's own blocks, `pcapng_reader` makes a
recording of the result.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError, NotACapture

from . import pcapng_format as pcapng
from . import secrets
from .model import Loss
from .pcapng_chain import Chain, Positions, Run
from .pcapng_evidence import Evidence

MOST: Final = 0xFFFF
_SMALLEST: Final[Mapping[int, int]] = {pcapng.PACKET: 32, pcapng.OLD_PACKET: 32, pcapng.SIMPLE_PACKET: 16}
_A_RUN: Final = 8  # packet blocks in a row after which it pays to look for all the rest at once


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
    filter: str = ""


@dataclass(slots=True)
class Section:
    """One section: its byte order ("<" or ">"), interfaces, and the file positions of its packet blocks by kind."""

    order: str
    interfaces: list[Interface] = field(default_factory=list)
    single: dict[int, list[int]] = field(default_factory=lambda: {kind: [] for kind in _SMALLEST})
    runs: list[Run] = field(default_factory=list)  # of enhanced packet blocks
    losses: dict[int, Loss] = field(default_factory=dict)

    def packets(self, kind: int) -> Run:
        """Where the packet blocks of one kind begin, in file order, and where they should end (-1: as they say)."""
        single: Positions = np.array(self.single[kind], np.int64)
        runs = self.runs if kind == pcapng.PACKET else []
        starts = np.concatenate([single, *(starts for starts, _ in runs)])
        ends = np.concatenate([np.full(len(single), -1, np.int64), *(ends for _, ends in runs)])
        if not len(single) or not runs:
            return starts, ends
        order = np.argsort(starts, kind="stable")
        return starts[order], ends[order]

    @property
    def has_packets(self) -> bool:
        return bool(self.runs or any(self.single.values()))


@dataclass(slots=True)
class Blocks:
    """All that was found. more: packets were left unread because *most* had been found."""

    sections: list[Section] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)
    secrets: list[str] = field(default_factory=list)  # lines of TLS key logs
    unreadable: int = 0  # packet blocks too small to be one
    packets: int = 0
    more: bool = False
    cut_short: bool = False
    position: int = 0  # of the block being read
    interfaces: int = 0  # in all sections


def walk(data: Any, size: int, most: int, *, believing: bool = True) -> Blocks:
    """Read the chain of blocks in *data* (mmap or bytes) up to *most* packets.

    believing: take stored offsets for true, which must then be checked; else every block is looked for.

    NotACapture when not even one section begins it.
    """
    found = Blocks()
    position = streak = 0
    order: str | None = None
    head = struct.Struct("<II")
    tail = struct.Struct("<I")
    chain: Chain | None = None
    while position + 12 <= size:
        kind, length = head.unpack_from(data, position)
        if kind == pcapng.SECTION:
            order = _byte_order(data, position, size)
            if order is None:
                break
            head, tail = struct.Struct(order + "II"), struct.Struct(order + "I")
            kind, length = head.unpack_from(data, position)
            if length < pcapng.SMALLEST_SECTION:
                break
        end = position + length
        if length < 12 or length & 3 or end > size or tail.unpack_from(data, end - 4)[0] != length:
            break
        streak = streak + 1 if kind == pcapng.PACKET else 0
        if kind in _SMALLEST and found.sections:
            if length < _SMALLEST[kind]:
                found.unreadable += 1
            elif found.packets >= most:
                found.more = True
                return found
            elif streak > _A_RUN and chain is not None and len((run := chain.run(position))[0]):
                starts, ends = (part[: most - found.packets] for part in run)
                found.sections[-1].runs.append((starts, ends))
                found.packets += len(starts)
                end = int(ends[-1])
                streak = 0
            else:
                found.sections[-1].single[kind].append(position)
                found.packets += 1
        elif kind == pcapng.SECTION:
            _begin(found, order or "<")
            chain = Chain(data, size, order or "<")
        elif kind == pcapng.OFFSETS and chain is not None:
            if believing:
                chain.store(end, _offsets(data[position + 8 : end - 4], order or "<"))
            streak = _A_RUN
        elif read := _READERS.get(kind):
            found.position = position
            read(found, data[position + 8 : end - 4])
        position = end
    if not found.sections:
        raise NotACapture("it begins like a pcapng file, but its first block is damaged or cut off")
    found.cut_short = position != size
    return found


def _byte_order(data: Any, position: int, size: int) -> str | None:
    magic = bytes(data[position + 8 : position + 12])
    orders = {struct.pack(order + "I", pcapng.BYTE_ORDER): order for order in "<>"}
    return orders.get(magic) if position + 28 <= size else None


def _begin(found: Blocks, order: str) -> None:
    if len(found.sections) >= MOST:
        raise CaptureError(f"it has more than {MOST} sections, more than labkit reads")
    found.sections.append(Section(order))


def _interface(found: Blocks, body: bytes) -> None:
    section = found.sections[-1]
    order = section.order
    found.interfaces += 1
    if found.interfaces > MOST:
        raise CaptureError(f"it describes more than {MOST} interfaces, more than labkit can number")
    link_type, _, snap_length = struct.unpack_from(order + "HHI", body.ljust(8, b"\0"))
    said = dict(pcapng.read_options(body[8:], order))
    taken = said.get(pcapng.OPT_FILTER, b"")
    section.interfaces.append(
        Interface(
            found.position,
            link_type,
            snap_length,
            name=pcapng.text(said[pcapng.OPT_NAME]) if pcapng.OPT_NAME in said else None,
            description=pcapng.text(said.get(pcapng.OPT_DESCRIPTION, b"")),
            resolution=(said.get(pcapng.OPT_RESOLUTION) or bytes([pcapng.MICROSECONDS]))[0],
            offset_seconds=pcapng.number(said.get(pcapng.OPT_OFFSET, b"")[:8], order, signed=True),
            filter=pcapng.text(taken[1:]) if taken[:1] == bytes([pcapng.FILTER_TEXT]) else "",
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
    found.evidence.read(body, found.sections[-1].order)


def _offsets(body: bytes, order: str) -> npt.NDArray[np.int64]:
    """How long the packet blocks are that follow, by a block of stored offsets."""
    if len(body) < 4 or struct.unpack_from(order + "I", body)[0] != pcapng.DOCUMENTATION_PEN:
        return np.zeros(0, np.int64)
    return np.frombuffer(body, order + "u4", len(body) // 4 - 1, 4).astype(np.int64)


def _secrets(found: Blocks, body: bytes) -> None:
    found.secrets += secrets.read(body, found.sections[-1].order)


_READERS: Final[Mapping[int, Callable[[Blocks, bytes], None]]] = {
    pcapng.INTERFACE: _interface,
    pcapng.STATISTICS: _statistics,
    pcapng.SECRETS: _secrets,
    pcapng.EVIDENCE: _evidence,
}
