"""What a ladder shows, row by row: which packet went from where to where. Drawing is views' business.

A packet seen at several vantage points is one arrow, because it is one trajectory; two connections that a proxy's
record pairs stay two lines that end in it. Long runs of plain data are counted, not listed. The decision stands after
the packet the balancer held last. What nobody captured is told apart from what was seen.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from labkit.analysis.events.decisions import Decision
from labkit.analysis.packets import headers
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.index import flag_names, protocol_name
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from . import marks
from .choice import Chosen
from .model import Arrow, Beside, Choice, Ladder, Part, Row, Run, Stop, finding
from .rails import Line, lay

MARKS = {  # what is remarkable about a packet, and how that is said
    "retransmission": "retransmission", "out_of_order": "out of order", "zero_window": "zero window", "reset": "reset",
}  # fmt: skip
_RUN = 9  # a longer run of plain packets is counted
_KEPT = 2  # of which the first and the last are shown
ROWS, FULL = 80, 2_000  # rows at most; in full
_PLAIN = (0x10, 0x18)  # ACK, PSH+ACK


def build(study: Study, routes: Routes, chosen: Chosen, *, full: bool = False) -> Ladder:
    """The ladder of the connections and packets in *chosen* (see `choice`). full: runs are not counted."""
    rails, lines = lay(study, routes, chosen)
    rail_of = {rail.vantage: number for number, rail in enumerate(rails) if rail.vantage is not None}
    walk = _Walk(study, chosen, rail_of, {line.connection: line for line in lines}, full)
    rows = walk.rows(FULL if full else ROWS)
    left_out = len(walk.first) - sum(map(_packets, rows))
    mode = routes.modes.get(chosen.connections[0])
    box = next((rail.node for rail in rails if rail.role == "balancer"), None)
    ladder = Ladder(
        tuple(rails), tuple(lines), tuple(rows), mode, box, left_out, chosen.left_out, len(chosen.decisions), "",
        _beside(study),
    )  # fmt: skip
    return replace(ladder, title=finding(ladder))


def _beside(study: Study) -> Beside | None:
    heard = study.strangers
    return Beside(heard.called, heard.protocols) if len(heard.rows) else None


def _packets(row: Row) -> int:
    if isinstance(row, Run):
        return sum(part.segments_out + part.segments_in + part.bare for part in row.parts)
    return int(isinstance(row, Arrow))


class _Walk:
    """Turns packets into rows. One entry per trajectory: `first` is the row of the packet that was seen first."""

    def __init__(
        self, study: Study, chosen: Chosen, rail_of: dict[int, int], lines: dict[int, Line], full: bool
    ) -> None:
        self.study, self.lines, self.rail_of = study, lines, rail_of
        index, of = study.index, study.trajectories.of_packet
        rows = chosen.rows[np.argsort(of[chosen.rows], kind="stable")]  # each trajectory's packets together, by time
        begin = np.flatnonzero(np.diff(of[rows], prepend=-2))
        order = np.argsort(rows[begin], kind="stable")
        self._rows, self._begin = rows, begin[order]
        self._end = np.append(begin[1:], len(rows))[order]
        self.first = rows[self._begin]
        self.start_ns = int(index.time_ns[self.first[0]]) if len(self.first) else 0
        self.marks = marks.mark(study, chosen.connections)
        self.says = marks.says(index, self.first)
        self.hidden = marks.hidden_from(study, chosen.connections)
        self.decisions = self._decisions(chosen)
        plain = np.isin(index.flags[self.first], _PLAIN) | (index.flags[self.first] < 0)
        notable = np.isin(self.first, [*self.marks]) | np.array([bool(says) for says in self.says], dtype=bool)
        decided = np.array([place in self.decisions for place in range(len(self.first))], dtype=bool)
        self.plain = np.zeros(len(self.first), dtype=bool) if full else plain & ~notable & ~decided

    def _decisions(self, chosen: Chosen) -> dict[int, list[Decision]]:
        """The decisions by the place after which they stand: at L4 on their packet, else by their time, after it."""
        times, of = self.study.index.time_ns[self.first], self.study.trajectories.of_packet
        placed: dict[int, list[Decision]] = {}
        for decision in chosen.decisions:
            by_time = max(0, int(np.searchsorted(times, decision.time_ns)) - 1)
            same = np.flatnonzero(of[self.first] == (-1 if decision.row is None else of[decision.row]))
            held = int(same[0]) if len(same) else by_time
            place = held if decision.mode == "l4" else max(held, by_time)
            placed.setdefault(place, []).append(decision)
        return placed

    def packets(self, place: int) -> Ints:
        """The rows of one trajectory's packets, in order of time."""
        return self._rows[self._begin[place] : self._end[place]]

    def rows(self, most: int) -> list[Row]:
        """The first *most* rows, and the decision that stands after the last."""
        chosen = [*islice(self._plan(), most)]
        changes = self._changes([place for place in chosen if isinstance(place, int)])
        rows: list[Row] = []
        for place in chosen:
            if isinstance(place, range):
                rows.append(self._run(place))
            else:
                arrow = self._arrow(place, changes)
                rows += [arrow, *(self._choice(decision, arrow) for decision in self.decisions.get(place, ()))]
            if len(rows) >= most:
                break
        return rows

    def _plan(self) -> Iterator[int | range]:
        """Places that are shown, and ranges of places that are counted."""
        if not len(self.plain):
            return
        edge = np.flatnonzero(np.diff(self.plain.astype(np.int8), prepend=-1))
        for begin, end in zip(edge.tolist(), [*edge[1:].tolist(), len(self.plain)], strict=True):
            if self.plain[begin] and end - begin > _RUN:
                yield from range(begin, begin + _KEPT)
                yield range(begin + _KEPT, end - _KEPT)
                yield from range(end - _KEPT, end)
            else:
                yield from range(begin, end)

    def _changes(self, places: list[int]) -> dict[int, dict[str, tuple[object, object]]]:
        """What was rewritten before each packet (its row) of these trajectories, found for all at once."""
        before = np.concatenate([self.packets(place)[:-1] for place in places] or [self.first[:0]])
        after = np.concatenate([self.packets(place)[1:] for place in places] or [self.first[:0]])
        return dict(zip(after.tolist(), headers.rewritten(self.study.index, before, after), strict=True))

    def _arrow(self, place: int, changes: dict[int, dict[str, tuple[object, object]]]) -> Arrow:
        study, index = self.study, self.study.index
        rows, row = self.packets(place), int(self.first[place])
        line = self.lines[int(study.connections.of_packet[row])]
        out = bool(study.sightings.from_client[row])
        stops = tuple(Stop(self.rail_of[int(index.vantage[at])], at + 1, changes.get(at, {})) for at in rows.tolist())
        path = line.path if out else line.path[::-1]
        before = path[: path.index(stops[0].rail)]
        beyond = path[path.index(stops[-1].rail) + 1 :]
        late, lost = (any(rail in line.captured for rail in some) for some in (before, beyond))
        return Arrow(
            connection=line.connection,
            out=out,
            stops=stops,
            start=stops[0].rail if late else path[0],
            end=stops[-1].rail if lost else path[-1],
            proto=protocol_name(int(index.proto[row])) or "",
            flags=flag_names(int(index.flags[row])) or "",
            seq=_known(index.seq, row),
            ack=_known(index.ack, row),
            length=max(0, int(index.payload_length[row])),
            says=self.says[place],
            encrypted=self._encrypted(row),
            marks=tuple(MARKS[mark] for mark in self.marks.get(row, ())),
            lost=lost,
            late=late,
            certain=bool(study.trajectories.certain[int(study.trajectories.of_packet[row])]),
            after_ns=int(index.time_ns[row]) - self.start_ns,
        )

    def _encrypted(self, row: int) -> bool:
        study = self.study
        key = int(study.connections.of_packet[row]), bool(study.sightings.from_client[row])
        end = marks.end_of(study.index, row)
        return key in self.hidden and int(study.index.payload_length[row]) > 0 and self.hidden[key](end)

    def _run(self, places: range) -> Run:
        index, study = self.study.index, self.study
        rows = self.first[places.start : places.stop]
        connection, out = study.connections.of_packet[rows], study.sightings.from_client[rows]
        length = index.payload_length[rows].clip(0)
        parts = []
        for number in np.unique(connection).tolist():
            mine = connection == number
            sent, came = mine & out & (length > 0), mine & ~out & (length > 0)
            parts.append(
                Part(
                    int(number), int(sent.sum()), int(length[sent].sum()), int(came.sum()), int(length[came].sum()),
                    int((mine & (length == 0)).sum()), any(key[0] == number for key in self.hidden),
                )
            )  # fmt: skip
        last = self.packets(places.stop - 1)
        return Run(tuple(parts), int(rows[0]) + 1, int(last[-1]) + 1, int(index.time_ns[rows[0]]) - self.start_ns)

    def _choice(self, decision: Decision, arrow: Arrow) -> Choice:
        """A decision; it stands after *arrow*, which at L7 may be of any connection."""
        event, row = decision.event, decision.row
        connection = decision.connection if decision.connection in self.lines else arrow.connection
        held = self._held(decision)
        hidden = any(key[0] == connection for key in self.hidden)
        plain = "the request" if self.lines[connection].proto == "TCP" else "the datagram"
        return Choice(
            mode=decision.mode,
            connection=connection,
            packet=None if row is None else row + 1,
            rail=None if row is None else self.rail_of.get(int(self.study.index.vantage[row])),
            held=held,
            of="TLS" if held and hidden else plain,
            backend=str(event.get("backend") or ""),
            rule=str(event.get("rule") or ""),
            read=tuple(map(str, event.get("read") or ())),
            after_ns=decision.time_ns - self.start_ns,
        )

    def _held(self, decision: Decision) -> int | None:
        """Bytes the client had sent since the decision before, up to the packet that was held last."""
        study, row = self.study, decision.row
        if row is None:
            return None
        sighting = int(study.sightings.of_packet[row])
        before = [one.row for some in self.decisions.values() for one in some if one.row is not None and one.row < row]
        after = max((at for at in before if int(study.sightings.of_packet[at]) == sighting), default=-1)
        mine = self._rows
        came = mine[(study.sightings.of_packet[mine] == sighting) & study.sightings.from_client[mine]]
        return int(study.index.payload_length[came[(came > after) & (came <= row)]].clip(0).sum())


def _known(column: Ints, row: int) -> int | None:
    value = int(column[row])
    return None if value < 0 else value
