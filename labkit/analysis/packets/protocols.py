"""The protocol hierarchy: how many frames and bytes each protocol has, and within which other one.

Read from headers alone, down to the transport; what is inside that is named where its first bytes say so (HTTP/1 and
TLS), which is less than Wireshark's dissectors find. Every packet counts that carries such bytes; Wireshark counts a
message once, and not where it takes a packet seen at another vantage point for a retransmission. A later fragment
counts as IP, for it has no other header.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .frames import Bools, Ints
from .index import ETHERTYPE, TCP, UDP, Index, protocol_name
from .tables import objects

_LINKS = {1: "Ethernet", 113: "Linux cooked", 276: "Linux cooked v2", 101: "Raw IP", 228: "Raw IP", 229: "Raw IP"}
_HTTP = {int.from_bytes(word) for word in (b"HTTP", b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC",
                                           b"CONN", b"TRAC")}  # fmt: skip
_TLS_RECORDS = range(20, 24)  # RFC 8446 §5.1


def table(index: Index, at: int | None = None) -> pd.DataFrame:
    """One row per protocol and what it lies in, outermost first: `protocol`, `path` ("Ethernet/IPv4/TCP"), `depth`,
    `frames`, `bytes` (of whole frames) and `share` of all frames."""
    rows = np.arange(len(index)) if at is None else np.flatnonzero(index.vantage == at)
    length = index.frame_length[rows].astype(np.int64)
    paths, place = _paths(index, rows)
    frames = np.bincount(place, minlength=len(paths)).tolist()
    sizes = np.bincount(place, weights=length, minlength=len(paths)).astype(np.int64).tolist()
    counts: dict[tuple[str, ...], tuple[int, int]] = {}
    for path, count, size in zip(paths, frames, sizes, strict=True):
        for depth in range(1, len(path) + 1):
            before = counts.get(path[:depth], (0, 0))
            counts[path[:depth]] = before[0] + count, before[1] + size
    ordered = [*_ordered(counts, ())]
    return pd.DataFrame(
        {
            "protocol": objects(path[-1] for path in ordered),
            "path": objects("/".join(path) for path in ordered),
            "depth": np.array([len(path) - 1 for path in ordered], dtype=np.int64),
            "frames": np.array([counts[path][0] for path in ordered], dtype=np.int64),
            "bytes": np.array([counts[path][1] for path in ordered], dtype=np.int64),
            "share": np.array([counts[path][0] / max(len(rows), 1) for path in ordered], dtype=np.float64),
        }
    )


def _paths(index: Index, rows: Ints) -> tuple[list[tuple[str, ...]], Ints]:
    """The different paths of protocols, and for each row which one is its own."""
    tagged = (index.link[rows] == 1) & (index.l3[rows] > 14)
    later = index.fragment[rows] > 0
    inside = _inside(index, rows)
    fields = (index.link[rows], tagged, index.version[rows] + 1, index.proto[rows] + 1, later, inside)
    code = np.zeros(len(rows), dtype=np.int64)
    for width, values in zip(_WIDTHS, fields, strict=True):
        code = code << width | values
    kinds, place = np.unique(code, return_inverse=True)
    return [_path(*_apart(kind)) for kind in kinds.tolist()], place.reshape(-1)


_WIDTHS = (16, 1, 3, 18, 1, 2)  # bits of: link type, VLAN, IP version + 1, protocol + 1, later fragment, inside


def _apart(code: int) -> tuple[int, int, int, int, int, int]:
    """The fields of `_paths` out of their one number."""
    link, code = code >> 25, code & ((1 << 25) - 1)
    return link, code >> 24 & 1, (code >> 21 & 7) - 1, (code >> 3 & 0x3FFFF) - 1, code >> 2 & 1, code & 3


def _path(link: int, tagged: int, version: int, proto: int, later: int, inside: int) -> tuple[str, ...]:
    path = [_LINKS.get(link, f"link type {link}"), *(["VLAN"] if tagged else [])]
    if version > 0:
        path.append(f"IPv{version}")
    name = protocol_name(proto)
    if name is not None and not later and (version > 0 or proto >= ETHERTYPE):
        path.append(name)
    return (*path, *([("", "HTTP", "TLS")[inside]] if inside else []))


def _inside(index: Index, rows: Ints) -> Ints:
    """1 where a TCP or UDP payload begins as HTTP/1 does, 2 where it begins with a TLS record, else 0."""
    carrying = np.isin(index.proto[rows], (TCP, UDP)) & (index.payload_length[rows] > 0)
    frames, payload = index.frames.take(rows), index.payload[rows]
    at = np.where(carrying, payload, -1)
    lead, record = frames.read(at, 4), frames.read(at, 1)
    tls: Bools = np.isin(record, [*_TLS_RECORDS]) & (frames.read(np.where(at >= 0, at + 1, -1), 1) == 3)
    return np.where(np.isin(lead, [*_HTTP]), 1, np.where(tls & (index.proto[rows] == TCP), 2, 0)).astype(np.int64)


def _ordered(counts: dict[tuple[str, ...], tuple[int, int]], under: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Depth first, the most frequent first."""
    children = [path for path in counts if path[:-1] == under and len(path) == len(under) + 1]
    for path in sorted(children, key=lambda path: (-counts[path][0], path)):
        yield path
        yield from _ordered(counts, path)
