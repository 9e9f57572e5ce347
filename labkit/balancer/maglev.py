"""Maglev's consistent hashing: a table from slot to backend that changes little when a backend comes or goes.

From Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), §3.4. Each backend
has an order of its own over all slots, made from its name alone; they take turns, and each takes the first slot
of its order that is still free. So the shares are even, and where one backend leaves, most of the others find
their slots again. Pure; compiling the table to rules is the engine's part.
"""

from collections.abc import Iterable
from functools import lru_cache

from labkit.balancer.jhash import slot

# A prime, so that every step leads through all slots. Always the same, however many backends there are: with another
# size every flow would move. 100 slots for each of 10 backends keep the shares within a percent (the paper's rule); a
# larger table is slower to switch to, and longer to read.
SIZE = 1021
_OFFSET, _STEP = 0x6F666673, 0x73746570  # seeds


def table(backends: Iterable[tuple[str, int]], size: int = SIZE) -> tuple[str, ...]:
    """The backend of each of *size* slots (a prime), from pairs of name and weight (1 or more) in any order.

    A backend of weight 2 takes a slot twice as often as one of weight 1. Empty without backends.
    """
    return _table(tuple(sorted(backends)), size)


@lru_cache(maxsize=32)
def _table(backends: tuple[tuple[str, int], ...], size: int) -> tuple[str, ...]:
    if not backends:
        return ()
    owners: list[str | None] = [None] * size
    next_slot = [slot(name.encode(), size, _OFFSET) for name, _ in backends]
    steps = [1 + slot(name.encode(), size - 1, _STEP) for name, _ in backends]
    heaviest = max(weight for _, weight in backends)
    credit = [0] * len(backends)
    free = size
    while True:
        for number, (name, weight) in enumerate(backends):
            credit[number] += weight
            if credit[number] < heaviest:
                continue
            credit[number] -= heaviest
            place = next_slot[number]
            while owners[place] is not None:
                place = (place + steps[number]) % size
            owners[place] = name
            next_slot[number] = (place + steps[number]) % size
            free -= 1
            if not free:
                return tuple(name for name in owners if name is not None)
