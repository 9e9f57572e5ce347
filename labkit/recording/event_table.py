"""Very many events of one kind as one table of columns, and back: a large capture has a decision for each connection.

Pure: events in, JSON-able values out. What is written this way is read in a twentieth of the time that one event at a
time takes. The shape stands in docs/pcapng.md; `pcapng_writer` puts it into blocks, `pcapng_evidence` takes it out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from .events import are_sound, is_sound

A_RUN: Final = 64  # events in a row from which on a table is written
MOST_ROWS: Final = 1 << 14  # of one table
LONGEST_WORD: Final = 500  # characters: a few bytes must not stand for very many
_PLAIN: Final = (str, int, bool, type(None))


def pieces(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events in their order: ``{"event": …}`` for one alone, ``{"events": table}`` for a run of like ones."""
    for shape, run in groupby(events, _shape):
        like = list(run)
        if shape is None or len(like) < A_RUN:
            yield from ({"event": dict(event)} for event in like)
            continue
        for first in range(0, len(like), MOST_ROWS):
            yield {"events": _table(list(shape), like[first : first + MOST_ROWS])}


def _shape(event: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Kind and keys of an event that fits into a table, else None."""
    return tuple(event) if all(map(_fits, event.values())) else None


def _fits(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(type(each) is str for each in value)
    return type(value) in _PLAIN


def _table(keys: list[str], run: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"keys": keys, "columns": [_column([event[key] for event in run]) for key in keys]}


def _column(values: list[Any]) -> Any:
    """The values as they are, or, where few are distinct, those and the place of each among them."""
    known: dict[Any, int] = {}
    places = [known.setdefault(_hashable(value), len(known)) for value in values]
    if 2 * len(known) > len(values) or not all(map(_is_word, values)):
        return values
    first = {place: value for place, value in zip(reversed(places), reversed(values), strict=True)}
    return {"words": [first[place] for place in range(len(known))], "at": places}


def _is_word(value: Any) -> bool:
    """Whether it may stand once for many events."""
    if not _fits(value):
        return False
    parts = value if isinstance(value, list | tuple) else [value]
    return len(parts) + sum(len(part) for part in parts if isinstance(part, str)) <= LONGEST_WORD


def _hashable(value: Any) -> tuple[Any, ...]:
    """Equal for the same JSON alone: True is not 1."""
    return (list, *value) if isinstance(value, list | tuple) else (type(value), value)


@dataclass(frozen=True, slots=True)
class Table:
    """What was read of a table. distinct: of each column every value that stands in it, at least once."""

    keys: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    distinct: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def events(self, make: Callable[[Any], dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
        """The sound events, each made from pairs by *make*, and how many others there are."""
        rows = [make(zip(self.keys, row, strict=True)) for row in zip(*self.columns, strict=True)]
        if are_sound(dict(zip(self.keys, self.distinct, strict=True))):
            return rows, 0
        good = [row for row in rows if is_sound(row)]
        return good, len(rows) - len(good)


def read(value: Any) -> Table | None:
    """The table in *value* (of parsed JSON); None if it is none, or a column is longer than another or than allowed."""
    if not isinstance(value, dict):
        return None
    keys, columns = value.get("keys"), value.get("columns")
    if not (isinstance(keys, list) and isinstance(columns, list) and 0 < len(keys) == len(columns)):
        return None
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        return None
    found = [_read_column(column) for column in columns]
    known = [column for column in found if column is not None]
    if len(known) < len(found) or len({len(values) for values, _ in known}) != 1:
        return None
    return Table(tuple(keys), *zip(*known, strict=True))


def _read_column(column: Any) -> tuple[list[Any], list[Any]] | None:
    """All values, and the distinct ones."""
    if isinstance(column, list):
        return (column, column) if 0 < len(column) <= MOST_ROWS else None
    if not isinstance(column, dict):
        return None
    words, at = column.get("words"), column.get("at")
    if not (
        isinstance(words, list) and isinstance(at, list) and 0 < len(at) <= MOST_ROWS and set(map(type, at)) == {int}
    ):
        return None
    if not (min(at) >= 0 and max(at) < len(words) and all(map(_is_word, words))):
        return None
    return [words[place] for place in at], words
