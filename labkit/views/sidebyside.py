"""One captured request in each mode, side by side: where the decision fell, and what the balancer held then."""

from dataclasses import dataclass
from typing import Any

from . import shapes
from .lines import counted
from .palette import BLUE, GREEN, HAIRLINE, INK, L4, MODES, MONO, MUTED, PAPER, REWRITTEN, Tone, mark
from .picture import Picture
from .story import CaptureTables, Row, Step, Story, flag_words, l4_story, l7_story
from .svg import Element, clipped, element, group, polyline, text, text_width, wrapped
from .tables import cell_text, change_text

HALF = 560
_CLIENT_X, _BOX_X, _BACKEND_X, _BOX_HALF = 62, 280, 498, 30
_ROW, _NOTE, _LINE = 36, 62, 20
_STEPS = 18  # more steps than this are counted, not drawn


def side_by_side(cap_l4: CaptureTables, cap_l7: CaptureTables) -> Picture:
    """The first request captured in each mode as one picture, time downwards, the decision as ◆.

    Raises CaptureError for a capture that holds no request in its mode or lacks the balancer's vantage points.
    """
    halves = [
        _Half(l4_story(cap_l4), cap_l4.visibility().to_dict("records"), 0),
        _Half(l7_story(cap_l7), cap_l7.visibility().to_dict("records"), HALF),
    ]
    at_l4, at_l7 = (half.story for half in halves)
    title = (
        f"L4 decided on packet {at_l4.decided + 1}, holding {at_l4.held} bytes of the request; "
        f"L7 decided after packet {at_l7.decided + 1}, holding {at_l7.held}"
    )
    top = shapes.title_height(title, 2 * HALF)
    ladder = max(half.ladder for half in halves)
    height = top + 66 + ladder + 48 + _LINE * max(len(half.visible) for half in halves) + 30
    description = "\n\n".join(half.words() for half in halves)
    rule = element("line", x1=HALF, y1=top, x2=HALF, y2=height - 24, stroke=HAIRLINE, stroke_width=1.5)
    drawn = [half.drawn(top, ladder) for half in halves]
    svg = shapes.sheet(2 * HALF, height, rule, drawn, title=title, description=description)
    return Picture(svg, f"{title}\n\n{description}", title)


@dataclass(frozen=True, slots=True)
class _Half:
    """One mode's half of the picture."""

    story: Story
    visible: list[dict[str, Any]]
    left: int

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.story.steps[:_STEPS]

    @property
    def tone(self) -> Tone:
        return MODES[self.story.mode]

    @property
    def ladder(self) -> int:
        return _ROW * len(self.steps) + _NOTE + 36

    @property
    def heading(self) -> str:
        count = self.story.connections
        connections = counted(count, f"{self.story.steps[0].row['proto']} connection")
        return f"{self.story.mode.upper()}: {connections} for one request"

    @property
    def decision(self) -> str:
        when = "on" if self.story.mode == "l4" else "after"
        number = self.story.decided + 1
        return f"◆ decided {when} packet {number}, holding {self.story.held} bytes of the request"

    def verdict(self) -> str:
        rule = f"{self.story.rule} → {self.story.backend}" if self.story.rule else f"→ {self.story.backend}"
        return f"{rule}; read {', '.join(self.story.read) or 'nothing'}"

    def past(self) -> list[str]:
        """What the balancer never saw of it, in a sentence; [] if it saw everything."""
        story = self.story
        over = f", over {story.over}" if story.over else ""
        packets = counted(story.past, "packet")
        return [f"{packets} from {story.backend} to {story.client} past {story.balancer}{over}"] if story.past else []

    def relabelled(self) -> str:
        """The change of destination on the first packet that ran through, in words."""
        first = next((step for step in self.steps if step.through and step.from_client), None)
        if first is None or first.front is None or first.back is None or first.front["dst"] == first.back["dst"]:
            return ""
        return f"dst {first.front['dst']} → {first.back['dst']}"

    def drawn(self, top: int, ladder: int) -> Element:
        first = top + 66
        parts = [
            text(24, top + 8, self.heading, 15, font_weight=700, fill=self.tone.word),
            *self._lifelines(top + 30, first + ladder - 12),
        ]
        y = first
        for i, step in enumerate(self.steps):
            y += _ROW
            parts += self._arrow(step, y, i)
            if i == self.story.decided:
                parts += self._decision(y)
                y += _NOTE
        rest = len(self.story.steps) - _STEPS
        remarks = [f"… {rest} more packet{'s' if rest > 1 else ''}"] if rest > 0 else []
        if words := "; ".join([*remarks, *self.past()]):
            parts.append(shapes.caption(_BOX_X, first + ladder + 4, words, text_anchor="middle"))
        parts += self._held(first + ladder + 30)
        return group(*parts, transform=f"translate({self.left} 0)")

    def _lifelines(self, top: int, bottom: int) -> list[Element]:
        box_top = top + 22
        ends = [
            (_CLIENT_X, self.story.client, shapes.client(_CLIENT_X, top + 8, 10)),
            (_BACKEND_X, self.story.backend, shapes.backend(_BACKEND_X, top + 8, 11)),
        ]
        parts = []
        for x, name, shape in ends:
            dashed = element(
                "line", x1=x, y1=top + 20, x2=x, y2=bottom, stroke=MUTED, stroke_width=1.2, stroke_dasharray="2 4"
            )
            side = 16 if x == _CLIENT_X else -16
            anchor = "start" if side > 0 else "end"
            parts += [dashed, shape, text(x + side, top + 12, name, 13, font_weight=700, text_anchor=anchor, fill=INK)]
        box = shapes.box(_BOX_X - _BOX_HALF, box_top, 2 * _BOX_HALF, bottom - box_top, self.tone)
        title = text(_BOX_X, top + 12, self.story.balancer, 13, font_weight=700, text_anchor="middle", fill=INK)
        return [*parts, box, title]

    def _arrow(self, step: Step, y: float, index: int) -> list[Element]:
        """One long arrow over the box, or a short one that ends in it or begins there."""
        colour = GREEN if step.front is None and self.story.mode == "l7" else BLUE
        left = _CLIENT_X if step.front is not None else _BOX_X + _BOX_HALF
        right = _BACKEND_X if step.back is not None else _BOX_X - _BOX_HALF
        if not step.through:  # it ends, or begins, in a plug
            left, right = (left, right - 16) if step.front is not None else (left + 16, right)
        start, end = (left, right) if step.from_client else (right, left)
        way = 1 if end > start else -1
        tip = polyline([(end, y), (end - way * 9, y - 5), (end - way * 9, y + 5)], close=True)
        parts = [
            element("line", x1=start, y1=y, x2=end - way * 6, y2=y, stroke=colour, stroke_width=2.4),
            element("path", d=tip, fill=colour),
        ]
        if step.through:
            over = element(
                "line", x1=_BOX_X - _BOX_HALF, y1=y, x2=_BOX_X + _BOX_HALF, y2=y, stroke=PAPER, stroke_width=6
            )
            parts.insert(0, over)
        else:
            edge = _BOX_X - _BOX_HALF if step.front is not None else _BOX_X + _BOX_HALF
            parts.append(shapes.plug(edge, y, colour, right=step.front is None))
        words = f"{index + 1} {flag_words(step.row)}"
        for row, x in (
            (step.front, (_CLIENT_X + _BOX_X - _BOX_HALF) / 2),
            (step.back, (_BOX_X + _BOX_HALF + _BACKEND_X) / 2),
        ):
            if row is None:
                continue
            shown = words if row is step.row else "same packet"
            parts.append(
                text(x, y - 5, shown, 11, text_anchor="middle", font_weight=700 if row is step.row else None, fill=INK)
            )
            parts.append(text(x, y + 12, _sequence(row), 10, text_anchor="middle", fill=MUTED, font_family=MONO))
        return parts

    def _decision(self, y: float) -> list[Element]:
        change = self.relabelled()
        lines = wrapped(clipped(self.verdict(), 360, 11), 380, 11)[:1]
        width = max(text_width(words, 11) for words in (self.decision, *lines)) + 24
        x, note = _BOX_X - width / 2, y + (20 if self.story.mode == "l4" else 24)
        parts = [
            element(
                "rect",
                x=x,
                y=note,
                width=width,
                height=38,
                rx=6,
                fill=REWRITTEN.fill,
                stroke=REWRITTEN.line,
                stroke_width=1.4,
            ),
            text(_BOX_X, note + 15, self.decision, 11, font_weight=700, text_anchor="middle", fill=INK),
            *(text(_BOX_X, note + 30, words, 11, text_anchor="middle", fill=INK) for words in lines),
        ]
        parts.append(shapes.diamond(_BOX_X, y if self.story.mode == "l4" else note - 2))
        if change:
            wide = text_width(change, 10, mono=True) + 12
            parts += [
                element(
                    "rect",
                    x=_BOX_X - wide / 2,
                    y=y - 28,
                    width=wide,
                    height=17,
                    rx=4,
                    fill=L4.line,
                    stroke=PAPER,
                    stroke_width=1.5,
                ),
                text(_BOX_X, y - 16, change, 10, text_anchor="middle", font_family=MONO, font_weight=700, fill=INK),
            ]
        return parts

    def _held(self, y: float) -> list[Element]:
        """Below the ladder: every telling field, with what the balancer did with it."""
        parts = [text(24, y, "What the balancer did with each field", 13, font_weight=700, fill=INK)]
        for i, row in enumerate(self.visible):
            at = y + _LINE * (i + 1)
            state = self._state(row)
            shown = mark(str(row["state"])).shape
            bold = 700 if shown == "dot" else None
            field = clipped(cell_text(row["field"]), 116, 12, mono=True)
            change = clipped(change_text(row.get("rewritten")), HALF - 404, 11, mono=True)
            parts += [
                shapes.state_sign(shown, 24, at - 11),
                text(44, at, field, 12, font_family=MONO, font_weight=bold, fill=INK),
                text(166, at, clipped(state, 226, 12), 12, font_weight=bold, fill=INK),
                text(392, at, change, 11, font_family=MONO, fill=REWRITTEN.word, text_decoration="underline"),
            ]
        return parts

    def _state(self, row: dict[str, Any]) -> str:
        shown = mark(str(row["state"]))
        words = str(row["state"]) if shown.shape == "question" else shown.word
        absent = self.story.held == 0 and str(row["layer"]).lower().startswith("http")
        return f"{words} (sent later)" if absent else words

    def words(self) -> str:
        story = self.story
        lines = [self.heading, f"{self.decision}: {self.verdict()}"]
        for i, step in enumerate(story.steps):
            ends = [story.client] if step.front is not None else []
            path = [*ends, story.balancer, *([story.backend] if step.back is not None else [])]
            lines.append(f"  {i + 1}. {' → '.join(path if step.from_client else path[::-1])}: {flag_words(step.row)}")
        lines += [f"  {words}" for words in self.past()]
        lines += [f"  {cell_text(row['field'])}: {self._state(row)}" for row in self.visible]
        return "\n".join(lines)


def _sequence(row: Row) -> str:
    """The absolute sequence number, where the protocol has one."""
    number = cell_text(row["seq"])
    return f"seq {number}" if number else ""
