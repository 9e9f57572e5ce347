"""The failures of functions as the notebook knows them: the last ones, the first of each function, and as a table."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from labkit.balancer.functions.failure import innermost, traceback_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("time", "rule", "function", "request", "error", "line", "source", "traceback", "printed")


class RuleErrors:
    """Keeps the last *most* events; *first* is called with the first one of each function, on the caller's thread."""

    def __init__(self, most: int, first: Callable[[dict[str, Any]], None]) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=most)
        self._first = first
        self._known: set[tuple[str, str]] = set()
        self._forgotten = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Other functions are in force: the first failure of each is news again."""
        with self._lock:
            self._known.clear()

    def put(self, event: dict[str, Any]) -> None:
        """One more."""
        key = (event["rule"], event["function"])
        with self._lock:
            self._forgotten += len(self._events) == self._events.maxlen
            self._events.append(event)
            news = key not in self._known
            self._known.add(key)
        if news:
            self._first(event)

    def all(self) -> tuple[list[dict[str, Any]], int]:
        """The events, oldest first, and how many there were before them."""
        with self._lock:
            return list(self._events), self._forgotten


def warning(event: dict[str, Any]) -> str:
    """One failure in a sentence."""
    line, source = innermost(event["chain"])
    where = f" (line {line}: {source})" if line is not None else ""
    return (
        f"The function {event['function']} of the route {event['rule']} failed on {event['request']}: "
        f"{event['error']}{where}. lab.balancer.rule_errors() shows each failure; this is said once."
    )


def table(events: Sequence[dict[str, Any]], forgotten: int) -> "pd.DataFrame":
    """One row a failure, oldest first; ``attrs["forgotten"]``: how many are too long ago to be kept."""
    import pandas as pd

    found = pd.DataFrame([_row(event) for event in events], columns=list(COLUMNS))
    found["time"] = pd.to_datetime(found["time"].astype("int64")).astype("datetime64[ns]")
    found["line"] = found["line"].astype("Int64")
    found.attrs["forgotten"] = forgotten
    return found


def _row(event: dict[str, Any]) -> tuple[Any, ...]:
    line, source = innermost(event["chain"])
    return (
        *(event[name] for name in ("time_ns", "rule", "function", "request", "error")),
        line,
        source,
        traceback_text(event["chain"]),
        event["printed"],
    )
