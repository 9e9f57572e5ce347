"""The ladder as a picture: time downwards, clients left, the balancer as a box of two rails, backends right.

At L4 an arrow runs over the box and wears its new label there; at L7 arrows end in the box, in plugs, and others
begin. What a row is, is `labkit.analysis.ladder.rows`'s business; a single row is drawn by `ladder_rows`.
"""

from dataclasses import dataclass
from functools import cached_property

from labkit.analysis.ladder.model import Arrow, Ladder
from labkit.analysis.ladder.rails import Line, Rail

from . import ladder_words as say
from . import shapes
from .ladder_rows import COLOURS, HEIGHTS, Places, row_elements
from .ladder_text import ladder_text
from .palette import IDLE, INK, MODES, MONO, MUTED, PAPER
from .picture import Picture
from .svg import Element, clipped, element, group, text, text_width

_GUTTER, _LEG, _NEXT, _EDGE, _RIM = 124, 318, 104, 96, 20
_HEAD, _LANE = 98, 40  # names above the rows; room for each cable
_BOX_LEAST, _BOX_MOST = 216, 460
_MODE_LINES = {"l4": "L4 · new label", "l7": "L7 · opens the letter"}
_RELAYED = "L4 · passes it on unread"


def ladder_picture(ladder: Ladder) -> Picture:
    """The picture of *ladder*, with the same in words."""
    drawing = _Drawing(ladder)
    words = ladder_text(ladder)
    description = words.partition("\n\n")[2]
    svg = shapes.sheet(drawing.width, drawing.height, drawing.elements(), title=ladder.title, description=description)
    return Picture(svg, words, ladder.title)


@dataclass(frozen=True)
class _Drawing:
    ladder: Ladder

    @cached_property
    def inside(self) -> list[int]:
        """The balancer's rails."""
        return [i for i, rail in enumerate(self.ladder.rails) if rail.role == "balancer"]

    @cached_property
    def inner(self) -> float:
        """Room between the balancer's rails, for the longest new label and the decision."""
        arrows = [row for row in self.ladder.rows if isinstance(row, Arrow)]
        tags = [say.tag(stop.rewritten) for arrow in arrows for stop in arrow.stops]
        most = max((text_width(tag, 11, mono=True) + 72 for tag in tags if tag), default=0)
        return min(max(_BOX_LEAST, most), _BOX_MOST)

    @cached_property
    def xs(self) -> list[float]:
        xs: list[float] = [_GUTTER]
        for left, right in zip(self.ladder.rails, self.ladder.rails[1:], strict=False):
            if left.role == right.role == "balancer":
                gap = self.inner / max(len(self.inside) - 1, 1)
            else:
                gap = _NEXT if left.role == right.role else _LEG
            xs.append(xs[-1] + gap)
        return xs

    @property
    def width(self) -> float:
        return max(self.xs[-1] + _EDGE, 620)

    @cached_property
    def top(self) -> float:
        return shapes.title_height(self.ladder.title, self.width) + 12

    @cached_property
    def ys(self) -> list[float]:
        """The line of each row."""
        behind = sum(line.ending == "back" for line in self.ladder.lines)
        ys, y = [], self.top + _HEAD + _LANE * max(behind, len(self.ladder.lines) - behind)
        for row in self.ladder.rows:
            above, below = HEIGHTS[type(row)]
            ys.append(y + above)
            y += above + below
        return [*ys, y]

    @property
    def height(self) -> float:
        return self.ys[-1] + 26 + 20 * len(self.notes)

    @cached_property
    def notes(self) -> list[str]:
        """What stands below the rows: that there are more, and what was heard besides."""
        left, beside = self.ladder.left_out, self.ladder.beside
        more = [f"… {say.counted(left, 'more packet')}; full=True shows more"] if left else []
        return [*more, *([say.beside(beside)] if beside else [])]

    @property
    def places(self) -> Places:
        return Places(self.ladder, tuple(self.xs), self.inside[0] if self.inside else None)

    def elements(self) -> list[Element]:
        places = self.places
        bottom = self.ys[-1] + 6
        parts = [*self._box(bottom), *self._rails(bottom), *self._cables()]
        for row, y in zip(self.ladder.rows, self.ys, strict=False):
            parts += row_elements(row, y, places)
        for below, words in enumerate(reversed(self.notes)):
            words = clipped(words, self.width - _GUTTER - 8, 12)
            parts.append(shapes.caption(_GUTTER, self.height - 16 - 20 * below, words))
        return parts

    def _box(self, bottom: float) -> list[Element]:
        if not self.inside:
            return []
        left, right = self.xs[self.inside[0]] - _RIM, self.xs[self.inside[-1]] + _RIM
        middle, tone = (left + right) / 2, MODES.get(self.ladder.mode, IDLE)
        icon = {"l4": shapes.closed_envelope, "l7": shapes.open_letter}.get(self.ladder.mode or "")
        name = self.ladder.balancer or ""
        mode = _MODE_LINES.get(self.ladder.mode or "", "mode not recorded")
        if self.ladder.mode == "l4" and any(line.ending == "front" for line in self.ladder.lines):
            mode = _RELAYED
        label = clipped(name, right - left - 90, 17)
        return [
            shapes.box(left, self.top, right - left, bottom - self.top, tone),
            *([icon(middle - 74, self.top + 34, 40)] if icon else []),
            text(middle - 40, self.top + 28, label, 17, font_weight=700, fill=INK),
            text(middle - 40, self.top + 45, mode, 12, font_weight=700, fill=tone.word),
        ]

    def _rails(self, bottom: float) -> list[Element]:
        parts: list[Element] = []
        for rail, x in zip(self.ladder.rails, self.xs, strict=True):
            inside = rail.role == "balancer"
            begin = self.top + (88 if inside else 70)
            dash = "2 5" if rail.vantage is None else None
            parts.append(
                element("line", x1=x, y1=begin, x2=x, y2=bottom - (8 if inside else 0), stroke=MUTED,
                        stroke_width=1.2, stroke_dasharray=dash, data_rail=rail.name)
            )  # fmt: skip
            parts += self._rail_name(rail, x) if inside else self._host(rail, x)
        return parts

    def _rail_name(self, rail: Rail, x: float) -> list[Element]:
        name = clipped(rail.name or "not captured", self.inner / 2, 11)
        anchor = "start" if x == self.xs[self.inside[0]] else "end"
        dx = -8 if anchor == "start" else 8
        return [text(x + dx, self.top + 78, name, 11, text_anchor=anchor, fill=MUTED if rail.vantage is None else INK)]

    def _host(self, rail: Rail, x: float) -> list[Element]:
        y = self.top + 20
        shape = {"client": shapes.client, "backend": shapes.backend}.get(rail.role)
        drawn = shape(x, y, 15) if shape else shapes.vantage(x, y, 8)
        name = clipped(rail.name, 150, 13)
        seen = rail.address if rail.vantage is not None else "not captured here"
        return [
            drawn,
            text(x, y + 32, name, 13, font_weight=700, text_anchor="middle", fill=INK),
            text(x, y + 46, clipped(seen, 170, 10), 10, text_anchor="middle", fill=MUTED),
        ]

    def _cables(self) -> list[Element]:
        """One thick line a connection: it runs over the box, or ends in it in a plug."""
        parts: list[Element] = []
        lanes = {False: 0, True: 0}
        for line in self.ladder.lines:
            behind = line.ending == "back"
            y = self.top + 100 + _LANE * lanes[behind]
            lanes[behind] += 1
            parts.append(self._cable(line, y, COLOURS[behind]))
        return parts

    def _cable(self, line: Line, y: float, colour: str) -> Element:
        left, right = self.xs[line.path[0]], self.xs[line.path[-1]]
        plugs = []
        if line.ending == "front":
            plugs, right = [shapes.plug(right, y, colour, right=False)], right - 15
        if line.ending == "back":
            plugs, left = [shapes.plug(left, y, colour, right=True)], left + 15
        label, middle = f"connection {line.connection}", (left + right) / 2
        wide = text_width(label, 12) + 12
        return group(
            element("line", x1=left, y1=y, x2=right, y2=y, stroke=colour, stroke_width=7, stroke_linecap="round",
                    data_connection=line.connection),
            *plugs,
            element("rect", x=middle - wide / 2, y=y - 10, width=wide, height=20, rx=5, fill=PAPER, stroke=colour,
                    stroke_width=1.4),
            text(middle, y + 4, label, 12, font_weight=700, text_anchor="middle", fill=INK),
            *self._ends(line, y),
        )  # fmt: skip

    def _ends(self, line: Line, y: float) -> list[Element]:
        """The addresses on each leg, as they are written in the packets there."""
        legs = self.places.legs(line.path[0], line.path[-1])
        shown = zip((legs[:1] + legs[-1:])[: len(legs)], (line.ends, line.far_ends), strict=False)
        return [
            text((left + right) / 2, y + 23, clipped(" → ".join(ends), right - left - 16, 10, mono=True), 10,
                 text_anchor="middle", font_family=MONO, fill=MUTED)
            for (left, right), ends in shown
        ]  # fmt: skip
