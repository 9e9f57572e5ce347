"""Weights as turns of a round."""

from collections import Counter

import pytest

from labkit.balancer.turns import MOST_TURNS, turns
from labkit.errors import PolicyError


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((1,), (0,)),
        ((7,), (0,)),
        ((1, 1), (0, 1)),
        ((6, 6, 6), (0, 1, 2)),
        ((3, 1), (0, 0, 1, 0)),
        ((2, 4), (1, 0, 1)),
        ((5, 1, 1), (0, 0, 1, 0, 2, 0, 0)),
    ],
)
def test_a_round_is_as_short_as_it_can_be_and_spread(weights: tuple[int, ...], order: tuple[int, ...]) -> None:
    found = turns(weights)
    assert Counter(found) == Counter(order)
    assert found == order


def test_in_every_part_of_a_round_each_has_about_its_share() -> None:
    weights = (7, 3, 2, 1)
    order = turns(weights)
    for length in range(1, len(order) + 1):
        served = Counter(order[:length])
        assert all(abs(served[number] - length * weight / 13) <= 1 for number, weight in enumerate(weights))


def test_a_round_has_an_end() -> None:
    assert len(turns((256, 255))) == 511
    assert len(turns((MOST_TURNS - 1, 1))) == MOST_TURNS
    with pytest.raises(PolicyError, match="a round has at most 4,096"):
        turns((MOST_TURNS, 1))
