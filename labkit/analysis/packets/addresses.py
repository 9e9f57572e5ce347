"""A small number for every IP address, in order of appearance, and the addresses as text.

Captures have many packets and few addresses: a table indexed by a hash finds nearly all of them in a few passes;
what it misses is looked up one distinct address at a time.
"""

from ipaddress import IPv4Address, IPv6Address
from threading import Lock

import numpy as np
import numpy.typing as npt

from .frames import MISSING, Bools, Ints, Words

_SLOT_BITS = 14
_FEW = 64  # addresses that are looked up one by one at first
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Addresses:
    """Numbers addresses as they come, from several threads too.

    By number, names: their texts; sums: their one's complement sums (RFC 1071), 0 to 65,534.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: list[int] = []
        self._lock = Lock()
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._known = {version: _Table() for version in (4, 6)}
        self._pairs = _Pairs()

    def four(self, values: Ints) -> Ints:
        """Numbers of IPv4 addresses given as integers; -1 for -1."""
        return self._number(4, np.zeros(len(values), dtype=np.uint64), values, values < 0)

    def six(self, *parts: Ints) -> Ints:
        """Numbers of IPv6 addresses given as four integers each of 32 bits; -1 where the last is -1."""
        first, second, third, fourth = (part.clip(0).astype(np.uint64) for part in parts)
        high, low = first << np.uint64(32) | second, third << np.uint64(32) | fourth
        return self._number(6, high, low, parts[3] < 0)

    def pairs(self, values: Words, wanted: Bools) -> tuple[Ints, Ints]:
        """Numbers of source and target in IPv4 headers, whose eight bytes *values* are as a little-endian word.

        Where they are not *wanted* they mean nothing.
        """
        source, target, hit = self._pairs.find(values)
        lost = np.flatnonzero(wanted & ~hit)
        if len(lost):
            ends = values[lost].astype("<u8").view(">u4").reshape(-1, 2).astype(np.int64)
            source[lost], target[lost] = self.four(ends[:, 0]), self.four(ends[:, 1])
            with self._lock:
                self._pairs.learn(values[lost], source[lost], target[lost])
        return source, target

    def _number(self, version: int, high: Words, values: npt.NDArray[np.generic], absent: Bools) -> Ints:
        low = values.astype(np.uint64)
        table, some = self._known[version], _FEW
        number, hit = table.find(high, low)
        lost = np.flatnonzero(~hit & ~absent)
        while len(lost):  # learn the addresses of a few packets, which are those of most others too
            few, lost, some = lost[:some], lost[some:], some * 8
            pairs = np.stack([high[few], low[few]], axis=1)
            distinct, place = np.unique(pairs, axis=0, return_inverse=True)
            with self._lock:
                numbers = [self._new(version, one, two) for one, two in distinct.tolist()]
                table.learn(distinct[:, 0], distinct[:, 1], np.array(numbers))
            number[few] = np.array(numbers, dtype=np.int64)[place.ravel()]
            number[lost], hit = table.find(high[lost], low[lost])
            lost = lost[~hit]
        number[absent] = MISSING
        return number

    def _new(self, version: int, high: int, low: int) -> int:
        key = (version, high, low)
        if key not in self._numbers:
            self._numbers[key] = len(self.names)
            self.sums.append((high << 64 | low) % 0xFFFF)
            self.names.append(str(IPv4Address(low)) if version == 4 else str(IPv6Address(high << 64 | low)))
        return self._numbers[key]


class _Table:
    """The address met last in every slot, with its number. Replaced whole, so that readers need no lock."""

    def __init__(self) -> None:
        size = 1 << _SLOT_BITS
        self._slots: tuple[Words, Words, Ints] = (
            np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint64), np.full(size, MISSING, dtype=np.int64),
        )  # fmt: skip

    def find(self, high: Words, low: Words) -> tuple[Ints, Bools]:
        highs, lows, numbers = self._slots
        slot = _slot(high, low)
        number = numbers[slot]
        return number, (lows[slot] == low) & (highs[slot] == high) & (number >= 0)

    def learn(self, high: Words, low: Words, number: Ints) -> None:
        highs, lows, numbers = (self._slots[0].copy(), self._slots[1].copy(), self._slots[2].copy())
        slot, last = np.unique(_slot(high, low)[::-1], return_index=True)  # of several in a slot, one wins
        highs[slot], lows[slot], numbers[slot] = (values[::-1][last] for values in (high, low, number))
        self._slots = highs, lows, numbers


class _Pairs:
    """The same for two IPv4 addresses at once, as most packets have the two that a packet before them had."""

    def __init__(self) -> None:
        size = 1 << _SLOT_BITS
        self._slots: tuple[Words, Ints, Ints] = (
            np.zeros(size, dtype=np.uint64), np.full(size, MISSING, np.int32), np.full(size, MISSING, np.int32),
        )  # fmt: skip

    def find(self, values: Words) -> tuple[Ints, Ints, Bools]:
        known, sources, targets = self._slots
        slot = _pair_slot(values)
        source = sources[slot]
        return source, targets[slot], (known[slot] == values) & (source >= 0)

    def learn(self, values: Words, source: Ints, target: Ints) -> None:
        known, sources, targets = self._slots[0].copy(), self._slots[1].copy(), self._slots[2].copy()
        slot, one = np.unique(_pair_slot(values), return_index=True)  # of several in a slot, one wins
        known[slot], sources[slot], targets[slot] = values[one], source[one], target[one]
        self._slots = known, sources, targets


def _pair_slot(values: Words) -> Ints:
    return (values * _MULTIPLIER >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)


def _slot(high: Words, low: Words) -> Ints:
    mixed = (low ^ high * _MULTIPLIER) * _MULTIPLIER
    return (mixed >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
