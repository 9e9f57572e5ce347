"""Header fields as whole columns, by name, and what TCP's options and the other small headers mean.

`column(index, "tcp.mss")` is one number per packet, -1 where the packet has no such field. All fields of `headers` with
a number are here by the same names, and beside them those in `MORE`. Nothing is kept: a column is read when asked for.
"""

from collections.abc import Callable, Mapping

import numpy as np

from .field import Fixed, Rows, where
from .frames import MISSING, Ints
from .headers import BY_NAME
from .index import ETHERTYPE, TCP, Index
from .network import EXTENSIONS, EXTENSIONS_AT_MOST, FRAGMENT_HEADER

_ARP = ETHERTYPE + 0x0806
_OPTIONS_AT_MOST = 40  # bytes, so also options

# Kind of TCP option -> its length, and the fields in it: name -> (offset, width).
# RFC 9293 §3.2, RFC 7323 §2.2 and §3.2, RFC 2018 §2 and §3.
_TCP_OPTIONS: Mapping[int, tuple[int | None, Mapping[str, tuple[int, int]]]] = {
    2: (4, {"tcp.mss": (2, 2)}),
    3: (3, {"tcp.window_scale": (2, 1)}),
    4: (2, {"tcp.sack_permitted": (1, 1)}),
    5: (None, {"tcp.sack_left": (2, 4), "tcp.sack_right": (6, 4), "tcp.sack_blocks": (1, 1)}),
    8: (10, {"tcp.timestamp": (2, 4), "tcp.timestamp_echo": (6, 4)}),
}


def names() -> list[str]:
    """All names that `column` knows."""
    return [*(name for name, field in BY_NAME.items() if isinstance(field, Fixed)), *MORE]


def column(index: Index, name: str, rows: Ints | None = None) -> Ints:
    """The field called *name* of the packets at *rows* (None: of all). KeyError for a name that is not in `names()`."""
    at = Rows(index, np.arange(len(index)) if rows is None else rows)
    if name in MORE:
        return MORE[name](at)
    field = BY_NAME[name]
    if not isinstance(field, Fixed):
        raise KeyError(name)
    return field.codes_of(at)


def _tcp_options(at: Rows) -> dict[str, Ints]:
    """The fields of the common options; of a repeated option the first counts. Malformed options end the list.

    sack_permitted is 1 where it stands; sack_blocks how many there are, sack_left and sack_right of the first.
    """
    index, rows = at.index, at.rows
    base = where((index.proto[rows] == TCP) & (index.fragment[rows] == 0), index.l4[rows])
    words = at.frames.read(np.where(base >= 0, base + 12, MISSING), 1) >> 4
    end = np.where(base >= 0, base + words * 4, MISSING)
    found = {name: np.full(len(at), MISSING, dtype=np.int64) for _, fields in _TCP_OPTIONS.values() for name in fields}
    place, here = np.flatnonzero((base >= 0) & (words > 5)), base + 20
    for _ in range(_OPTIONS_AT_MOST):
        if not len(place):
            break
        frames, begin, stop = at.frames.take(place), here[place], end[place]
        kind = frames.read(begin, 1)
        length = np.where(kind == 1, 1, frames.read(begin + 1, 1))
        sound = (kind > 0) & ((kind == 1) | (length >= 2)) & (begin + length <= stop)
        for number, (exact, fields) in _TCP_OPTIONS.items():
            mine = sound & (kind == number) & ((length == exact) if exact else (length >= 10))
            if mine.any():
                _take(found, number, fields, place[mine], at, begin[mine])
        here[place] = begin + length
        place = place[sound & (begin + length < stop)]
    return found


def _take(
    found: dict[str, Ints], kind: int, fields: Mapping[str, tuple[int, int]], place: Ints, at: Rows, begin: Ints
) -> None:
    frames = at.frames.take(place)
    for name, (offset, width) in fields.items():
        values = frames.read(begin + offset, width)
        if kind == 4:
            values = np.where(values >= 0, 1, MISSING)
        elif name == "tcp.sack_blocks":
            values = np.where(values >= 0, (values - 2) // 8, MISSING)
        found[name][place] = np.where(found[name][place] < 0, values, found[name][place])


def _tcp_option(name: str) -> Callable[[Rows], Ints]:
    return lambda at: _tcp_options(at)[name]


def _vlan(tag: int, shift: int, mask: int) -> Callable[[Rows], Ints]:
    """Part of the control information of the outer (0) or inner (1) tag, IEEE 802.1Q §9.6."""

    def read(at: Rows) -> Ints:
        at_tag = where(at.index.link[at.rows] == 1, 12)
        for _ in range(tag):
            at_tag = np.where(_is_tag(at, at_tag), at_tag + 4, MISSING)
        there = np.where(_is_tag(at, at_tag), at_tag + 2, MISSING)
        raw = at.frames.read(there, 2)
        return np.where(raw >= 0, raw >> shift & mask, MISSING)

    return read


def _is_tag(at: Rows, place: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.isin(at.frames.read(place, 2), (0x8100, 0x88A8))


def _arp(offset: int, width: int) -> Callable[[Rows], Ints]:
    """Of ARP for IPv4 over Ethernet (RFC 826), behind an Ethernet header with or without tags."""

    def read(at: Rows) -> Ints:
        tags = (_vlan(0, 0, 0)(at) >= 0).astype(np.int64) + (_vlan(1, 0, 0)(at) >= 0)
        base = where((at.index.proto[at.rows] == _ARP) & (at.index.link[at.rows] == 1), 14 + 4 * tags)
        plain = at.frames.read(base, 6) == 0x0001_0800_0604
        return at.frames.read(np.where(plain, base + offset, MISSING), width)

    return read


def _ip6_fragment(offset: int, width: int, shift: int, mask: int) -> Callable[[Rows], Ints]:
    """Of the first fragment header among an IPv6 packet's extensions (RFC 8200 §4.5)."""

    def read(at: Rows) -> Ints:
        base = where(at.index.version[at.rows] == 6, at.index.l3[at.rows])
        kind, here = at.frames.read(np.where(base >= 0, base + 6, MISSING), 1), np.where(base >= 0, base + 40, MISSING)
        found = np.full(len(at), MISSING, dtype=np.int64)
        for _ in range(EXTENSIONS_AT_MOST):
            found = np.where((found < 0) & (kind == FRAGMENT_HEADER), here, found)
            step = np.zeros(len(at), dtype=np.int64)
            for number, (unit, plus) in EXTENSIONS.items():
                size = at.frames.read(np.where(kind == number, here + 1, MISSING), 1)
                step = np.where(size >= 0, (size + plus) * unit, step)
            if not step.any():
                break
            kind = np.where(step > 0, at.frames.read(here, 1), MISSING)
            here = here + step
        raw = at.frames.read(np.where(found >= 0, found + offset, MISSING), width)
        return np.where(raw >= 0, raw >> shift & mask, MISSING)

    return read


MORE: Mapping[str, Callable[[Rows], Ints]] = {
    "eth.vlan.id": _vlan(0, 0, 0xFFF),
    "eth.vlan.priority": _vlan(0, 13, 0x7),
    "eth.vlan.inner.id": _vlan(1, 0, 0xFFF),
    "eth.vlan.inner.priority": _vlan(1, 13, 0x7),
    "ip6.fragment": _ip6_fragment(2, 2, 3, 0x1FFF),
    "ip6.fragment.more": _ip6_fragment(2, 2, 0, 0x1),
    "ip6.fragment.id": _ip6_fragment(4, 4, 0, 0xFFFFFFFF),
    "arp.operation": _arp(6, 2),
    "arp.src.mac": _arp(8, 6),
    "arp.src.ip": _arp(14, 4),
    "arp.dst.mac": _arp(18, 6),
    "arp.dst.ip": _arp(24, 4),
    **{name: _tcp_option(name) for _, fields in _TCP_OPTIONS.values() for name in fields},
}
