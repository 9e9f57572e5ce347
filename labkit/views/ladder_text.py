"""The ladder in characters: useful by itself in a terminal, and what a screen reader gets for the picture."""

from dataclasses import dataclass

from labkit.analysis.ladder import Arrow, Choice, Ladder, Row, Run

from . import ladder_words as say
from .svg import inert

_GUTTER, _END = 11, 14  # room for the time on the left, for the last rail's name on the right
_SHARE = {"leg": 5, "box": 4}


def ladder_text(ladder: Ladder, width: int = 128) -> str:
    """Title, rails and one line a row, at most about *width* characters wide (never less than 76)."""
    grid = _Grid(ladder, _columns(ladder, max(width, 76)))
    lines = [inert(ladder.title), "", *grid.heading(), *(line for row in ladder.rows for line in grid.row(row))]
    if ladder.left_out:
        lines.append(f"… {say.counted(ladder.left_out, 'more packet')}")
    return "\n".join(line.rstrip() for line in lines)


def _columns(ladder: Ladder, width: int) -> list[int]:
    """Where each rail stands; the leg that carries the words gets the room."""
    rails = ladder.rails
    gaps = []
    for left, right in zip(rails, rails[1:], strict=False):
        inside = left.role == right.role == "balancer"
        same = left.role == right.role and not inside
        gaps.append(12 if same else 0)
    free = max(width - _GUTTER - _END - 14 - sum(gaps), 20)
    open_gaps = [i for i, gap in enumerate(gaps) if not gap]
    at = [_GUTTER]
    for i, gap in enumerate(gaps):
        at.append(at[-1] + (gap or free // max(len(open_gaps), 1)))
    return at


@dataclass(frozen=True, slots=True)
class _Grid:
    ladder: Ladder
    at: list[int]

    def heading(self) -> list[str]:
        names = self._blank(" ")
        for rail, x in zip(self.ladder.rails, self.at, strict=True):
            _write(names, x, inert(rail.name or f"({rail.node})"))
        return ["".join(names), "".join(self._rails())]

    def row(self, row: Row) -> list[str]:
        if isinstance(row, Arrow):
            return self._arrow(row)
        return [self._run(row)] if isinstance(row, Run) else self._choice(row)

    def _arrow(self, arrow: Arrow) -> list[str]:
        cells, ladder = self._rails(arrow.after_ns), self.ladder
        start, end = self.at[arrow.start], self.at[arrow.end]
        low, high = min(start, end), max(start, end)
        seen = [self.at[stop.rail] for stop in arrow.stops]
        for x in range(low + 1, high):
            cells[x] = "─" if min(seen) <= x <= max(seen) else "┄"
        for stop in arrow.stops:
            cells[self.at[stop.rail]] = "●"
        tip = end - 1 if end > start else end + 1
        if start != end:
            cells[tip] = "✕" if arrow.lost else "▶" if end > start else "◀"
        line = ladder.line(arrow.connection)
        if not arrow.lost and line.ending in ("front", "back"):
            here = line.path[-1 if line.ending == "front" else 0]
            cells[self.at[here]] = "▌" if line.ending == "front" else "▐"
        self._label(cells, low, high, arrow)
        at = " ".join(f"#{stop.packet}" for stop in arrow.stops)
        lines = ["".join(cells).ljust(self.at[-1] + 4) + at]
        return lines

    def _label(self, cells: list[str], low: int, high: int, arrow: Arrow) -> None:
        """Words into the widest gap between rails, the rewrite into the gap where it happened."""
        gaps = [(a, b) for a, b in zip(self.at, self.at[1:], strict=False) if low <= a and b <= high]
        tags = {}
        for before, after in zip(arrow.stops, arrow.stops[1:], strict=False):
            words = say.tag(after.rewritten)
            if words:
                a, b = sorted((self.at[before.rail], self.at[after.rail]))
                inner = [gap for gap in gaps if a <= gap[0] and gap[1] <= b]
                tags[max(inner, key=lambda gap: gap[1] - gap[0])] = words
        free = [gap for gap in gaps if gap not in tags]
        told = " ".join(filter(None, [say.head(arrow), say.numbers(arrow), say.says(arrow)]))
        if free:
            _inscribe(cells, *max(free, key=lambda gap: (gap[1] - gap[0], -gap[0])), told)
        for gap, words in tags.items():
            _inscribe(cells, *gap, words)

    def _run(self, run: Run) -> str:
        parts = []
        for part in run.parts:
            path = self.ladder.line(part.connection).path
            names = say.place(path[0], self.ladder.rails, None), say.place(path[-1], self.ladder.rails, None)
            lock = ", encrypted" if part.encrypted else ""
            parts.append(f"… {say.run_part(part, (inert(names[0]), inert(names[1])))}{lock}")
        head = say.elapsed(run.after_ns).rjust(_GUTTER - 2).ljust(_GUTTER)
        return f"{head}{'  '.join(parts)} ({say.run_packets(run)})"

    def _choice(self, choice: Choice) -> list[str]:
        head = say.elapsed(choice.after_ns).rjust(_GUTTER - 2).ljust(_GUTTER)
        box = next((x for rail, x in zip(self.ladder.rails, self.at, strict=True) if rail.role == "balancer"), _GUTTER)
        indent = min(box, max(self.at[-1] - 60, _GUTTER))
        words = f"◆ {say.decided(choice)}: {inert(say.verdict(choice))}"
        return [f"{head}{' ' * (indent - _GUTTER)}{words}"]

    def _blank(self, mark: str) -> list[str]:
        return [mark] * (self.at[-1] + _END)

    def _rails(self, after_ns: int | None = None) -> list[str]:
        cells = self._blank(" ")
        if after_ns is not None:
            _write(cells, 0, say.elapsed(after_ns).rjust(_GUTTER - 2))
        for rail, x in zip(self.ladder.rails, self.at, strict=True):
            cells[x] = "║" if rail.role == "balancer" else "│"
        return cells


def _write(cells: list[str], x: int, words: str) -> None:
    for i, character in enumerate(words):
        if x + i < len(cells):
            cells[x + i] = character


def _inscribe(cells: list[str], low: int, high: int, words: str) -> None:
    """Words in the middle of a stretch of line, with a bit of line left on both sides."""
    room = high - low - 7
    shown = inert(words)
    if room < 3 or not shown:
        return
    shown = shown if len(shown) <= room else shown[: room - 1] + "…"
    _write(cells, low + 3, f" {shown} ")
