"""A capture file as a recording: labkit's own pcapng with all its evidence, others' pcapng and classic pcap with a word
on what they lack.

The file is mapped, never loaded; a recording's data *is* the file. Blocks are found by `pcapng_blocks`, packets by
`pcapng_columns`. Nothing in the file is believed: lengths are compared with its size, names are made harmless to show,
evidence is checked by `events`.
"""

import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError, NotACapture
from labkit.wording import inert

from . import pcapng_classic, pcapng_columns, secrets
from . import pcapng_format as pcapng
from .model import PACKET_DTYPE, Loss, Recording, Vantage
from .pcapng_blocks import Blocks, walk

FOREIGN: Final = "the topology, decisions, requests and rules: labkit did not write this file"
NO_NAMES: Final = "the names of the vantage points"
NO_DIRECTIONS: Final = "the direction of packets"
NO_DROPS: Final = "how many packets were dropped"
COARSE: Final = "times finer than a microsecond"
MOST_PACKETS: Final = 20_000_000  # that are read of a file unless more are asked for
MOST_COMMENT_BYTES: Final = 1 << 26
UNSORTED: Final = "the order by time: its packets were sorted, so numbers differ from Wireshark's"
_PACKED: Final[Mapping[bytes, str]] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
}

_REQUESTS: Final[Mapping[str, tuple[str, str]]] = {
    ".mitm": ("a flow file of mitmproxy's", "open it with mitmproxy -r"),
    ".har": ("a HAR file", "open it in a browser's network tools"),
}


def read_pcapng(path: str | os.PathLike[str], packets: int = MOST_PACKETS) -> Recording:
    """Read a pcapng or classic pcap file. What is damaged or missing stands in the recording's ``lacks``.

    packets: how many are read at most, the first in the file.
    NotACapture when it is something else; CaptureError when it cannot be read.
    """
    try:
        data, size = _map(Path(path))
        read = _pcap if bytes(data[:4]) in pcapng_classic.MAGICS else _pcapng
        return read(data, size, os.fspath(path), packets)
    except FileNotFoundError as error:
        raise CaptureError(f"There is no file {os.fspath(path)!r}; check the path.") from error
    except PermissionError as error:
        raise CaptureError(f"The file {os.fspath(path)!r} may not be read by you; change its permissions.") from error
    except NotACapture as error:
        raise NotACapture(f"{os.fspath(path)!r} is not a capture labkit reads: {error}.") from error
    except CaptureError as error:
        raise CaptureError(f"{os.fspath(path)!r} cannot be read: {error}.") from error
    except (OSError, ValueError) as error:
        raise CaptureError(f"{os.fspath(path)!r} cannot be read: {error}.") from error


def _map(path: Path) -> tuple[Any, int]:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise CaptureError("it is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise NotACapture("it is a device or a pipe, not a file; save the packets to a file first")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise NotACapture("the file is empty")
        data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    start = bytes(data[:8])
    for magic, packer in _PACKED.items():
        if start.startswith(magic):
            raise NotACapture(f"it is packed with {packer}; unpack it first")
    if start[:4] not in pcapng_classic.MAGICS and start[:4] != pcapng.SECTION.to_bytes(4, "little"):
        if path.suffix.lower() in _REQUESTS:
            kind, reader = _REQUESTS[path.suffix.lower()]
            raise NotACapture(f"{kind} keeps requests, not packets; load the .pcapng of the same capture, or {reader}")
        raise NotACapture("it begins with neither pcapng's nor pcap's magic number")
    return data, size


def _pcap(data: Any, size: int, source: str, most: int) -> Recording:
    file = pcapng_classic.walk(data, size, most)
    rows = pcapng_columns.classic(data, file.order, file.positions, file.nanoseconds)
    lacks = [FOREIGN, NO_NAMES, NO_DIRECTIONS, NO_DROPS]
    if not file.nanoseconds:
        lacks.append(COARSE)
    lacks += _ended(len(rows), file.cut_short, file.more)
    vantage = Vantage("capture", link_type=file.link_type)
    return _recording((vantage,), rows, data, {vantage.name: Loss(len(rows), None)}, (), source, lacks, {})


def _pcapng(data: Any, size: int, source: str, most: int) -> Recording:
    try:
        return _of_blocks(walk(data, size, most), data, size, source)
    except CaptureError:  # perhaps only because of what stored offsets say, which nothing may depend on
        return _of_blocks(walk(data, size, most, believing=False), data, size, source)


def _of_blocks(blocks: Blocks, data: Any, size: int, source: str) -> Recording:
    first = timeless = 0
    damaged = blocks.unreadable
    parts = []
    comments: dict[int, bytes] = {}
    for section in blocks.sections:
        if section.has_packets:
            columns = pcapng_columns.of_section(data, size, section, first)
            parts.append(columns.rows)
            comments.update(columns.comments)
            timeless += columns.timeless
            damaged += columns.damaged
        first += len(section.interfaces)
    rows = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, PACKET_DTYPE), *parts])
    vantages = tuple(_vantages(blocks))
    loss = _loss(blocks, vantages, rows)
    evidence = blocks.evidence
    lacks = list(map(inert, evidence.lacks)) if evidence.places is not None else _foreign(blocks, rows, loss)
    lacks += evidence.told()
    if timeless:
        lacks.append(f"the times of {timeless} packets: they were given the time of the packet before them")
    if damaged:
        lacks.append(f"{damaged} packets whose blocks are damaged")
    lacks += _ended(len(rows) + damaged, blocks.cut_short, blocks.more)
    began = int(rows["time_ns"].min()) if len(rows) else 0
    events = tuple(secrets.completed(evidence.events, blocks.secrets, began))
    return _recording(vantages, rows, data, loss, events, source, lacks, comments)


def _vantages(blocks: Blocks) -> Iterator[Vantage]:
    """One a described interface, with a name of its own each."""
    copies: dict[str, int] = {}
    places = blocks.evidence.places or {}
    interfaces = (interface for section in blocks.sections for interface in section.interfaces)
    for number, interface in enumerate(interfaces):
        said = interface.name or f"interface {number}"
        name = inert(said)
        while name in copies:
            copies[name] += 1
            name = f"{name} ({copies[name]})"
        copies[name] = 1
        place = places.get(said, {})
        node, inside = inert(str(place.get("node", ""))), inert(str(place.get("interface", "")))
        described = inert(interface.description)
        yield Vantage(name, node, inside, described, interface.link_type, inert(interface.filter))


def _loss(blocks: Blocks, vantages: tuple[Vantage, ...], rows: npt.NDArray[Any]) -> dict[str, Loss]:
    said = [section.losses.get(index) for section in blocks.sections for index in range(len(section.interfaces))]
    if all(said):
        return {vantage.name: loss for vantage, loss in zip(vantages, said, strict=True) if loss}
    counts = np.bincount(rows["vantage"], minlength=len(vantages)).tolist()
    return {
        vantage.name: loss or Loss(count, None) for vantage, loss, count in zip(vantages, said, counts, strict=True)
    }


def _foreign(blocks: Blocks, rows: npt.NDArray[Any], loss: Mapping[str, Loss]) -> list[str]:
    """What a file that labkit did not write leaves untold."""
    interfaces = [interface for section in blocks.sections for interface in section.interfaces]
    untold = {
        FOREIGN: True,
        NO_NAMES: not all(interface.name for interface in interfaces),
        NO_DIRECTIONS: not rows["direction"].all(),
        NO_DROPS: any(each.dropped is None for each in loss.values()),
        COARSE: any(interface.resolution <= pcapng.MICROSECONDS for interface in interfaces),
    }
    return [lack for lack, is_so in untold.items() if is_so]


def _ended(packets: int, cut_short: bool, more: bool) -> list[str]:
    if more:
        return [
            f"everything after its first {packets} packets: no more were asked for; load(path, packets=…) reads more"
        ]
    return [f"the rest: the file is cut short at packet {packets + 1}"] if cut_short else []


def _recording(
    vantages: tuple[Vantage, ...],
    rows: npt.NDArray[Any],
    data: Any,
    loss: Mapping[str, Loss],
    events: tuple[Mapping[str, Any], ...],
    source: str,
    lacks: list[str],
    comments: Mapping[int, bytes],
) -> Recording:
    if (rows["time_ns"][1:] < rows["time_ns"][:-1]).any():
        rows = rows[np.argsort(rows["time_ns"], kind="stable")]
        lacks.append(UNSORTED)
    said = _comments(rows, comments, lacks)
    return Recording(vantages, rows, data, loss, events, source, tuple(lacks), said)


def _comments(rows: npt.NDArray[Any], by_offset: Mapping[int, bytes], lacks: list[str]) -> dict[int, str]:
    """Comments by packet number, in that order; as text, which keeps what it says until it is shown."""
    if not by_offset:
        return {}
    numbers = (np.flatnonzero(np.isin(rows["offset"], np.fromiter(by_offset, np.uint64, len(by_offset)))) + 1).tolist()
    found, left = {}, MOST_COMMENT_BYTES
    for number in numbers:
        said = by_offset[int(rows["offset"][number - 1])]
        left -= len(said)
        if left < 0:
            lacks.append(f"the comments of packets from {number} on: they are more than labkit keeps in memory")
            break
        found[number] = pcapng.text(said)
    return found
