"""``compare(lab, traffic)``: the same traffic at L4 and at L7, each under a capture, and what differs, in tables.

Only the wiring and the tables stand here: what is told of each capture is `labkit.analysis.evidence.contrast`'s, how
it looks `labkit.views.comparison`'s.
"""

import inspect
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.capture import Capture
from labkit.errors import PolicyError, TrafficError
from labkit.lab import Lab
from labkit.traffic.reply import Reply
from labkit.wording import near_miss, shown

if TYPE_CHECKING:
    import pandas as pd

MOST = 1_000
INSPECTING = "inspecting engine: not a speed measurement"
_NOTES = {"mitmproxy": INSPECTING}
_MEASURED = ("envoy",)  # engines whose speed may stand for that of L7


@dataclass(frozen=True, slots=True)
class _Run:
    """What happened in one mode. returned, seconds: one entry a repeat."""

    capture: Capture
    returned: tuple[Any, ...]
    seconds: tuple[float, ...]
    engine: str

    @property
    def replies(self) -> list[Any]:
        """What *traffic* returned, lists and tuples taken apart."""
        return [item for value in self.returned for item in (value if isinstance(value, list | tuple) else [value])]


def compare(
    lab: Lab,
    traffic: Callable[[Lab], Any],
    *,
    l4: Mapping[str, Any] | None = None,
    l7: Mapping[str, Any] | None = None,
    repeats: int = 1,
    **unknown: object,
) -> "Comparison":
    """Run ``traffic(lab)`` *repeats* times at L4 and then at L7, each under a capture at all vantage points.

    l4, l7: what `lab.balancer.l4` and `l7` are called with. What they refuse is refused before any traffic. Afterwards,
    also if *traffic* fails (its error comes through) or is interrupted, the balancer does what it did before.
    """
    for name in unknown:
        raise TrafficError(
            f"compare() has no option {name!r}{near_miss(name, _OPTIONS)}; it takes {', '.join(_OPTIONS)}"
        )
    _check(lab, traffic, repeats)
    how = {"l4": _options("l4", l4), "l7": _options("l7", l7)}
    with lab.balancer.kept():
        lab.balancer.l7(**how["l7"])  # both once in advance: what is wrong with the second is said before the first
        lab.balancer.l4(**how["l4"])
        at_l4 = _run(lab, traffic, repeats)
        lab.balancer.l7(**how["l7"])
        at_l7 = _run(lab, traffic, repeats)
    return Comparison(at_l4, at_l7)


_OPTIONS = ("l4", "l7", "repeats")


def _run(lab: Lab, traffic: Callable[[Lab], Any], repeats: int) -> _Run:
    returned, seconds = [], []
    with lab.capture() as capture:
        for _ in range(repeats):
            began = time.perf_counter()
            returned.append(traffic(lab))
            seconds.append(time.perf_counter() - began)
    engines = [str(event.get("engine")) for event in capture.recording.of_kind("mode")]
    return _Run(capture, tuple(returned), tuple(seconds), engines[-1] if engines else "")


def _check(lab: object, traffic: object, repeats: object) -> None:
    if not isinstance(lab, Lab):
        raise TrafficError(f"compare() takes a lab, as in compare(lab, traffic), not {shown(lab)}.")
    example = "def traffic(lab): return lab.alice.get('http://lb/')"
    if not callable(traffic):
        raise TrafficError(f"compare() takes a function that makes the traffic, not {shown(traffic)}: {example}")
    if inspect.iscoroutinefunction(traffic):
        raise TrafficError(f"compare() takes an ordinary function, and {shown(traffic)} is an async one: {example}")
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= MOST:
        raise TrafficError(f"repeats is a whole number from 1 to {MOST:,}, not {shown(repeats)}.")


def _options(mode: str, given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        example = "l4={'backends': ['api1']}" if mode == "l4" else "l7={'routes': [Route('*', pool='api')]}"
        raise PolicyError(f"{mode}= holds what lab.balancer.{mode}() takes, for example {example}, not {shown(given)}.")
    return dict(given)


class Comparison:
    """The same traffic at L4 and at L7. ``l4`` and ``l7`` are the captures; the tables set them side by side."""

    def __init__(self, at_l4: _Run, at_l7: _Run) -> None:
        self._runs = {"l4": at_l4, "l7": at_l7}

    @property
    def l4(self) -> Capture:
        return self._runs["l4"].capture

    @property
    def l7(self) -> Capture:
        return self._runs["l7"].capture

    @property
    def replies(self) -> dict[str, list[Any]]:
        """What the traffic returned in each mode, repeat after repeat; lists and tuples are taken apart."""
        return {mode: run.replies for mode, run in self._runs.items()}

    @property
    def finding(self) -> str:
        """What both show, in one sentence."""
        return f"{self.l4.finding}. {self.l7.finding}"

    def connections(self) -> "pd.DataFrame":
        """Columns measure, l4, l7: requests, connections on both sides, whether they are the same ones, packets."""
        from labkit.analysis.evidence.contrast import counts

        told = {mode: counts(run.capture._study, run.capture._routes) for mode, run in self._runs.items()}
        return _frame(("measure", "l4", "l7"), [(name, told["l4"][name], told["l7"][name]) for name in told["l4"]])

    def answered(self) -> "pd.DataFrame":
        """Columns backend, l4, l7: how many requests each backend answered (connections, where none was in clear)."""
        from labkit.analysis.evidence.contrast import answered

        told = {mode: answered(run.capture._study, run.capture._routes) for mode, run in self._runs.items()}
        names = sorted({*told["l4"], *told["l7"]})
        return _frame(
            ("backend", "l4", "l7"), [(name, told["l4"].get(name, 0), told["l7"].get(name, 0)) for name in names]
        )

    def visibility(self) -> "pd.DataFrame":
        """Columns layer, field, l4, l7 (what the balancer did with it), and how each rewrote it; telling fields."""
        whole = {mode: run.capture.visibility(full=True).to_dict("records") for mode, run in self._runs.items()}
        telling = {str(name) for run in self._runs.values() for name in run.capture.visibility()["field"]}
        fields = dict.fromkeys((row["layer"], row["field"]) for rows in whole.values() for row in rows)
        found = {mode: {row["field"]: row for row in rows} for mode, rows in whole.items()}
        absent: dict[str, Any] = {"state": "not there", "rewritten": False}
        rows = []
        for layer, field in fields:
            at = [found[mode].get(field, absent) for mode in self._runs]
            if field in telling:
                rows.append((layer, field, *(one["state"] for one in at), *(one["rewritten"] for one in at)))
        return _frame(("layer", "field", "l4", "l7", "rewritten_l4", "rewritten_l7"), rows)

    def rewrites(self) -> "pd.DataFrame":
        """Columns mode, field, before, after, count: what came out of the balancer with another value.

        At L4 fields of packets that ran through. At L7 headers of requests: the packets there are new ones.
        """
        from labkit.analysis.evidence.contrast import rewrites

        columns = ("mode", "field", "before", "after", "count")
        rows = [
            (mode, *(row[name] for name in columns[1:]))
            for mode, run in self._runs.items()
            for row in rewrites(run.capture._study, run.capture._routes)
        ]
        return _frame(columns, rows)

    def latency(self) -> "pd.DataFrame":
        """Columns mode, engine, of ("reply", or "call" of the whole traffic), count, median, least, most (s), note.

        The note says how many times L4's median it is, where the engine is made for speed, and else that the figure is
        no measurement of speed.
        """
        columns = ("mode", "engine", "of", "count", "median", "least", "most", "note")
        rows = [dict(zip(columns, (mode, *_spread(run)), strict=True)) for mode, run in self._runs.items()]
        l4, l7 = rows
        if l7["engine"] in _MEASURED and l7["of"] == l4["of"]:
            l7["note"] = f"{l7['median'] / l4['median']:.2f} times the median at L4"
        return _frame(columns, [tuple(row.values()) for row in rows])

    def __repr__(self) -> str:
        from labkit.views.comparison import comparison_text

        return comparison_text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from labkit.views.comparison import comparison_html

        return {"text/html": comparison_html(self), "text/plain": repr(self)}


def _spread(run: _Run) -> tuple[Any, ...]:
    replies = [item for item in run.replies if isinstance(item, Reply)]
    of, seconds = ("reply", [item.seconds for item in replies]) if replies else ("call", list(run.seconds))
    note = _NOTES.get(run.engine, "")
    return (run.engine, of, len(seconds), statistics.median(seconds), min(seconds), max(seconds), note)


def _frame(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).astype(object)
