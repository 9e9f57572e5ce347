"""Packet columns out of a mapped capture file, very many packets at once.

Takes what `pcapng_blocks` and `pcapng_classic` found out about positions; gives rows of `PACKET_DTYPE`. A packet whose
own lengths cannot be true is left out and counted. What stands behind the bytes of a packet is read by
`pcapng_options`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError

from . import pcapng_format as pcapng
from . import pcapng_options
from .model import PACKET_DTYPE
from .pcapng_blocks import Section
from .pcapng_chain import Positions, Run

Integers = npt.NDArray[Any]
_AT_ONCE: Final = 1 << 16  # packets: few enough for the processor's cache, many enough that threads seldom wait
_HEAD: Final = 7  # words of an enhanced packet block before its data
_TAIL: Final = 7  # words that the options take which labkit writes, and the length behind them


class Untrue(CaptureError):
    """A file whose packet blocks are not where it was said: to be read without believing that."""


@dataclass(frozen=True, slots=True)
class Columns:
    """rows: packets in file order. comments: by offset of the packet's data. timeless: how many have no time of their
    own. damaged: left out."""

    rows: npt.NDArray[Any]
    comments: Mapping[int, bytes] = field(default_factory=dict)
    timeless: int = 0
    damaged: int = 0


def of_section(data: Any, size: int, section: Section, first_vantage: int) -> Columns:
    """All packets of one section, in file order. Its interface 0 is vantage *first_vantage*.

    Untrue if a packet block does not stand where the section says, by stored offsets.
    """
    words: Integers = np.frombuffer(data, section.order + "u4", size // 4)
    comments: dict[int, bytes] = {}
    positions = {kind: section.packets(kind) for kind in (pcapng.PACKET, pcapng.OLD_PACKET, pcapng.SIMPLE_PACKET)}
    enhanced = _with_header(data, words, section, positions[pcapng.PACKET], comments, old=False)
    older = _with_header(data, words, section, positions[pcapng.OLD_PACKET], comments, old=True)
    simple = _simple(words, section, positions[pcapng.SIMPLE_PACKET][0])
    rows = enhanced
    if len(older) or len(simple):
        rows = np.concatenate([enhanced, older, simple])
        rows = rows[np.argsort(rows["offset"], kind="stable")]
        _borrow_times(rows)
    total = sum(len(starts) for starts, _ in positions.values())
    if first_vantage:
        rows["vantage"] += first_vantage
    return Columns(rows, comments, timeless=len(simple), damaged=total - len(rows))


def classic(data: Any, order: str, positions: Positions, nanoseconds: bool) -> npt.NDArray[Any]:
    """Rows for the record headers of a classic pcap at *positions*."""
    rows = np.zeros(len(positions), PACKET_DTYPE)
    unit = 1 if nanoseconds else 1000
    head = np.dtype([(name, order + "u4") for name in ("seconds", "fraction", "captured", "original")])
    bytes_: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)
    for first in range(0, len(positions), _AT_ONCE):
        at, part = positions[first : first + _AT_ONCE], rows[first : first + _AT_ONCE]
        heads = bytes_[at[:, np.newaxis] + np.arange(16)].view(head)[:, 0]
        part["time_ns"] = heads["seconds"].astype(np.int64) * 10**9 + heads["fraction"].astype(np.int64) * unit
        part["offset"] = at + 16
        part["captured"] = heads["captured"]
        part["original"] = heads["original"]
    return rows


def _with_header(
    data: Any, words: Integers, section: Section, run: Run, comments: dict[int, bytes], *, old: bool
) -> npt.NDArray[Any]:
    """Enhanced packet blocks, and the packet blocks they replaced (*old*), whose interface has 16 bits only."""
    starts, ends = run
    rows = np.empty(len(starts), PACKET_DTYPE)
    described = np.array([each.position for each in section.interfaces], np.int64)
    last_described = int(described.max(initial=-1))
    blocks = _Around(words)

    def read(first: int) -> tuple[int, dict[int, bytes]]:
        """Fill in the rows from *first* on; how many there are, and what comments stand in them."""
        at, end = starts[first : first + _AT_ONCE], ends[first : first + _AT_ONCE]
        head, tail, stop = blocks.of(at, starts[first + len(at)] if first + len(at) < len(starts) else None)
        length, captured, interface = head[:, 1], head[:, 5], head[:, 2]
        if (
            not old
            and not ((head[:, 0] == pcapng.PACKET) & (tail[:, -1] == length) & ((end == stop) | (end < 0))).all()
        ):
            raise Untrue("its packets do not stand where it says; it was damaged, or changed while it was read")
        if old:
            interface = interface & 0xFFFF if section.order == "<" else interface >> 16
        good = (interface < len(described)) & (captured <= length - np.uint32(pcapng.PACKET_OVERHEAD))
        if len(described) and len(at) and int(at[0]) <= last_described:
            good &= described[np.where(good, interface, 0)] < at
        if not good.all():
            at, stop, head, tail = at[good], stop[good], head[good], tail[good]
            length, captured, interface = length[good], captured[good], interface[good]
        begin, filled = at + 4 * _HEAD, captured + np.uint32(3) & ~np.uint32(3)
        part = rows[first : first + len(at)]
        part["time_ns"] = _times(section, interface, head[:, 3].astype(np.uint64) << np.uint64(32) | head[:, 4])
        part["vantage"] = interface
        part["offset"] = begin
        part["captured"] = captured
        part["original"] = head[:, 6]
        room = length - filled - np.uint32(pcapng.PACKET_OVERHEAD)
        ours, part["direction"] = pcapng_options.ours(tail[:, :-1], room, section.order)
        if ours.all():
            return len(at), {}
        other = np.flatnonzero(~ours)
        directions, said = pcapng_options.read(
            data, words, section.order, begin[other] + filled[other], stop[other] - 4
        )
        part["direction"][other] = directions
        return len(at), {int(begin[other[index]]): text for index, text in said.items()}

    kept = 0
    with ThreadPoolExecutor(2) as threads:  # numpy works without the interpreter's lock
        for turn, (count, found) in enumerate(threads.map(read, range(0, len(starts), _AT_ONCE))):
            comments.update(found)
            first = turn * _AT_ONCE
            if first != kept:  # damaged packets left a gap before these
                rows[kept : kept + count] = rows[first : first + count].copy()
            kept += count
    return rows[:kept]


class _Around:
    """The words before and behind where packet blocks begin, gathered in one go.

    Blocks mostly follow each other, so what stands before one is the end of the one before it.
    """

    def __init__(self, words: Integers) -> None:
        self._words, self._kind = words, words.dtype

        def every(count: int) -> npt.NDArray[np.void]:  # so many words, from every word on
            return np.ndarray((max(0, len(words) - count + 1),), f"V{4 * count}", buffer=words, strides=(4,))

        self._ends, self._both = every(_TAIL), every(_TAIL + _HEAD)

    def of(self, at: Positions, following: Any) -> tuple[Integers, Integers, Positions]:
        """Of the blocks at *at*: the first words, the last ones, and where they end by their own word.

        following: where the packet block behind the last of them begins, None if there is none.
        """
        if not len(at):
            return np.zeros((0, _HEAD), self._kind), np.zeros((0, _TAIL), self._kind), at
        near = np.append(at, at[-1] if following is None else following)
        found = self._both[(near >> 2) - _TAIL].view(self._kind).reshape(-1, _TAIL + _HEAD)
        head, tail = found[:-1, _TAIL:], found[1:, :_TAIL]
        stop = at + head[:, 1]
        apart = np.flatnonzero(stop != near[1:])
        place = np.minimum(np.maximum(stop[apart] >> 2, _TAIL), len(self._words)) - _TAIL
        tail[apart] = self._ends[place].view(self._kind).reshape(-1, _TAIL)
        return head, tail, stop


def _simple(words: Integers, section: Section, at: Positions) -> npt.NDArray[Any]:
    """Simple packet blocks: of interface 0, with neither time nor captured length."""
    at = at[at > section.interfaces[0].position] if section.interfaces else at[:0]
    rows = np.zeros(len(at), PACKET_DTYPE)
    if len(at):
        original = words[(at >> 2) + 2]
        snap = section.interfaces[0].snap_length or 0xFFFFFFFF
        rows["captured"] = np.minimum(np.minimum(original, np.uint32(snap)), words[(at >> 2) + 1] - np.uint32(16))
        rows["original"] = original
        rows["offset"] = at + 12
        rows["time_ns"] = -1
    return rows


def _borrow_times(rows: npt.NDArray[Any]) -> None:
    """Packets without a time (-1) get that of the packet before them in the file, or 0."""
    own = np.where(rows["time_ns"] >= 0, np.arange(len(rows)), -1)
    last = np.maximum.accumulate(own) if len(own) else own
    rows["time_ns"] = np.where(last >= 0, rows["time_ns"][last], 0)


def _times(section: Section, interface: Integers, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    if not len(ticks):
        return np.zeros(0, np.int64)
    resolutions = np.array([each.resolution for each in section.interfaces], np.uint8)
    seconds = [min(max(each.offset_seconds, -(10**10)), 10**10) for each in section.interfaces]
    used = set(resolutions.tolist())
    if len(used) == 1:
        times = pcapng.nanoseconds(ticks, used.pop())
    else:
        times, of_packet = np.zeros(len(ticks), np.int64), resolutions[interface]
        for resolution in used:
            chosen = of_packet == resolution
            times[chosen] = pcapng.nanoseconds(ticks[chosen], resolution)
    if any(seconds):
        offset = np.array(seconds, np.float64)[interface] * 1e9
        fits = np.abs(times + offset) < 2.0**63 - 2**12
        times[fits] += offset[fits].astype(np.int64)
    return np.maximum(times, 0)
