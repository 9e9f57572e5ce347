"""ICMP and ICMPv6: type, code, and the packet that an error message carries (RFC 792, RFC 4443 §2.4).

That packet was sent the other way by whom the error is for, so its tuple names the connection. Address translation
rewrites it too (RFC 5508 §4): its addresses, ports and checksums change, and nothing else does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from .addresses import Addresses
from .frames import MISSING, Bools, Frames, Ints, Words, layout
from .index import Index
from .network import Network, ipv4, ipv6
from .transport import ICMP, ICMP6, TCP, UDP

ERRORS: Mapping[int, tuple[int, ...]] = {ICMP: (3, 4, 5, 11, 12), ICMP6: (1, 2, 3, 4)}
ECHOES: Mapping[int, tuple[int, ...]] = {ICMP: (0, 8), ICMP6: (128, 129)}
_HEAD = layout(8, type=(0, "u1"), code=(1, "u1"), rest=(4, ">u4"))
_PORTS = layout(8, sport=(0, ">u2"), dport=(2, ">u2"), seq=(4, ">u4"))


@dataclass(frozen=True)
class Embedded:
    """One entry an ICMP error. rows: the errors. source, target: into `Index.addresses`; -1 where it has no such.

    version, proto, sport, dport, seq (of TCP, else -1), ip_id: of the embedded packet, -1 where not carried.
    """

    rows: Ints
    version: Ints
    source: Ints
    target: Ints
    proto: Ints
    sport: Ints
    dport: Ints
    seq: Ints
    ip_id: Ints

    def __len__(self) -> int:
        return len(self.rows)


def _types(index: Index, rows: Ints) -> dict[str, Ints]:
    """`type`, `code` and `rest` (the second word of the header) of the packets at *rows*; -1 if they are not ICMP."""
    mine = ((index.proto[rows] == ICMP) | (index.proto[rows] == ICMP6)) & (index.fragment[rows] == 0)
    return index.frames.take(rows).header(np.where(mine, index.l4[rows], MISSING), _HEAD)


def _of_types(index: Index, rows: Ints, kind: Ints, known: Mapping[int, tuple[int, ...]]) -> Bools:
    found = np.zeros(len(rows), dtype=bool)
    for proto, numbers in known.items():
        found |= (index.proto[rows] == proto) & np.isin(kind, numbers)
    return found


def is_error(index: Index, rows: Ints) -> Bools:
    """Which of the packets at *rows* are ICMP errors."""
    return _of_types(index, rows, _types(index, rows)["type"], ERRORS)


def embedded(index: Index) -> Embedded:
    """The packets inside all ICMP errors of a recording."""
    rows = np.flatnonzero((index.proto == ICMP) | (index.proto == ICMP6))
    rows = rows[is_error(index, rows)]
    addresses = Addresses()
    version, inner = _inner(index, rows, addresses)
    places = {name: number for number, name in enumerate(index.addresses)}
    number = np.array([*(places.get(name, MISSING) for name in addresses.names), MISSING], dtype=np.int64)
    ports = _ports(index.frames.take(rows), inner)
    return Embedded(rows, version, number[inner.source], number[inner.target], inner.proto, ports["sport"],
                    ports["dport"], np.where(inner.proto == TCP, ports["seq"], MISSING), inner.ip_id)  # fmt: skip


def _inner(index: Index, rows: Ints, addresses: Addresses) -> tuple[Ints, Network]:
    frames = index.frames.take(rows)
    at = np.where(index.l4[rows] >= 0, index.l4[rows].astype(np.int64) + 8, MISSING)
    version = frames.read(at, 1) >> 4
    found = {name.name: np.full(len(rows), MISSING, dtype=np.int64) for name in fields(Network)}
    for number, read in ((4, ipv4), (6, ipv6)):
        mine = np.flatnonzero(version == number)
        if len(mine):
            ends = np.full(len(mine), np.iinfo(np.int64).max)  # an error carries a part; how long it was, it says
            for name, values in vars(read(frames.take(mine), at[mine], ends, addresses)).items():
                found[name][mine] = values
    return np.where((version == 4) | (version == 6), version, MISSING), Network(**found)


def _ports(frames: Frames, inner: Network) -> dict[str, Ints]:
    there = ((inner.proto == TCP) | (inner.proto == UDP)) & (inner.fragment == 0)
    return frames.header(np.where(there, inner.l4, MISSING), _PORTS)


def kept_digest(index: Index, rows: Ints) -> Words:
    """A digest of what address translation leaves alone in ICMP packets at *rows*.

    Of all, the checksum is left out; of an echo, its identifier (which is translated like a port); of an error, what
    is translated in the packet that it carries.
    """
    head, frames = _types(index, rows), index.frames.take(rows)
    l4 = index.l4[rows].astype(np.int64)
    end = np.minimum(l4 + index.payload_length[rows], frames.captured)
    echo = _of_types(index, rows, head["type"], ECHOES)
    begin = np.where(echo, l4 + 6, l4 + 4)
    kept = frames.digest(begin, np.where(l4 >= 0, end - begin, 0))
    error = np.flatnonzero(_of_types(index, rows, head["type"], ERRORS))
    if len(error):
        kept[error] = _of_errors(index, rows[error], end[error]) + head["rest"][error].view(np.uint64)
    return np.asarray(kept * np.uint64(0x9E3779B97F4A7C15) + (head["type"] << 8 | head["code"]).view(np.uint64))


def _of_errors(index: Index, rows: Ints, end: Ints) -> Words:
    frames = index.frames.take(rows)
    _, inner = _inner(index, rows, Addresses())
    ports = _ports(frames, inner)
    tcp = inner.proto == TCP
    names = (inner.ip_id, inner.proto, inner.fragment, np.where(tcp, ports["seq"], ports["seq"] >> 16))
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for number in names:
        mixed = (mixed ^ number.view(np.uint64)) * np.uint64(0xC2B2AE3D27D4EB4F)
    l4 = inner.l4
    for skip, stop in ((8, 16), (18, None)):  # around TCP's checksum; of UDP all that follows its header
        begin = l4 + skip
        until = end if stop is None else np.minimum(np.where(tcp, l4 + stop, end), end)
        there = (l4 >= 0) & (tcp if stop is None else True)
        mixed = mixed * np.uint64(3) + frames.digest(begin, np.where(there, until - begin, 0))
    return mixed
