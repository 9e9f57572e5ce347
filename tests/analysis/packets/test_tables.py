import random

import numpy as np
import pandas as pd
import pytest

from labkit.analysis.packets.tables import integers, objects, records, words


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_minus_one_is_missing_and_all_else_as_it_was(kind: type[np.signedinteger]) -> None:
    dice = random.Random(1)
    values = [dice.choice((-1, 0, 1, 80, 2**31 - 1)) for _ in range(100)]
    column = pd.Series(integers(np.array(values, dtype=np.int64), kind))
    assert column.dtype.name == np.dtype(kind).name.replace("int", "Int")
    assert [None if value is pd.NA else value for value in column] == [None if v < 0 else v for v in values]


@pytest.mark.parametrize(
    ("codes", "names", "column"),
    [
        ([0, 1, 0], ["a", "b"], ["a", "b", "a"]),
        ([0, -1], ["a"], ["a", None]),
        ([0, 1, 2], ["a", None, "c"], ["a", None, "c"]),
        ([0, 1], ["same", "same"], ["same", "same"]),  # two codes of one text
        ([], [], []),
        ([-1], [], [None]),
    ],
)
def test_a_text_column_of_codes(codes: list[int], names: list[str | None], column: list[str | None]) -> None:
    found = words(np.array(codes, dtype=np.int64), names)
    assert [None if value is np.nan else value for value in found] == column
    assert list(found.categories) == list(dict.fromkeys(name for name in names if name is not None))


@pytest.mark.parametrize(
    "values", [[], [None], [1, None, "x"], [(1, 2), (), (3,)], [[1], [2]], [{"a": 1}, None], [1.5, 2]]
)
def test_objects_stay_what_they_are(values: list[object]) -> None:
    for given in (values, iter(values)):
        column = objects(given)
        assert column.dtype == object
        assert all(one is two for one, two in zip(column, values, strict=True))
    array = np.empty(len(values), dtype=object)
    array[:] = [*map(tuple, values)] if values and isinstance(values[0], list) else values
    assert list(objects(array)) == list(array)


def test_rows_as_a_table_also_without_rows() -> None:
    frame = records([{"a": 1, "b": (1, 2), "left out": 0}, {"b": None, "a": "x"}], ("b", "a"))
    assert (list(frame.columns), frame.to_numpy().tolist()) == (["b", "a"], [[(1, 2), 1], [None, "x"]])
    empty = records([], ("b", "a"))
    assert (list(empty.columns), len(empty)) == (["b", "a"], 0)
    assert {str(kind) for kind in [*frame.dtypes, *empty.dtypes]} == {"object"}
    with pytest.raises(KeyError):
        records([{"a": 1}], ("b",))
