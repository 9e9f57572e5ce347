"""The header fields that are compared and shown, as a table: name, where it stands, how it is written.

Names are those of the recording's events (`ip.dst`, `tcp.dport` …). Every byte of the Ethernet, IP, TCP and UDP
headers belongs to a field, so that a comparison field by field misses no changed byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .frames import MISSING, Ints
from .index import TCP, UDP, Index, flag_names


class Field(Protocol):
    """A header field: its layer's name, its own, its values."""

    @property
    def layer(self) -> str: ...

    @property
    def name(self) -> str: ...

    def codes(self, index: Index, rows: Ints) -> npt.NDArray[Any]:
        """One number per row, equal where the field's bytes are equal; -1 (0 of a digest) where there are none."""

    def shown(self, index: Index, rows: Ints) -> list[object]:
        """The values as a person reads them; None where the packet has no such field."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """*width* bytes at *offset* of the header called *base*, of which (value >> shift) & mask counts."""

    layer: str
    name: str
    base: str
    offset: int
    width: int
    write: Callable[[int], object] = int
    shift: int = 0
    mask: int = -1

    def codes(self, index: Index, rows: Ints) -> Ints:
        base = _BASES[self.base](index, rows)
        raw = index.frames.take(rows).read(np.where(base >= 0, base + self.offset, MISSING), self.width)
        return np.where(raw >= 0, (raw >> self.shift) & self.mask, MISSING)

    def shown(self, index: Index, rows: Ints) -> list[object]:
        values, place = np.unique(self.codes(index, rows), return_inverse=True)
        texts = [self.write(value) if value >= 0 else None for value in values.tolist()]
        return [texts[i] for i in place.tolist()]


@dataclass(frozen=True, slots=True)
class Region:
    """Header bytes without a place or length of their own (options), or too long for a number (IPv6 addresses)."""

    layer: str
    name: str
    span: Callable[[Index, Ints], tuple[Ints, Ints]]  # first and last + 1 position inside the packets at some rows
    write: Callable[[bytes], object] = bytes.hex

    def codes(self, index: Index, rows: Ints) -> npt.NDArray[Any]:
        begin, end = self.span(index, rows)
        frames = index.frames.take(rows)
        return frames.digest(begin, np.minimum(end, frames.captured) - begin)

    def shown(self, index: Index, rows: Ints) -> list[object]:
        begin, end = (bound.tolist() for bound in self.span(index, rows))
        raw = (index.frames.slice(row, a, b - a) for row, a, b in zip(rows.tolist(), begin, end, strict=True))
        return [self.write(piece) if piece else None for piece in raw]


def _where(condition: npt.NDArray[np.bool_], value: Ints | int) -> Ints:
    return np.where(condition, value, MISSING).astype(np.int64)


def _l4(proto: int) -> Callable[[Index, Ints], Ints]:
    return lambda index, rows: _where((index.proto[rows] == proto) & (index.fragment[rows] == 0), index.l4[rows])


_BASES: dict[str, Callable[[Index, Ints], Ints]] = {
    "link": lambda index, rows: _where(index.link[rows] == 1, 0),
    "type": lambda index, rows: _where((index.link[rows] == 1) & (index.l3[rows] >= 0), index.l3[rows] - 2),
    "ip": lambda index, rows: _where(index.version[rows] == 4, index.l3[rows]),
    "ip6": lambda index, rows: _where(index.version[rows] == 6, index.l3[rows]),
    "tcp": _l4(TCP),
    "udp": _l4(UDP),
}


def _tags(index: Index, rows: Ints) -> tuple[Ints, Ints]:
    tagged = (index.link[rows] == 1) & (index.l3[rows] > 14)
    return _where(tagged, 12), _where(tagged, index.l3[rows] - 2)


def _ip6_bytes(begin: int, end: int) -> Callable[[Index, Ints], tuple[Ints, Ints]]:
    def span(index: Index, rows: Ints) -> tuple[Ints, Ints]:
        base = _BASES["ip6"](index, rows)
        return _where(base >= 0, base + begin), _where(base >= 0, base + end)

    return span


def _ip_options(index: Index, rows: Ints) -> tuple[Ints, Ints]:
    begin = index.l3[rows] + np.where(index.version[rows] == 6, 40, 20)
    there = index.l4[rows] > begin
    return _where(there, begin), _where(there, index.l4[rows])


def _tcp_options(index: Index, rows: Ints) -> tuple[Ints, Ints]:
    begin = _BASES["tcp"](index, rows) + 20
    there = (begin >= 20) & (index.payload[rows] > begin)
    return _where(there, begin), _where(there, index.payload[rows])


def _mac(value: int) -> str:
    return value.to_bytes(6).hex(":")


def _hexadecimal(value: int) -> str:
    return f"0x{value:04x}"


def _words(value: int) -> int:
    return 4 * value


def _ip4(value: int) -> str:
    return str(IPv4Address(value))


def _ip6(raw: bytes) -> str:
    return str(IPv6Address(raw)) if len(raw) == 16 else raw.hex()


FIELDS: tuple[Field, ...] = (
    Fixed("Ethernet", "eth.src", "link", 6, 6, _mac),
    Fixed("Ethernet", "eth.dst", "link", 0, 6, _mac),
    Region("Ethernet", "eth.vlan", _tags),
    Fixed("Ethernet", "eth.type", "type", 0, 2, _hexadecimal),
    Fixed("IP", "ip.src", "ip", 12, 4, _ip4),
    Fixed("IP", "ip.dst", "ip", 16, 4, _ip4),
    Fixed("IP", "ip.ttl", "ip", 8, 1),
    Fixed("IP", "ip.proto", "ip", 9, 1),
    Fixed("IP", "ip.id", "ip", 4, 2),
    Fixed("IP", "ip.checksum", "ip", 10, 2, _hexadecimal),
    Fixed("IP", "ip.version", "ip", 0, 1, shift=4),
    Fixed("IP", "ip.header_length", "ip", 0, 1, _words, mask=0xF),
    Fixed("IP", "ip.dscp", "ip", 1, 1, shift=2),
    Fixed("IP", "ip.ecn", "ip", 1, 1, mask=0x3),
    Fixed("IP", "ip.length", "ip", 2, 2),
    Fixed("IP", "ip.flags", "ip", 6, 1, shift=5),
    Fixed("IP", "ip.fragment", "ip", 6, 2, mask=0x1FFF),
    Region("IP", "ip6.src", _ip6_bytes(8, 24), _ip6),
    Region("IP", "ip6.dst", _ip6_bytes(24, 40), _ip6),
    Fixed("IP", "ip6.hlim", "ip6", 7, 1),
    Fixed("IP", "ip6.nexthdr", "ip6", 6, 1),
    Fixed("IP", "ip6.version", "ip6", 0, 1, shift=4),
    Fixed("IP", "ip6.class", "ip6", 0, 2, shift=4, mask=0xFF),
    Fixed("IP", "ip6.flow", "ip6", 0, 4, mask=0xFFFFF),
    Fixed("IP", "ip6.length", "ip6", 4, 2),
    Region("IP", "ip.options", _ip_options),
    Fixed("TCP", "tcp.sport", "tcp", 0, 2),
    Fixed("TCP", "tcp.dport", "tcp", 2, 2),
    Fixed("TCP", "tcp.seq", "tcp", 4, 4),
    Fixed("TCP", "tcp.ack", "tcp", 8, 4),
    Fixed("TCP", "tcp.flags", "tcp", 12, 2, flag_names, mask=0x1FF),
    Fixed("TCP", "tcp.window", "tcp", 14, 2),
    Fixed("TCP", "tcp.checksum", "tcp", 16, 2, _hexadecimal),
    Fixed("TCP", "tcp.urgent", "tcp", 18, 2),
    Fixed("TCP", "tcp.header_length", "tcp", 12, 1, _words, shift=4),
    Fixed("TCP", "tcp.reserved", "tcp", 12, 1, shift=1, mask=0x7),
    Region("TCP", "tcp.options", _tcp_options),
    Fixed("UDP", "udp.sport", "udp", 0, 2),
    Fixed("UDP", "udp.dport", "udp", 2, 2),
    Fixed("UDP", "udp.length", "udp", 4, 2),
    Fixed("UDP", "udp.checksum", "udp", 6, 2, _hexadecimal),
)
BY_NAME = {field.name: field for field in FIELDS}
RANK = {field.name: place for place, field in enumerate(FIELDS)}


def rewritten(index: Index, before: Ints, after: Ints) -> list[dict[str, tuple[object, object]]]:
    """For each pair of rows the fields whose bytes differ, as name -> (before, after), in the table's order."""
    changes: list[dict[str, tuple[object, object]]] = [{} for _ in range(len(before))]
    for field in FIELDS:
        differ = np.flatnonzero(field.codes(index, before) != field.codes(index, after))
        pairs = zip(field.shown(index, before[differ]), field.shown(index, after[differ]), strict=True)
        for place, pair in zip(differ.tolist(), pairs, strict=True):
            changes[place][field.name] = pair
    return changes


def names_rewritten(index: Index, before: Ints, after: Ints) -> list[str]:
    """The names of the fields that differ in any of the pairs of rows, in the table's order."""
    return [f.name for f in FIELDS if (f.codes(index, before) != f.codes(index, after)).any()]
