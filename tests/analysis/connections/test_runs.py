import itertools

import numpy as np
import pytest

from labkit.analysis.connections import runs


def words_of(seed: int, count: int, distinct: int) -> list[np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return [generator.integers(0, distinct, count, dtype=np.uint64) for _ in range(2)]


@pytest.mark.parametrize(("count", "distinct"), [(0, 1), (1, 1), (2, 1), (2, 9), (1000, 3), (1000, 40), (5000, 2**63)])
def test_equal_rows_stand_together_in_their_own_order(count: int, distinct: int) -> None:
    words = words_of(count, count, distinct)
    order, new = runs.together(words)
    assert sorted(order.tolist()) == list(range(count))
    keys = list(zip(*(word.tolist() for word in words), strict=True))
    wanted: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(keys):
        wanted.setdefault(key, []).append(row)
    begin = runs.begins(new).tolist()
    found = [order[a:b].tolist() for a, b in itertools.pairwise(begin)]
    assert found == list(wanted.values())  # in order of their first row


def test_where_hashes_agree_the_words_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_hash", lambda words: words[0] & np.uint64(1) << np.uint64(63))
    test_equal_rows_stand_together_in_their_own_order(1000, 40)
    test_equal_rows_stand_together_in_their_own_order(1000, 2**63)


def test_runs_change_places_whole() -> None:
    place, begin = runs.reordered(np.array([0, 2, 3, 6]), np.array([2, 0, 1]))
    assert place.tolist() == [3, 4, 5, 0, 1, 2]
    assert begin.tolist() == [0, 3, 5, 6]
    place, begin = runs.reordered(np.array([0]), np.zeros(0, dtype=np.int64))
    assert (place.tolist(), begin.tolist()) == ([], [0])


@pytest.mark.parametrize("distinct", [5, 62, 63, 1000])
def test_what_stands_twice_in_a_run_is_found(distinct: int) -> None:
    generator = np.random.Generator(np.random.PCG64(distinct))
    for _ in range(20):
        lengths = generator.integers(1, 9, 30)
        begin = np.append(0, np.cumsum(lengths))
        values = generator.integers(0, distinct, begin[-1]).astype(np.int16)
        wanted = [len(set(values[a:b].tolist())) < b - a for a, b in itertools.pairwise(begin)]
        assert runs.holds_twice(values, begin, distinct).tolist() == wanted
    assert runs.holds_twice(np.zeros(0, dtype=np.int16), np.array([0]), distinct).tolist() == []


@pytest.mark.parametrize(
    ("rows", "begin", "rank"),
    [
        ([4, 5, 0, 9, 2], [0, 2, 3, 5], [1, 0, 2]),  # by the first of each alone: 4, 0, 9
        ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2]),
        ([3], [0, 1], [0]),
        ([], [0], []),
    ],
)
def test_runs_rank_by_their_first_rows(rows: list[int], begin: list[int], rank: list[int]) -> None:
    found = runs.first_rank(np.array(rows, dtype=np.int64), np.array(begin))
    assert found.tolist() == rank
