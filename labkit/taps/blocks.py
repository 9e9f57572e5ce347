"""What stands in chunks (retired ring blocks, see `layout`): packet rows, found for all chunks at once.

Packets in a block form a chain; a step of it is taken in every block together, so the cost is that of the longest
chain, not of all packets. Pure, but for VLAN tags, which are put back where the wire had them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError
from labkit.recording import PACKET_DTYPE

from . import layout

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One stored chunk: which tap sent it (index of its vantage point), where it begins, how long it is (bytes)."""

    vantage: int
    start: int
    length: int


def rows(data: npt.NDArray[np.uint8], chunks: Sequence[Chunk]) -> npt.NDArray[Any]:
    """Rows of `PACKET_DTYPE`, in the order of the chunks; *data* begins on a 4-byte boundary, and so does each chunk.

    CaptureError when a chunk contradicts itself.
    """
    words = data[: len(data) // 4 * 4].view(np.uint32)
    starts = np.array([chunk.start for chunk in chunks], np.int64)
    ends = starts + np.array([chunk.length for chunk in chunks], np.int64)
    at, owner = _walk(words, starts, ends)
    _require(bool((at + layout.PACKET_HEADER <= ends[owner]).all()))
    found = np.zeros(len(at), PACKET_DTYPE)
    seconds = words[(at + layout.PACKET_SECONDS) // 4].astype(np.int64)
    found["time_ns"] = seconds * 10**9 + words[(at + layout.PACKET_NANOSECONDS) // 4]
    found["vantage"] = np.array([chunk.vantage for chunk in chunks], np.uint16)[owner]
    found["offset"] = at + data[: len(data) // 2 * 2].view(np.uint16)[(at + layout.PACKET_MAC) // 2]
    found["captured"] = words[(at + layout.PACKET_CAPTURED) // 4]
    found["original"] = words[(at + layout.PACKET_ORIGINAL) // 4]
    found["direction"] = np.where(data[at + layout.PACKET_TYPE] == layout.TYPE_OUTGOING, 2, 1)
    _require(bool((found["offset"].astype(np.int64) + found["captured"] <= ends[owner]).all()))
    for index in np.flatnonzero(words[(at + layout.PACKET_STATUS) // 4] & layout.STATUS_VLAN_VALID).tolist():
        _restore_tag(data, int(at[index]), found[index])
    return found


def _walk(words: npt.NDArray[np.uint32], starts: Positions, ends: Positions) -> tuple[Positions, npt.NDArray[np.intp]]:
    """Where every packet begins, and in which chunk it is; chunk by chunk, in the order of each chain."""
    counts = words[(starts + layout.BLOCK_PACKETS) // 4].astype(np.int64)
    first = words[(starts + layout.BLOCK_FIRST) // 4].astype(np.int64)
    _require(bool((counts * layout.PACKET_HEADER <= ends - starts).all()))
    found = np.zeros(int(counts.sum()), np.int64)
    places = np.cumsum(counts) - counts
    longest = np.argsort(-counts, kind="stable")
    remaining = counts[longest]
    place, position, limit = places[longest], (starts + first)[longest], ends[longest]
    for step in range(int(remaining[0]) if len(remaining) else 0):
        open_ = int(np.searchsorted(-remaining, -step, side="left"))  # chains with more than *step* packets
        place, position, limit = place[:open_], position[:open_], limit[:open_]
        _require(bool((position + layout.PACKET_HEADER <= limit).all()) and not (position & 3).any())
        found[place + step] = position
        position = position + words[position // 4]
    return found, np.repeat(np.arange(len(starts)), counts)


def _restore_tag(data: npt.NDArray[np.uint8], at: int, row: Any) -> None:
    """Put an 802.1Q tag, which the kernel keeps beside the frame, back behind the addresses (IEEE 802.1Q §9)."""
    status = data[at + layout.PACKET_STATUS :][:4].view(np.uint32)[0]
    tag_type = data[at + layout.PACKET_VLAN_TPID :][:2].view(np.uint16)[0]
    tag = data[at + layout.PACKET_VLAN_TCI :][:4].view(np.uint32)[0]
    kind = int(tag_type) if status & layout.STATUS_VLAN_TPID_VALID else 0x8100
    frame = int(row["offset"])
    if row["captured"] < 12 or frame - at < layout.PACKET_HEADER + 4:
        return
    data[frame - 4 : frame + 8] = data[frame : frame + 12].copy()
    data[frame + 8 : frame + 12] = np.frombuffer(kind.to_bytes(2) + int(tag & 0xFFFF).to_bytes(2), np.uint8)
    row["offset"] -= 4
    row["captured"] += 4
    row["original"] += 4


def _require(sound: bool) -> None:
    if not sound:
        raise CaptureError("A tap sent a block that contradicts itself; capture again.")
