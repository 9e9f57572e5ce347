"""Equal things put together: rows sorted by keys of several 64-bit words, as runs, in a few passes.

A run is a stretch of positions; `begin` arrays have one entry more than there are runs, the last being the end.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from labkit.analysis.packets.frames import Bools, Ints, Words

_AT_ONCE = 1 << 18  # rows: many enough that threads seldom wait for each other
_SEEDS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


def together(words: Sequence[Words]) -> tuple[Ints, Bools]:
    """The order that puts rows with equal words together (those in their own order), and where each run begins.

    Runs are in order of their first row. Sorted is a hash with the row's number below it; where the hash of unequal
    words is equal, the words decide.
    """
    count = len(words[0])
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    low = np.uint64((1 << (count - 1).bit_length()) - 1)
    packed = np.empty(count, dtype=np.uint64)

    def pack(part: slice) -> None:
        mixed = _hash([word[part] for word in words])
        mixed &= ~low
        np.bitwise_or(mixed, np.arange(part.start, part.stop, dtype=np.uint64), out=packed[part])

    side_by_side(pack, count)
    packed.sort()
    new = np.ones(count, dtype=bool)
    np.greater(packed[1:] ^ packed[:-1], low, out=new[1:])
    packed &= low
    order = packed.view(np.int64)
    order, new = _by_first(order, new)
    differ = ~new
    differ[1:] &= _unequal(words, order)
    if differ.any():
        _separate(words, order, new, differ)
        order, new = _by_first(order, new)
    return order, new


def side_by_side(work: Callable[[slice], None], count: int) -> None:
    """Let *work* do with all of *count* rows, so many at a time.

    Two at once, for numpy works without the interpreter's lock. Each slice has its true end.
    """
    parts = [slice(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
    if len(parts) < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, parts))


def _by_first(order: Ints, new: Bools) -> tuple[Ints, Bools]:
    """The same runs in order of their first rows. What is near in time is then near in memory."""
    place, begin = reordered(begins(new), first_rank(order, begins(new)))
    new = np.zeros(len(order), dtype=bool)
    new[begin[:-1]] = True
    return order[place], new


def first_rank(rows: Ints, begin: Ints) -> Ints:
    """The numbers of the runs of *rows* in order of their first ones."""
    return np.argsort(rows[begin[:-1]])


def _hash(words: Sequence[Words]) -> Words:
    mixed = np.zeros(len(words[0]), dtype=np.uint64)
    for word, seed in zip(words, _SEEDS, strict=False):
        mixed ^= word
        mixed *= np.uint64(seed)
        mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(_SEEDS[0])
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(_SEEDS[1])
    return mixed


def _unequal(words: Sequence[Words], order: Ints) -> Bools:
    """Whether each row in *order* but the first has other words than the one before it."""
    found = np.zeros(len(order) - 1, dtype=bool)
    for word in words:
        ordered = word[order]
        found |= ordered[1:] != ordered[:-1]
    return found


def _separate(words: Sequence[Words], order: Ints, new: Bools, differ: Bools) -> None:
    """Sort the runs in which words differ by the words themselves; *order* and *new* are mended in place."""
    run = np.cumsum(new) - 1
    mixed = np.zeros(int(run[-1]) + 1, dtype=bool)
    mixed[run[differ]] = True
    places = np.flatnonzero(mixed[run])
    rows = order[places]
    rows = rows[np.lexsort((rows, *(word[rows] for word in words), run[places]))]
    order[places] = rows
    new[places[1:]] |= _unequal(words, rows) & (places[1:] == places[:-1] + 1)


def begins(new: Bools) -> Ints:
    """Where the runs begin, and the end."""
    return np.append(np.flatnonzero(new), len(new))


def reordered(begin: Ints, rank: Ints) -> tuple[Ints, Ints]:
    """Put runs into another order: the old position of every new one, and the new `begin`.

    rank: the old numbers of the runs in their new order.
    """
    length = np.diff(begin)[rank]
    after = np.append(0, np.cumsum(length))
    return np.arange(after[-1]) + np.repeat(begin[rank] - after[:-1], length), after


def holds_twice(values: npt.NDArray[np.integer], begin: Ints, distinct: int) -> Bools:
    """For each run, whether a value (0 to *distinct* - 1) stands in it more than once."""
    if not len(values):
        return np.zeros(len(begin) - 1, dtype=bool)
    if distinct < 63:  # as bits: their sum is their union if and only if none is there twice
        length = np.diff(begin)
        if int(length.max()) < 1 << (62 - distinct):
            bits = np.int64(1) << values.astype(np.int64)
            return np.asarray(np.add.reduceat(bits, begin[:-1]) != np.bitwise_or.reduceat(bits, begin[:-1]))
    run = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    order = np.lexsort((values, run))
    twice = (run[order][1:] == run[order][:-1]) & (values[order][1:] == values[order][:-1])
    found = np.zeros(len(begin) - 1, dtype=bool)
    found[run[order][1:][twice]] = True
    return found
