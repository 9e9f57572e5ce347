"""A recording as a pcapng file that Wireshark opens and that keeps all the evidence. See docs/pcapng.md.

`render` is pure and gives the file piece by piece; `write_pcapng` puts it in place in one step (`atomic`).
"""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError

from . import event_table
from . import pcapng_format as pcapng
from . import secrets as tls_secrets
from .atomic import write_atomically
from .model import Loss, Recording, Vantage

ROWS_AT_ONCE: Final = 4096
TOLD_AT_ONCE: Final = 1 << 16  # packets whose offsets stand in one block
MOST_COUNTED: Final = 2**64 - 1
_PACKET_ID_AND_FLAGS: Final = 24  # bytes of the two options and their end mark


def write_pcapng(recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Save *recording* with its events and loss; gives the path back.

    Atomic: written beside the target and renamed; an existing file stays whole until then. CaptureError with the
    remedy when it cannot be written.
    """
    return write_atomically(path, render(recording))


def render(recording: Recording) -> Iterator[bytes]:
    """The file, piece by piece: what the packets need to be understood comes before them."""
    yield _section()
    for vantage in recording.vantages:
        yield _interface(vantage)
    yield tls_secrets.block(recording.events)
    yield _evidence({"labkit": 1, "vantages": _places(recording.vantages), "lacks": list(recording.lacks)})
    for piece in event_table.pieces(recording.events):
        yield _evidence({"labkit": 1, **piece})
    data = memoryview(recording.data)
    for first in range(0, len(recording.packets), TOLD_AT_ONCE):
        rows = recording.packets[first : first + TOLD_AT_ONCE]
        comments = _comments(recording.comments, first, len(rows))
        yield _offsets(_sizes(rows, comments))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield _packets(rows[start : start + ROWS_AT_ONCE], first + start, data, _slice(comments, start))
    end_ns = int(recording.packets["time_ns"][-1]) if len(recording.packets) else 0
    for index, vantage in enumerate(recording.vantages):
        if loss := recording.loss.get(vantage.name):
            yield _statistics(index, loss, end_ns)


def _section() -> bytes:
    try:
        application = f"labkit {metadata.version('labkit')}"
    except metadata.PackageNotFoundError:
        application = "labkit"
    body = struct.pack("<IHHq", pcapng.BYTE_ORDER, 1, 0, -1)
    return pcapng.block(pcapng.SECTION, body + pcapng.options((pcapng.OPT_APPLICATION, application.encode())))


def _interface(vantage: Vantage) -> bytes:
    pairs = [(pcapng.OPT_NAME, vantage.name.encode("utf-8", "replace"))]
    if vantage.description:
        pairs.append((pcapng.OPT_DESCRIPTION, vantage.description.encode("utf-8", "replace")))
    pairs.append((pcapng.OPT_RESOLUTION, bytes([pcapng.NANOSECONDS])))
    if vantage.filter:
        pairs.append((pcapng.OPT_FILTER, bytes([pcapng.FILTER_TEXT]) + vantage.filter.encode("utf-8", "replace")))
    return pcapng.block(pcapng.INTERFACE, struct.pack("<HHI", vantage.link_type, 0, 0) + pcapng.options(*pairs))


def _places(vantages: tuple[Vantage, ...]) -> dict[str, Any]:
    return {vantage.name: {"node": vantage.node, "interface": vantage.interface} for vantage in vantages}


def _evidence(value: dict[str, Any]) -> bytes:
    try:
        body = json.dumps(value, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        kind = value.get("event", value).get("kind", "labkit")  # what is in a table was found plain
        raise CaptureError(f"An event of kind {kind!r} cannot be saved: {error}. Keep plain data in events.") from error
    filled = body.ljust(pcapng.padded(len(body)))  # spaces: still JSON
    return pcapng.block(pcapng.EVIDENCE, struct.pack("<I", pcapng.DOCUMENTATION_PEN) + filled)


def _comments(every: Mapping[int, str], first: int, count: int) -> dict[int, bytes]:
    """The comments of *count* rows from *first* on (both from 0), as options, by row from there."""
    if not every:
        return {}
    chosen = {number - 1 - first: text for number, text in every.items() if first < number <= first + count}
    return {row: pcapng.option(pcapng.OPT_COMMENT, text.encode("utf-8", "replace")) for row, text in chosen.items()}


def _slice(comments: Mapping[int, bytes], start: int) -> dict[int, bytes]:
    return {row - start: option for row, option in comments.items() if start <= row < start + ROWS_AT_ONCE}


def _sizes(rows: npt.NDArray[Any], comments: Mapping[int, bytes]) -> npt.NDArray[np.int64]:
    """The lengths of the blocks of *rows* in bytes."""
    sizes: npt.NDArray[np.int64] = rows["captured"].astype(np.int64) + 3 & ~3
    sizes += pcapng.PACKET_OVERHEAD + _PACKET_ID_AND_FLAGS
    for row, option in comments.items():
        sizes[row] += len(option)
    return sizes


def _offsets(sizes: npt.NDArray[np.int64]) -> bytes:
    """How long each of the packet blocks is that follow, so that a reader need not look for them."""
    body = struct.pack("<I", pcapng.DOCUMENTATION_PEN) + sizes.astype("<u4").tobytes()
    return pcapng.block(pcapng.OFFSETS, body)


def _packets(rows: npt.NDArray[Any], first: int, data: memoryview, comments: Mapping[int, bytes]) -> bytes:
    """Enhanced packet blocks: columns are written all at once, only the frames are copied one by one.

    first: number of the first row, from 0. comments: by place in *rows*.
    """
    captured = rows["captured"].astype(np.int64)
    sizes = _sizes(rows, comments)
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), np.uint8)
    words = out.view("<u4")
    time = rows["time_ns"].astype(np.uint64)
    numbers = np.arange(first + 1, first + 1 + len(rows), dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    high = np.uint64(32)
    head = (pcapng.PACKET, sizes, rows["vantage"], time >> high, time & low, captured, rows["original"])
    flags = (pcapng.OPT_FLAGS | 4 << 16, rows["direction"])
    identity = (pcapng.OPT_PACKET_ID | 8 << 16, numbers & low, numbers >> high)
    for index, column in enumerate(head):
        words[starts // 4 + index] = column
    last = (*flags, *identity, pcapng.OPT_END, sizes)
    for index, column in enumerate(last):
        words[(starts + sizes) // 4 - len(last) + index] = column
    view = memoryview(out)
    for at, offset, size in zip((starts + 28).tolist(), rows["offset"].tolist(), captured.tolist(), strict=True):
        view[at : at + size] = data[offset : offset + size]
    for row, option in comments.items():
        at = int(starts[row] + 28 + pcapng.padded(int(captured[row])))
        view[at : at + len(option)] = option
    return out.data.tobytes()


def _statistics(index: int, loss: Loss, time_ns: int) -> bytes:
    counts = [(pcapng.OPT_DELIVERED, loss.captured)]
    if loss.dropped is not None:
        counts = [(pcapng.OPT_RECEIVED, loss.captured + loss.dropped), (pcapng.OPT_DROPPED, loss.dropped), *counts]
    body = struct.pack("<III", index, time_ns >> 32, time_ns & 0xFFFFFFFF)
    values = ((code, struct.pack("<Q", min(count, MOST_COUNTED))) for code, count in counts)
    return pcapng.block(pcapng.STATISTICS, body + pcapng.options(*values))
