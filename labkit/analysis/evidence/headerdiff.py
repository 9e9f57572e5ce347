"""A request's headers on their way: as sent, as the proxy saw them, as it passed them on, as the backend got them.

The first and the last are read from packets, the two between are the proxy's own record. Names are compared without
case (RFC 9110 §5.1), a header's lines one by one, cookies as one (RFC 9113 §8.2.3), and HTTP/2's `:authority` is the
host (RFC 9113 §8.3.1). What a stage does not tell is not taken for a change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import pandas as pd

from labkit.analysis.events.carriage import Carried
from labkit.analysis.messages import http
from labkit.analysis.packets.tables import records
from labkit.wording import inert

STAGES: Final = ("sent", "seen", "forwarded", "received")
_LINE: Final = ("(method)", "(target)", "(version)")


@dataclass(frozen=True, slots=True)
class Stage:
    """line: the parts of the request line, None where not recorded. host: None where not recorded, "" if there is none.

    headers: the others, in order, names in small letters.
    """

    line: tuple[str | None, str | None, str | None]
    host: str | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One header line on its way. values: one a stage, None where it is not there. changes: what happened, and where.

    changes: pairs such as ("added", "forwarded"): "added", "removed", "changed" or "moved", at the stage after it.
    """

    name: str
    values: tuple[str | None, ...]
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class HeaderDiff:
    """stages: those that are known, of `STAGES`. rows: the request line's parts first. lacks: what is not known."""

    request: str
    stages: tuple[str, ...]
    rows: tuple[Row, ...]
    lacks: tuple[str, ...]

    def _names(self, change: str) -> list[str]:
        return [row.name for row in self.rows if any(what == change for what, _ in row.changes)]

    @property
    def added(self) -> list[str]:
        return self._names("added")

    @property
    def removed(self) -> list[str]:
        return self._names("removed")

    @property
    def changed(self) -> list[str]:
        return self._names("changed")

    @property
    def moved(self) -> list[str]:
        return self._names("moved")

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a header line: `name`, one column a stage, `change` ("added (forwarded)", "" if there is none)."""
        return records(
            [
                {
                    "name": row.name,
                    **dict(zip(self.stages, row.values, strict=True)),
                    "change": ", ".join(f"{what} ({where})" for what, where in row.changes),
                }
                for row in self.rows
            ],
            ("name", *self.stages, "change"),
        )


def diff(event: Mapping[str, Any], front: Carried, back: Carried, why: Sequence[str] = ()) -> HeaderDiff:
    """One exchange's diff by the proxy's `request` *event* and what carried it. why: reasons for what is lacking."""
    stages = {
        "sent": _of_request(front.request),
        "seen": _seen(event),
        "forwarded": _forwarded(event),
        "received": _of_request(back.request),
    }
    known = {name: stage for name, stage in stages.items() if stage is not None}
    lacks = [
        _PARTLY if name == "seen" and event.get("headers_partly") else _LACKING[name]
        for name, stage in stages.items()
        if stage is None
    ]
    if event.get("back") is None:  # the balancer answered, so nothing was passed on
        lacks = [_ANSWERED, *(lack for lack in lacks if lack not in (_LACKING["forwarded"], _LACKING["received"]))]
    return HeaderDiff(str(event.get("request")), tuple(known), tuple(_rows(known)), (*lacks, *why))


_ANSWERED: Final = "the balancer answered this request itself: nothing was passed on"
_PARTLY: Final = "seen: the proxy recorded only some of the headers it received"
_LACKING: Final = {
    "sent": "sent: the client's packets with this request were not found in the capture",
    "seen": "seen: the proxy did not record the headers it received",
    "forwarded": "forwarded: the proxy did not record the headers it passed on",
    "received": "received: the packets to the backend with this request were not found in the capture",
}


def _of_request(request: http.Request | None) -> Stage | None:
    if request is None:
        return None
    headers = [(name, inert(value)) for name, value in request.headers]
    line = inert(request.method), inert(request.target), inert(request.version)
    return _stage(line, headers, None if request.authority is None else inert(request.authority))


def _seen(event: Mapping[str, Any]) -> Stage | None:
    if event.get("headers_received") is None or event.get("headers_partly"):
        return None
    line = event.get("method"), event.get("target"), event.get("version")
    return _stage(line, event["headers_received"], event.get("host") if event.get("front_stream") is not None else None)


def _forwarded(event: Mapping[str, Any]) -> Stage | None:
    if event.get("headers_forwarded") is None:
        return None
    stage = _stage((None, None, None), event["headers_forwarded"], None)
    if event.get("back_stream") is not None and not stage.host:  # HTTP/2: the host is no header, so not recorded
        return Stage(stage.line, None, stage.headers)
    return stage


def _stage(line: tuple[Any, Any, Any], pairs: Iterable[Sequence[str]], authority: str | None) -> Stage:
    named = [(str(name).lower(), str(value)) for name, value in pairs]
    hosts = [place for place, (name, _) in enumerate(named) if name == "host"]
    host = authority if authority is not None else named[hosts[0]][1] if hosts else ""
    kept = [pair for place, pair in enumerate(named) if place != (hosts[0] if hosts else None)]
    cookies = [value for name, value in kept if name == "cookie"]
    once = [
        (name, "; ".join(cookies) if name == "cookie" else value)
        for place, (name, value) in enumerate(kept)
        if name != "cookie" or all(before != "cookie" for before, _ in kept[:place])
    ]
    return Stage(line, host, tuple(once))


def _rows(known: Mapping[str, Stage]) -> list[Row]:
    stages, names = list(known.values()), list(known)
    rows = []
    for place, name in enumerate(_LINE):
        rows.append(_plain(name, [stage.line[place] for stage in stages], names))
    rows.append(_plain("host", [stage.host for stage in stages], names, names_absence=True))
    slots, order = _slots([stage.headers for stage in stages])
    moved = [_moved(one, two) for one, two in pairwise([[slot for slot, _ in stage] for stage in order])]
    for slot, (name, values) in enumerate(slots):
        changes = [
            (what, names[hop + 1])
            for hop, (before, after) in enumerate(pairwise(values))
            for what in _changes(before, after, slot in moved[hop])
        ]
        rows.append(Row(name, tuple(values), tuple(changes)))
    return rows


def _plain(name: str, values: Sequence[str | None], names: Sequence[str], *, names_absence: bool = False) -> Row:
    """A row whose None means "not recorded"; with names_absence "" is "not there"."""
    told = [(stage, value) for stage, value in zip(names, values, strict=True) if value is not None]
    absent = "" if names_absence else None
    changes = [
        (what, stage)
        for (_, before), (stage, after) in pairwise(told)
        for what in _changes(None if before == absent else before, None if after == absent else after, False)
    ]
    return Row(name, tuple(value or None for value in values), tuple(changes))


def _changes(before: str | None, after: str | None, moved: bool) -> list[str]:
    if before is None and after is None:
        return []
    found = ["added"] if before is None else ["removed"] if after is None else ["changed"] if before != after else []
    return [*found, "moved"] if moved else found


def _slots(
    stages: Sequence[Sequence[tuple[str, str]]],
) -> tuple[list[tuple[str, list[str | None]]], list[list[tuple[int, str]]]]:
    """One slot a header line that is the same on its way, and for each stage its slots in order.

    Of several lines with a name those with the same value are the same; the others in their order.
    """
    slots: list[tuple[str, list[str | None]]] = []
    orders: list[list[tuple[int, str]]] = []
    for number, stage in enumerate(stages):
        free = [slot for slot, (_, values) in enumerate(slots) if values and values[-1] is not None]
        gone = [slot for slot in range(len(slots)) if slot not in free]
        placed: dict[int, int] = {}
        for exact in (True, False):
            for place, (name, value) in enumerate(stage):
                if place in placed:
                    continue
                fits = (
                    slot for slot in (*free, *gone)
                    if slots[slot][0] == name and (not exact or slots[slot][1][-1] == value)
                )  # fmt: skip
                if (slot := next(fits, None)) is not None:
                    placed[place] = slot
                    (free if slot in free else gone).remove(slot)
        for place, (name, _) in enumerate(stage):
            if place not in placed:
                placed[place] = len(slots)
                slots.append((name, [None] * number))
        order = [(placed[place], value) for place, (_, value) in enumerate(stage)]
        there = dict(order)
        for slot, (_, values) in enumerate(slots):
            values.append(there.get(slot))
        orders.append(order)
    return slots, orders


def _moved(before: Sequence[int], after: Sequence[int]) -> set[int]:
    """The slots in both that are no longer in their order: all but a longest run that kept it."""
    place = {slot: at for at, slot in enumerate(before)}
    both = [slot for slot in after if slot in place]
    best: list[list[int]] = []  # for each of *both* the longest such run that ends with it
    for at, slot in enumerate(both):
        best.append([*_longest(best[i] for i in range(at) if place[both[i]] < place[slot]), slot])
    return set(both).difference(_longest(best))


def _longest(runs: Iterable[list[int]]) -> list[int]:
    return max(runs, key=lambda run: len(run), default=[])
