"""Weights as turns: who is served at each step of a round, spread evenly over it. Pure."""

from collections.abc import Sequence
from math import gcd

from labkit.errors import PolicyError

MOST_WEIGHT = 256
MOST_TURNS = 4096  # each is an entry of the kernel's map, which a switch has to write


def turns(weights: Sequence[int]) -> tuple[int, ...]:
    """The positions in *weights* in the order of a round, each as often as its weight beside the others'.

    ``(1, 1)`` and ``(2, 2)`` give ``(0, 1)``; ``(3, 1)`` gives ``(0, 0, 1, 0)``: the turns of one stand as far apart
    as they can. PolicyError if a round would have more than `MOST_TURNS`.
    """
    common = gcd(*weights)
    shares = [weight // common for weight in weights]
    if sum(shares) > MOST_TURNS:
        raise PolicyError(
            f"These weights make rounds of {sum(shares):,} turns, and a round has at most {MOST_TURNS:,}: "
            "use smaller ones, or ones with a common divisor."
        )
    # The k-th of w turns stands in the middle of the k-th of w equal parts of the round.
    places = [((2 * turn + 1) / (2 * share), number) for number, share in enumerate(shares) for turn in range(share)]
    return tuple(number for _, number in sorted(places))
