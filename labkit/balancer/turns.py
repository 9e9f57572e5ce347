"""Weights as turns: who is served at each step of a round, spread evenly over it. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

from labkit.errors import PolicyError

MOST_WEIGHT = 256
MOST_TURNS = 4096  # each is an entry of the kernel's map, which a switch has to write


def turns(weights: Sequence[int]) -> tuple[int, ...]:
    """The positions in *weights* in the order of a round, each as often as its weight beside the others'.

    ``(1, 1)`` and ``(2, 2)`` give ``(0, 1)``; ``(3, 1)`` gives ``(0, 0, 1, 0)``: the turns of one stand far apart.
    PolicyError if a round would have more than `MOST_TURNS`.
    """
    common = gcd(*weights)
    shares = [weight // common for weight in weights]
    if sum(shares) > MOST_TURNS:
        raise PolicyError(
            f"These weights make rounds of {sum(shares):,} turns, and a round has at most {MOST_TURNS:,}: "
            "use smaller ones, or ones with a common divisor."
        )
    return tuple(range(len(shares))) if set(shares) == {1} else _smooth(tuple(shares))


@lru_cache(maxsize=32)
def _smooth(shares: tuple[int, ...]) -> tuple[int, ...]:
    """nginx's smooth weighted round robin: all save up their share at each step; the richest is served and pays all."""
    total, saved, order = sum(shares), [0] * len(shares), []
    for _ in range(total):
        saved = [have + share for have, share in zip(saved, shares, strict=True)]
        richest = saved.index(max(saved))
        saved[richest] -= total
        order.append(richest)
    return tuple(order)
