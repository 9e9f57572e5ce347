"""Columns of pandas tables: whole numbers that may be missing, and objects that pandas shall leave as they are.

Numbers read from packets are nullable integers (`Int64`, missing: `pd.NA`); names, tuples and ids that come from
events are Python objects (missing: None).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .frames import Ints


def integers(values: Ints) -> pd.api.extensions.ExtensionArray:
    """Nullable integers; -1 is missing."""
    return pd.arrays.IntegerArray(values.astype(np.int64), values < 0)


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
