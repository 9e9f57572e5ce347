"""Maglev's table: even shares, and few changes when a backend goes or comes."""

from collections import Counter

import pytest

from labkit.balancer.maglev import SIZE, table

TEN = [(f"api{number}", 1) for number in range(1, 11)]


def moved(before: tuple[str, ...], after: tuple[str, ...], gone: str) -> float:
    """The share of slots that changed hands though their backend stayed."""
    return sum(one != other for one, other in zip(before, after, strict=True) if one != gone) / len(before)


def test_its_size_is_a_prime() -> None:
    assert all(SIZE % divisor for divisor in range(2, int(SIZE**0.5) + 1))


@pytest.mark.parametrize("backends", [TEN[:1], TEN[:3], TEN])
def test_shares_differ_by_one_slot_at_most(backends: list[tuple[str, int]]) -> None:
    shares = Counter(table(backends))
    assert set(shares) == {name for name, _ in backends}
    assert max(shares.values()) - min(shares.values()) <= 1
    assert shares.total() == SIZE


def test_weights_are_shares() -> None:
    shares = Counter(table([("a", 1), ("b", 2), ("c", 4)]))
    assert [abs(shares[name] - SIZE * weight / 7) < 2 for name, weight in (("a", 1), ("b", 2), ("c", 4))] == [True] * 3


def test_taking_any_one_of_ten_away_moves_few_slots_of_the_others() -> None:
    full = table(TEN)
    for name, weight in TEN:
        less = table([backend for backend in TEN if backend != (name, weight)])
        assert name not in less
        assert 0 < moved(full, less, name) < 0.05


def test_a_changed_weight_moves_few_slots() -> None:
    full, heavier = table(TEN), table([("api1", 2), *TEN[1:]])
    gained = Counter(heavier)["api1"] - Counter(full)["api1"]
    assert gained > 0.08 * SIZE
    assert sum(one != other for one, other in zip(full, heavier, strict=True)) / SIZE < 0.2


def test_it_is_made_from_names_and_weights_alone_in_any_order() -> None:
    assert table(reversed(TEN)) == table(iter(TEN)) == table(list(TEN))
    assert table([("solo", 5)], 7) == ("solo",) * 7
    assert table([]) == ()
