"""The header fields that are compared and shown, as a table: name, where it stands, how it is written.

Names are those of the recording's events (`ip.dst`, `tcp.dport` …). Every byte of the Ethernet, IP, TCP, UDP and ICMP
headers belongs to a field, and so does the packet that an ICMP error carries, so that a comparison field by field
misses no changed byte. What the options mean is read by `columns`.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np

from . import icmp
from .field import Base, Field, Fixed, Region, Rows, Span, where
from .frames import Ints
from .index import ICMP, ICMP6, TCP, UDP, Index, flag_names

__all__ = ["BY_NAME", "FIELDS", "RANK", "Field", "Fixed", "Region", "names_rewritten", "rewritten"]


def _ethernet(at: Rows) -> Ints:
    return where(at.index.link[at.rows] == 1, 0)


def _ethertype(at: Rows) -> Ints:
    l3 = at.index.l3[at.rows].astype(np.int64)
    return where((at.index.link[at.rows] == 1) & (l3 >= 0), l3 - 2)


def _ip4(at: Rows) -> Ints:
    return where(at.index.version[at.rows] == 4, at.index.l3[at.rows])


def _ip6(at: Rows) -> Ints:
    return where(at.index.version[at.rows] == 6, at.index.l3[at.rows])


def _behind(*protocols: int) -> Base:
    """Where the header of these protocols begins, in packets that have it."""

    def base(at: Rows) -> Ints:
        there = np.isin(at.index.proto[at.rows], protocols) & (at.index.fragment[at.rows] == 0)
        return where(there, at.index.l4[at.rows])

    return base


_tcp, _udp, _icmp = _behind(TCP), _behind(UDP), _behind(ICMP, ICMP6)


def _tags(at: Rows) -> tuple[Ints, Ints]:
    l3 = at.index.l3[at.rows].astype(np.int64)
    tagged = (at.index.link[at.rows] == 1) & (l3 > 14)
    return where(tagged, 12), where(tagged, l3 - 2)


def _bytes(base: Base, begin: int, end: int) -> Span:
    def span(at: Rows) -> tuple[Ints, Ints]:
        first = at.base(base)
        return where(first >= 0, first + begin), where(first >= 0, first + end)

    return span


def _ip_options(at: Rows) -> tuple[Ints, Ints]:
    l4 = at.index.l4[at.rows].astype(np.int64)
    begin = at.index.l3[at.rows].astype(np.int64) + np.where(at.index.version[at.rows] == 6, 40, 20)
    return where(l4 > begin, begin), where(l4 > begin, l4)


def _tcp_options(at: Rows) -> tuple[Ints, Ints]:
    begin, payload = at.base(_tcp) + 20, at.index.payload[at.rows].astype(np.int64)
    there = (begin >= 20) & (payload > begin)
    return where(there, begin), where(there, payload)


def _error(at: Rows) -> Ints:
    """Where the packet that an ICMP error carries begins."""
    begin = where(icmp.is_error(at.index, at.rows), at.index.l4[at.rows].astype(np.int64) + 8)
    return where(np.isin(at.frames.read(begin, 1) >> 4, (4, 6)), begin)


def _inner_bytes(place4: int, place6: int, width4: int, width6: int) -> Span:
    """Bytes of the IP header inside an error, whose place and width its version decides (a width of 0: it has none)."""

    def span(at: Rows) -> tuple[Ints, Ints]:
        base = at.base(_error)
        if not (base >= 0).any():
            return base, base
        six = at.frames.read(base, 1) >> 4 == 6
        begin, width = base + np.where(six, place6, place4), np.where(six, width6, width4)
        there = (base >= 0) & (width > 0)
        return where(there, begin), where(there, begin + width)

    return span


def _carried(begin: int, end: int | None) -> Span:
    """Bytes behind the IP header inside an error; end None: all that are left."""

    def span(at: Rows) -> tuple[Ints, Ints]:
        base = at.base(_error)
        if not (base >= 0).any():
            return base, base
        first = at.frames.read(base, 1)
        l4 = np.where(first >> 4 == 6, base + 40, base + (first & 0xF) * 4)
        last = at.frames.captured if end is None else l4 + end
        return where(base >= 0, l4 + begin), where(base >= 0, last)

    return span


def _mac(value: int) -> str:
    return value.to_bytes(6).hex(":")


def _hexadecimal(value: int) -> str:
    return f"0x{value:04x}"


def _text4(value: int) -> str:
    return str(IPv4Address(value))


def _text6(raw: bytes) -> str:
    return str(IPv6Address(raw)) if len(raw) == 16 else raw.hex()


def _address(raw: bytes) -> str:
    return str(ip_address(raw)) if len(raw) in (4, 16) else raw.hex()


def _hexadecimal_bytes(raw: bytes) -> str:
    return f"0x{raw.hex()}"


FIELDS: tuple[Field, ...] = (
    Fixed("Ethernet", "eth.src", _ethernet, 6, 6, _mac),
    Fixed("Ethernet", "eth.dst", _ethernet, 0, 6, _mac),
    Region("Ethernet", "eth.vlan", _tags),
    Fixed("Ethernet", "eth.type", _ethertype, 0, 2, _hexadecimal),
    Fixed("IP", "ip.src", _ip4, 12, 4, _text4),
    Fixed("IP", "ip.dst", _ip4, 16, 4, _text4),
    Fixed("IP", "ip.ttl", _ip4, 8, 1),
    Fixed("IP", "ip.proto", _ip4, 9, 1),
    Fixed("IP", "ip.id", _ip4, 4, 2),
    Fixed("IP", "ip.checksum", _ip4, 10, 2, _hexadecimal),
    Fixed("IP", "ip.version", _ip4, 0, 1, shift=4),
    Fixed("IP", "ip.header_length", _ip4, 0, 1, mask=0xF, unit=4),
    Fixed("IP", "ip.dscp", _ip4, 1, 1, shift=2),
    Fixed("IP", "ip.ecn", _ip4, 1, 1, mask=0x3),
    Fixed("IP", "ip.length", _ip4, 2, 2),
    Fixed("IP", "ip.flags", _ip4, 6, 1, shift=5),
    Fixed("IP", "ip.fragment", _ip4, 6, 2, mask=0x1FFF),
    Region("IP", "ip6.src", _bytes(_ip6, 8, 24), _text6),
    Region("IP", "ip6.dst", _bytes(_ip6, 24, 40), _text6),
    Fixed("IP", "ip6.hlim", _ip6, 7, 1),
    Fixed("IP", "ip6.nexthdr", _ip6, 6, 1),
    Fixed("IP", "ip6.version", _ip6, 0, 1, shift=4),
    Fixed("IP", "ip6.class", _ip6, 0, 2, shift=4, mask=0xFF),
    Fixed("IP", "ip6.flow", _ip6, 0, 4, mask=0xFFFFF),
    Fixed("IP", "ip6.length", _ip6, 4, 2),
    Region("IP", "ip.options", _ip_options),
    Fixed("TCP", "tcp.sport", _tcp, 0, 2),
    Fixed("TCP", "tcp.dport", _tcp, 2, 2),
    Fixed("TCP", "tcp.seq", _tcp, 4, 4),
    Fixed("TCP", "tcp.ack", _tcp, 8, 4),
    Fixed("TCP", "tcp.flags", _tcp, 12, 2, flag_names, mask=0x1FF),
    Fixed("TCP", "tcp.window", _tcp, 14, 2),
    Fixed("TCP", "tcp.checksum", _tcp, 16, 2, _hexadecimal),
    Fixed("TCP", "tcp.urgent", _tcp, 18, 2),
    Fixed("TCP", "tcp.header_length", _tcp, 12, 1, shift=4, unit=4),
    Fixed("TCP", "tcp.reserved", _tcp, 12, 1, shift=1, mask=0x7),
    Region("TCP", "tcp.options", _tcp_options),
    Fixed("UDP", "udp.sport", _udp, 0, 2),
    Fixed("UDP", "udp.dport", _udp, 2, 2),
    Fixed("UDP", "udp.length", _udp, 4, 2),
    Fixed("UDP", "udp.checksum", _udp, 6, 2, _hexadecimal),
    Fixed("ICMP", "icmp.type", _icmp, 0, 1),
    Fixed("ICMP", "icmp.code", _icmp, 1, 1),
    Fixed("ICMP", "icmp.checksum", _icmp, 2, 2, _hexadecimal),
    Fixed("ICMP", "icmp.rest", _icmp, 4, 4, _hexadecimal),
    Region("ICMP", "icmp.ip.src", _inner_bytes(12, 8, 4, 16), _address),
    Region("ICMP", "icmp.ip.dst", _inner_bytes(16, 24, 4, 16), _address),
    Region("ICMP", "icmp.ip.ttl", _inner_bytes(8, 7, 1, 1), int.from_bytes),
    Region("ICMP", "icmp.ip.checksum", _inner_bytes(10, -1, 2, 0), _hexadecimal_bytes),
    Region("ICMP", "icmp.ip.first", _inner_bytes(0, 0, 8, 7)),
    Region("ICMP", "icmp.ip.proto", _inner_bytes(9, -1, 1, 0), int.from_bytes),
    Region("ICMP", "icmp.sport", _carried(0, 2), int.from_bytes),
    Region("ICMP", "icmp.dport", _carried(2, 4), int.from_bytes),
    Region("ICMP", "icmp.data", _carried(4, None)),
)
BY_NAME = {field.name: field for field in FIELDS}
RANK = {field.name: place for place, field in enumerate(FIELDS)}


def rewritten(index: Index, before: Ints, after: Ints) -> list[dict[str, tuple[object, object]]]:
    """For each pair of rows the fields whose bytes differ, as name -> (before, after), in the table's order."""
    changes: list[dict[str, tuple[object, object]]] = [{} for _ in range(len(before))]
    some = _not_alike(index, before, after)
    before, after = before[some], after[some]
    one, two = Rows(index, before), Rows(index, after)
    for field in FIELDS:
        differ = np.flatnonzero(field.codes_of(one) != field.codes_of(two))
        if not len(differ):
            continue
        pairs = zip(field.shown(index, before[differ]), field.shown(index, after[differ]), strict=True)
        for place, pair in zip(some[differ].tolist(), pairs, strict=True):
            changes[place][field.name] = pair
    return changes


def names_rewritten(index: Index, before: Ints, after: Ints) -> list[str]:
    """The names of the fields that differ in any of the pairs of rows, in the table's order."""
    some = _not_alike(index, before, after)
    one, two = Rows(index, before[some]), Rows(index, after[some])
    return [field.name for field in FIELDS if (field.codes_of(one) != field.codes_of(two)).any()]


def _not_alike(index: Index, before: Ints, after: Ints) -> Ints:
    """The places of the pairs whose bytes in front of the payload are not the same."""
    rows, place = np.unique(np.concatenate([before, after]), return_inverse=True)
    frames, proto = index.frames.take(rows), index.proto[rows]
    ported = ((proto == TCP) | (proto == UDP)) & (index.payload[rows] >= 0)
    end = np.where(ported, np.minimum(index.payload[rows], frames.captured), frames.captured)
    digest = frames.digest(np.zeros(len(rows), dtype=np.int64), end)
    return np.flatnonzero(digest[place[: len(before)]] != digest[place[len(before) :]])
