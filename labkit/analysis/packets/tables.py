"""Columns of pandas tables: whole numbers that may be missing, and objects that pandas shall leave as they are.

Numbers read from packets are nullable integers (`Int64`, missing: `pd.NA`); names, tuples and ids that come from
events are Python objects (missing: None).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .frames import MISSING, Ints


def integers(values: Ints, kind: npt.DTypeLike = np.int64) -> pd.api.extensions.ExtensionArray:
    """Nullable integers of *kind*; -1 is missing."""
    return pd.arrays.IntegerArray(values.astype(kind), values < 0)


def words(codes: Ints, names: Sequence[str | None]) -> pd.Categorical:
    """A text column of few distinct texts: codes are places in *names*; -1, and names that are None, are missing."""
    distinct = list(dict.fromkeys(name for name in names if name is not None))
    place = {name: number for number, name in enumerate(distinct)}
    renumbered = np.array(
        [*(place.get(name, MISSING) if name is not None else MISSING for name in names), MISSING], dtype=np.int32
    )
    return pd.Categorical.from_codes(renumbered[codes], categories=pd.Index(distinct, dtype=object))


def objects(values: Iterable[Any]) -> "pd.Series[Any]":
    """A column of any Python values, None and tuples included, as they are."""
    if isinstance(values, np.ndarray) and values.dtype == object:
        return pd.Series(values, dtype=object)
    kept = list(values)
    column = np.empty(len(kept), dtype=object)
    for place, value in enumerate(kept):
        column[place] = value
    return pd.Series(column, dtype=object)


def records(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of *rows*, every column an object column, in the order of *columns*; also without rows."""
    return pd.DataFrame({name: objects(row[name] for row in rows) for name in columns}, columns=list(columns))
