"""One row of a ladder: an arrow, a run of packets that are counted, or the decision."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from labkit.analysis.ladder.model import Arrow, Choice, Ladder, Row, Run

from . import ladder_words as say
from . import shapes
from .palette import BLUE, GREEN, IDLE, INK, L4, MODES, MONO, MUTED, PAPER, REWRITTEN, VERMILION
from .svg import Element, clipped, element, group, polyline, text, text_width

COLOURS = {False: BLUE, True: GREEN}  # connections of the clients, connections the balancer opened
HEIGHTS: dict[type, tuple[int, int]] = {Arrow: (24, 24), Run: (22, 26), Choice: (6, 44)}  # above and below a row's line


@dataclass(frozen=True)
class Places:
    """Where the rails stand. box: number of the balancer's first rail."""

    ladder: Ladder
    xs: tuple[float, ...]
    box: int | None

    def ground(self, rail: int) -> str:
        """The colour behind a rail."""
        inside = self.ladder.rails[rail].role == "balancer"
        return MODES.get(self.ladder.mode, IDLE).fill if inside else PAPER

    def middle(self, connection: int) -> float:
        """The middle of the balancer, or of the connection where there is none."""
        inside = [x for x, rail in zip(self.xs, self.ladder.rails, strict=True) if rail.role == "balancer"]
        path = self.ladder.line(connection).path
        return (inside[0] + inside[-1]) / 2 if inside else (self.xs[path[0]] + self.xs[path[-1]]) / 2

    def legs(self, low: int, high: int) -> list[tuple[float, float]]:
        """The stretches between neighbouring rails from *low* to *high*, without the inside of the balancer."""
        roles = [rail.role for rail in self.ladder.rails]
        return [
            (self.xs[i], self.xs[i + 1])
            for i in range(low, high)
            if not roles[i] == roles[i + 1] == "balancer" and self.xs[i + 1] - self.xs[i] > 150
        ]


def row_elements(row: Row, y: float, places: Places) -> list[Element]:
    draw: Callable[[Any, float, Places], list[Element]] = _DRAW[type(row)]
    time = text(16, y + 4, say.elapsed(row.after_ns), 10, fill=MUTED)
    return [time, *draw(row, y, places)]


# ------------------------------------------------------------------------------------------------------------ arrows


def _arrow(arrow: Arrow, y: float, places: Places) -> list[Element]:
    line = places.ladder.line(arrow.connection)
    colour = VERMILION if "reset" in arrow.marks else COLOURS[line.ending == "back"]
    dash = "7 4" if arrow.marks and "reset" not in arrow.marks else None
    start, end = places.xs[arrow.start], places.xs[arrow.end]
    way = 1 if end > start else -1
    plugs, begin, tip = [], start, end
    for at_end, rail in ((False, arrow.start), (True, arrow.end)):
        if line.ending in ("front", "back") and rail == line.path[-1 if line.ending == "front" else 0]:
            plugs.append(shapes.plug(places.xs[rail], y, colour, right=line.ending == "back"))
            begin, tip = (begin, end - 16 * way) if at_end else (start + 16 * way, tip)
    seen = [places.xs[stop.rail] for stop in arrow.stops]
    first, last = (
        (seen[0], seen[-1])
        if plugs == []
        else (seen[0] if seen[0] != start else begin, tip if seen[-1] == end else seen[-1])
    )
    body = [element("line", x1=min(begin, tip), y1=y, x2=max(begin, tip), y2=y, stroke=PAPER, stroke_width=7)]
    for a, b, guessed in ((begin, first, True), (first, last, False), (last, tip, True)):
        if abs(a - b) > 1:
            body.append(_stroke(a, b, y, colour, "1 5" if guessed else dash))
    way = (1 if arrow.out else -1) if arrow.lost else way
    head = (
        [_stroke(end, end + way * 34, y, colour, "1 5"), _cross(end + way * 42, y)]
        if arrow.lost
        else [element("path", d=polyline([(tip, y), (tip - way * 11, y - 6), (tip - way * 11, y + 6)], close=True),
                      fill=colour)]
    )  # fmt: skip
    dots = [shapes.vantage(x, y, 4.5) for x in seen if not (plugs and x in (start, end) and _in_box(places, x))]
    parts = [*body, *head, *dots, *plugs]
    parts += _numbers(arrow, y, places)
    parts += _labels(arrow, y, places)
    parts += _tags(arrow, y, places)
    said = " → ".join(say.place(stop.rail, places.ladder.rails, None) for stop in arrow.stops)
    changes = [say.change(stop.rewritten) for stop in arrow.stops if stop.rewritten]
    tooltip = "; ".join([f"{said}: {say.head(arrow)} {say.numbers(arrow)}", *changes])
    return [
        group(
            element("title", tooltip), *parts, class_="arrow", data_connection=arrow.connection,
            data_packets=" ".join(map(str, arrow.packets)), data_from=arrow.start, data_to=arrow.end,
        )
    ]  # fmt: skip


def _in_box(places: Places, x: float) -> bool:
    return any(rail.role == "balancer" and at == x for rail, at in zip(places.ladder.rails, places.xs, strict=True))


def _stroke(a: float, b: float, y: float, colour: str, dash: str | None) -> Element:
    return element(
        "line", x1=a, y1=y, x2=b, y2=y, stroke=colour, stroke_width=2.6, stroke_dasharray=dash,
        stroke_linecap="round" if dash == "1 5" else None,
    )  # fmt: skip


def _cross(x: float, y: float) -> Element:
    arms = f"{polyline([(x - 6, y - 6), (x + 6, y + 6)])} {polyline([(x - 6, y + 6), (x + 6, y - 6)])}"
    return element("path", d=arms, stroke=VERMILION, stroke_width=2.8, stroke_linecap="round", fill="none")


def _numbers(arrow: Arrow, y: float, places: Places) -> list[Element]:
    """The packet's number at each vantage point, on a spot of what lies below so that the rail does not cross it."""
    return [
        text(places.xs[stop.rail], y + 17, f"#{stop.packet}", 10, text_anchor="middle", fill=MUTED, font_family=MONO,
             stroke=places.ground(stop.rail), stroke_width=4, paint_order="stroke")
        for stop in arrow.stops
    ]  # fmt: skip


def _labels(arrow: Arrow, y: float, places: Places) -> list[Element]:
    """What the packet is on its first leg from the left; on the others, that it is the same one."""
    low, high = min(arrow.start, arrow.end), max(arrow.start, arrow.end)
    parts: list[Element] = []
    legs = places.legs(low, high)
    if legs and not (arrow.out or len(legs) < 2):
        legs = legs[::-1]  # where it comes from
    seen = [places.xs[stop.rail] for stop in arrow.stops]
    for turn, (left, right) in enumerate(legs):
        if turn and not min(seen) <= left < right <= max(seen):
            continue  # nobody saw it there
        middle, room = (left + right) / 2, right - left - 56
        told, bold = (
            (say.head(arrow), 700) if turn == 0 else ("same packet" if arrow.certain else "same by order", None)
        )
        colour = REWRITTEN.word if arrow.marks and turn == 0 else INK
        words = say.says(arrow) if turn == 0 else ""
        lock = arrow.encrypted and turn == 0
        label = clipped(f"{told} · {words}" if words else told, room - 18 * lock, 12)
        if lock:
            parts.append(shapes.state_sign("lock", middle - text_width(label, 12) / 2 - 16, y - 20))
        parts.append(
            text(middle, y - 7, label, 12, text_anchor="middle", font_weight=bold, fill=colour if bold else MUTED)
        )
        shown = clipped(say.numbers(arrow), room, 10, mono=True)
        parts.append(text(middle, y + 15, shown, 10, text_anchor="middle", font_family=MONO, fill=INK))
    if not legs:
        parts.append(text((places.xs[low] + places.xs[high]) / 2, y - 7, say.head(arrow), 12, text_anchor="middle"))
    way = 1 if arrow.out else -1
    for holds, rail, words, side in (
        (arrow.lost, arrow.end, "not seen further on", way), (arrow.late, arrow.start, "first seen here", -way)
    ):  # fmt: skip
        if holds:
            anchor = "start" if side > 0 else "end"
            x = places.xs[rail] + side * (54 if arrow.lost else 12)
            parts.append(text(x, y + 4, words, 11, text_anchor=anchor, font_weight=700, fill=REWRITTEN.word))
    return parts


def _tags(arrow: Arrow, y: float, places: Places) -> list[Element]:
    """The new label, stuck on the arrow where it was put on."""
    parts: list[Element] = []
    for before, after in pairwise(arrow.stops):
        change = say.tag(after.rewritten)
        if not change:
            continue
        a, b = sorted((before.rail, after.rail))
        inside = [i for i in range(a, b + 1) if places.ladder.rails[i].role == "balancer"]
        low, high = (inside[0], inside[-1]) if inside else (a, b)
        middle, room = (places.xs[low] + places.xs[high]) / 2, places.xs[high] - places.xs[low] - 60
        words = clipped(change, room, 11, mono=True)
        wide = text_width(words, 11, mono=True) + 10
        parts += [
            element("rect", x=middle - wide / 2, y=y - 10, width=wide, height=20, rx=4, fill=L4.line, stroke=PAPER,
                    stroke_width=1.5),
            text(middle, y + 4, words, 11, text_anchor="middle", font_family=MONO, font_weight=700, fill=INK,
                 text_decoration="underline", class_="tag"),
        ]  # fmt: skip
    return parts


# -------------------------------------------------------------------------------------------------- runs, decisions


def _run(run: Run, y: float, places: Places) -> list[Element]:
    """Each connection's share over its own rails: dotted both ways, with its counts."""
    parts: list[Element] = []
    for part in run.parts:
        line = places.ladder.line(part.connection)
        left, right = places.xs[line.path[0]], places.xs[line.path[-1]]
        colour = COLOURS[line.ending == "back"]
        ends = (
            (left, right - 16)
            if line.ending == "front"
            else (left + 16, right)
            if line.ending == "back"
            else (left, right)
        )
        names = tuple(say.place(line.path[i], places.ladder.rails, None) for i in (0, -1))
        room = ends[1] - ends[0] - 40 - 18 * part.encrypted
        told = [f"… {say.run_part(part, some, line.proto)}" for some in ((names[0], names[1]), None)]
        words = clipped(next((words for words in told if text_width(words, 11) <= room), told[-1]), room, 11)
        middle, wide = (ends[0] + ends[1]) / 2, text_width(words, 11) + 14
        shapes_ = [
            element("line", x1=ends[0] + 4, y1=at, x2=ends[1] - 4, y2=at, stroke=colour, stroke_width=2,
                    stroke_dasharray="2 4")
            for at in (y - 4, y + 4)
        ]  # fmt: skip
        plug = {
            "front": [shapes.plug(right, y, colour, right=False)],
            "back": [shapes.plug(left, y, colour, right=True)],
        }
        parts.append(
            group(
                *shapes_,
                *plug.get(line.ending, []),
                element("rect", x=middle - wide / 2, y=y - 10, width=wide, height=20, rx=10, fill=PAPER, stroke=colour),
                text(middle, y + 4, words, 11, text_anchor="middle", fill=INK),
                *([shapes.state_sign("lock", middle - wide / 2 - 18, y - 8)] if part.encrypted else []),
                class_="run", data_connection=part.connection,
            )
        )  # fmt: skip
    return parts


def _choice(choice: Choice, y: float, places: Places) -> list[Element]:
    """The decision as a note in the balancer; its diamond is on the packet's own line at L4, by itself at L7."""
    middle = places.middle(choice.connection)
    shown = [clipped(words, 470, 11) for words in (say.decided(choice), say.verdict(choice))]
    wide = max(text_width(words, 11) for words in shown) * 1.06 + 52
    left = middle - wide / 2
    on_line = choice.mode == "l4" and choice.rail is not None
    x, at = (
        (places.xs[choice.rail or 0], y - HEIGHTS[Arrow][1] - HEIGHTS[Choice][0]) if on_line else (left + 20, y + 20)
    )
    note = [
        *([element("line", x1=x, y1=at + 20, x2=x, y2=y, stroke=VERMILION, stroke_width=1.6)] if on_line else []),
        element("rect", x=left, y=y, width=wide, height=40, rx=7, fill=REWRITTEN.fill, stroke=REWRITTEN.line,
                stroke_width=1.5),
        *(
            text(middle + (0 if on_line else 14), y + 16 + 16 * i, words, 11, font_weight=None if i else 700,
                 text_anchor="middle", fill=INK)
            for i, words in enumerate(shown)
        ),
        shapes.diamond(x, at, 10),
    ]  # fmt: skip
    return [group(*note, class_="decision", data_packet=choice.packet or 0, data_connection=choice.connection)]


_DRAW: dict[type, Callable[[Any, float, Places], list[Element]]] = {Arrow: _arrow, Run: _run, Choice: _choice}
