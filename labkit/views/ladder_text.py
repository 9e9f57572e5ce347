"""The ladder in characters: useful by itself in a terminal, and what a screen reader gets for the picture."""

from dataclasses import dataclass
from itertools import pairwise

from labkit.analysis.ladder.model import Arrow, Choice, Ladder, Row, Run

from . import ladder_words as say
from .svg import inert

_GUTTER, _END = 11, 14  # room for the time on the left, for the last rail's name on the right


def ladder_text(ladder: Ladder, width: int = 128) -> str:
    """Title, rails and one line a row, at most about *width* characters wide (never less than 76)."""
    grid = _Grid(ladder, _columns(ladder, max(width, 76)))
    lines = [inert(ladder.title), "", *grid.heading(), *(line for row in ladder.rows for line in grid.row(row))]
    if ladder.left_out:
        lines.append(f"… {say.counted(ladder.left_out, 'more packet')}")
    if ladder.beside:
        lines += ["", inert(say.beside(ladder.beside))]
    return "\n".join(line.rstrip() for line in lines)


def _columns(ladder: Ladder, width: int) -> list[int]:
    """Where each rail stands: as far apart as the words between them need, less where that is too wide."""
    rails = ladder.rails
    needs = [12] * (len(rails) - 1)
    arrows = [row for row in ladder.rows if isinstance(row, Arrow)]
    for arrow in arrows:
        for gap, words in _inscriptions(arrow, ladder).items():
            needs[gap] = max(needs[gap], len(inert(words)) + 7)
    numbers = max((len(_packets(arrow)) for arrow in arrows), default=0)
    free = width - _GUTTER - max(_END, numbers + 4)
    while sum(needs) > free and max(needs) > 12:  # the widest gives way
        needs[needs.index(max(needs))] -= 1
    return [_GUTTER + sum(needs[:i]) for i in range(len(rails))]


def _inscriptions(arrow: Arrow, ladder: Ladder) -> dict[int, str]:
    """Gap between rails -> the words on an arrow there: rewrites where they happened, the packet beside them."""
    roles = [rail.role for rail in ladder.rails]
    low, high = min(arrow.start, arrow.end), max(arrow.start, arrow.end)
    told: dict[int, str] = {}
    for before, after in pairwise(arrow.stops):
        words = say.tag(after.rewritten)
        if words:
            a, b = sorted((before.rail, after.rail))
            told[next((i for i in range(a, b) if roles[i] == roles[i + 1] == "balancer"), a)] = words
    free = [i for i in range(low, high) if i not in told and not roles[i] == roles[i + 1] == "balancer"]
    seq = f"seq {arrow.seq}" if arrow.seq is not None and say.says(arrow) else say.numbers(arrow)
    if free:
        told[free[0]] = " ".join(filter(None, [say.head(arrow), seq, say.says(arrow)]))
    return told


def _packets(arrow: Arrow) -> str:
    return " ".join(f"#{stop.packet}" for stop in arrow.stops)


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
            cells[tip] = cells[tip] if arrow.lost else "▶" if end > start else "◀"
        if arrow.lost:
            _write(cells, *((end + 1, "┄┄✕") if arrow.out else (end - 3, "✕┄┄")))
        line = ladder.line(arrow.connection)
        if not arrow.lost and line.ending in ("front", "back"):
            here = line.path[-1 if line.ending == "front" else 0]
            cells[self.at[here]] = "▌" if line.ending == "front" else "▐"
        for gap, words in _inscriptions(arrow, ladder).items():
            _inscribe(cells, self.at[gap], self.at[gap + 1], words)
        return ["".join(cells).ljust(self.at[-1] + 4)[: self.at[-1] + 4] + _packets(arrow)]

    def _run(self, run: Run) -> str:
        parts = []
        for part in run.parts:
            line = self.ladder.line(part.connection)
            path = line.path
            names = say.place(path[0], self.ladder.rails, None), say.place(path[-1], self.ladder.rails, None)
            lock = ", encrypted" if part.encrypted else ""
            parts.append(f"… {say.run_part(part, (inert(names[0]), inert(names[1])), line.proto)}{lock}")
        head = say.elapsed(run.after_ns).rjust(_GUTTER - 2).ljust(_GUTTER)
        return f"{head}{'  '.join(parts)} ({say.run_packets(run)})"

    def _choice(self, choice: Choice) -> list[str]:
        head = say.elapsed(choice.after_ns).rjust(_GUTTER - 2).ljust(_GUTTER)
        box = next((x for rail, x in zip(self.ladder.rails, self.at, strict=True) if rail.role == "balancer"), _GUTTER)
        indent = min(box, max(self.at[-1] - 60, _GUTTER))
        margin = " " * (indent - _GUTTER)
        verdict = f"{' ' * _GUTTER}{margin}  {inert(say.verdict(choice))}"
        return [f"{head}{margin}◆ {say.decided(choice)}", verdict]

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
