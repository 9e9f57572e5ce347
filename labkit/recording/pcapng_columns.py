"""Packet columns out of a mapped capture file, all packets of a kind at once.

Takes what `pcapng_blocks` and `pcapng_classic` found out about positions; gives rows of `PACKET_DTYPE`. A packet whose
own lengths cannot be true is left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import pcapng_format as pcapng
from .model import PACKET_DTYPE
from .pcapng_blocks import Section

MOST_OPTIONS: Final = 64  # of one packet that are looked at for its direction
Integers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """rows: packets in file order. timeless: how many have no time of their own. damaged: left out."""

    rows: npt.NDArray[Any]
    timeless: int = 0
    damaged: int = 0


def words(data: Any, size: int, order: str) -> Integers:
    """A view of 32-bit words that begin at *every* byte: ``words(...)[position]`` needs no alignment and no copy."""
    return np.ndarray((max(0, size - 3),), np.dtype(order + "u4"), buffer=data, strides=(1,))


def of_section(data: Any, size: int, section: Section, first_vantage: int) -> Columns:
    """All packets of one section, in file order. Its interface 0 is vantage *first_vantage*."""
    view = words(data, size, section.order)
    parts = [
        _with_header(view, section, np.array(section.packets[kind], np.int64), old=kind == pcapng.OLD_PACKET)
        for kind in (pcapng.PACKET, pcapng.OLD_PACKET)
    ]
    simple = _simple(view, section, np.array(section.packets[pcapng.SIMPLE_PACKET], np.int64))
    rows = np.concatenate([*parts, simple])
    rows = rows[np.argsort(rows["offset"], kind="stable")]
    _borrow_times(rows)
    total = sum(len(positions) for positions in section.packets.values())
    rows["vantage"] += first_vantage
    return Columns(rows, timeless=len(simple), damaged=total - len(rows))


def classic(view: Integers, positions: Sequence[int], nanoseconds: bool) -> npt.NDArray[Any]:
    """Rows for the record headers of a classic pcap at *positions*."""
    at = np.array(positions, np.int64)
    rows = np.zeros(len(at), PACKET_DTYPE)
    unit = 1 if nanoseconds else 1000
    rows["time_ns"] = view[at].astype(np.int64) * 10**9 + view[at + 4].astype(np.int64) * unit
    rows["offset"] = at + 16
    rows["captured"] = view[at + 8]
    rows["original"] = view[at + 12]
    return rows


def _with_header(view: Integers, section: Section, at: Integers, old: bool) -> npt.NDArray[Any]:
    """Enhanced packet blocks, and the packet blocks they replaced (*old*), whose interface has 16 bits only."""
    interface = view[at + 8].astype(np.int64)
    if old:
        interface = interface & 0xFFFF if section.order == "<" else interface >> 16
    captured = view[at + 20].astype(np.int64)
    length = view[at + 4].astype(np.int64)
    described = np.array([each.position for each in section.interfaces], np.int64)
    known = interface < len(described)
    good = known & (captured <= length - pcapng.PACKET_OVERHEAD)
    if len(described):
        good &= described[np.where(known, interface, 0)] < at
    at, interface, captured, length = at[good], interface[good], captured[good], length[good]
    rows = np.zeros(len(at), PACKET_DTYPE)
    ticks = view[at + 12].astype(np.uint64) << np.uint64(32) | view[at + 16]
    rows["time_ns"] = _times(section, interface, ticks)
    rows["vantage"] = interface
    rows["offset"] = at + 28
    rows["captured"] = captured
    rows["original"] = view[at + 24]
    rows["direction"] = _directions(view, section.order, at + 28 + (captured + 3 & ~3), at + length - 4)
    return rows


def _simple(view: Integers, section: Section, at: Integers) -> npt.NDArray[Any]:
    """Simple packet blocks: of interface 0, with neither time nor captured length."""
    at = at[at > section.interfaces[0].position] if section.interfaces else at[:0]
    rows = np.zeros(len(at), PACKET_DTYPE)
    if len(at):
        original = view[at + 8]
        snap = section.interfaces[0].snap_length or 0xFFFFFFFF
        rows["captured"] = np.minimum(np.minimum(original, np.uint32(snap)), view[at + 4] - np.uint32(16))
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
    resolutions = np.array([each.resolution for each in section.interfaces], np.uint8)
    seconds = [min(max(each.offset_seconds, -(10**10)), 10**10) for each in section.interfaces]
    times = np.zeros(len(ticks), np.int64)
    if not len(ticks):
        return times
    of_packet = resolutions[interface]
    for resolution in np.unique(of_packet).tolist():
        chosen = of_packet == resolution
        times[chosen] = pcapng.nanoseconds(ticks[chosen], resolution)
    if any(seconds):
        offset = np.array(seconds, np.float64)[interface] * 1e9
        fits = np.abs(times + offset) < 2.0**63 - 2**12
        times[fits] += offset[fits].astype(np.int64)
    return np.maximum(times, 0)


def _directions(view: Integers, order: str, at: Integers, end: Integers) -> npt.NDArray[np.uint8]:
    """Direction bits of epb_flags, found by walking the options of all packets in step."""
    found = np.zeros(len(at), np.uint8)
    index = np.arange(len(at))
    for _ in range(MOST_OPTIONS):
        open_ = at + 4 <= end
        index, at, end = index[open_], at[open_], end[open_]
        if not len(index):
            break
        head = view[at]
        code, length = (head & 0xFFFF, head >> 16) if order == "<" else (head >> 16, head & 0xFFFF)
        length = length.astype(np.int64)
        flags = (code == pcapng.OPT_FLAGS) & (length == 4) & (at + 8 <= end)
        value = view[at[flags] + 4] & 3
        found[index[flags]] = np.where(value == 3, 0, value)
        more = (code != pcapng.OPT_END) & ~flags
        index, at, end = index[more], at[more] + 4 + (length[more] + 3 & ~3), end[more]
    return found
