"""The picture of the connections: at L4 lines that run over the balancer, at L7 lines that end in it, in plugs.

It draws the graph that analysis counted and invents nothing: the number of connections is on every line.
Whether a line runs over or ends is read from the edge itself: its `via`, or that it leads to or from the balancer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import shapes
from .lines import Kind, Line, by_role, counted, lines, sentence
from .palette import BACKEND, BLUE, CLIENT, GHOST, GREEN, IDLE, INK, L4, MODES, MONO, MUTED, PAPER
from .picture import Picture
from .svg import Element, clipped, curve, element, group, text, text_width

WIDTH = 1000
_CLIENT_X, _BOX_X, _BOX_WIDTH, _BACKEND_X = 206, 400, 200, 794
_BOX_END = _BOX_X + _BOX_WIDTH
_HEAD = 126  # the box's own name, mode and icon, above the lanes
_CROWD = 12  # more nodes on a side than this are drawn smaller
_RUN = 112  # how far a line goes straight beside the box, where its number stands
_LABELLED = 160  # more lanes than this carry no number of their own (the nodes still do)


_MODE_LINES = {"l4": "L4 · new label", "l7": "L7 · opens the letter", "unknown": "mode not recorded"}
_RELAYED = "L4 · passes it on unread"


def connection_diagram(graph: Any, finding: str, highlight: tuple[str, str] | None = None) -> Picture:
    """The connections of *graph* (a networkx.MultiDiGraph) as a picture titled with its *finding*.

    Nodes have a ``role`` ("client", "balancer", "backend") and may have an ``address``; edges have ``connections``
    (int), ``mode`` ("l4", "l7", "unknown") and ``via``, the balancer they run over (or None). highlight: (client,
    backend) to light, the rest becomes ghosts. Without it, the first line that runs over the balancer is lit: many
    lines that cross at lb would look like L7.
    """
    drawing = _Drawing(by_role(graph), lines(graph, highlight), shapes.title_height(finding, WIDTH), _addresses(graph))
    description = drawing.words()
    svg = shapes.sheet(WIDTH, drawing.height, drawing.elements(), title=finding, description=description)
    return Picture(svg, f"{finding}\n{description}", finding)


def _addresses(graph: Any) -> dict[str, str]:
    return {str(name): str(data["address"]) for name, data in graph.nodes(data=True) if data.get("address")}


@dataclass(frozen=True)
class _Drawing:
    """The layout of one graph: every place follows from the graph alone."""

    roles: dict[str, list[str]]
    lines: Sequence[Line]
    title: int
    addresses: dict[str, str]

    @cached_property
    def balancer(self) -> str:
        return ", ".join(self.roles["balancer"])

    def _kind(self, kind: Kind) -> list[Line]:
        """The lines of a kind in the backends' order, so that they fan out cleanly on that side."""
        rank = {name: i for i, name in enumerate(self.roles["backend"])}
        return sorted((line for line in self.lines if line.kind == kind), key=lambda line: rank.get(line.target, -1))

    @cached_property
    def over(self) -> list[Line]:
        return self._kind("over")

    @cached_property
    def into(self) -> list[Line]:
        return self._kind("into")

    @cached_property
    def out(self) -> list[Line]:
        return self._kind("out")

    @cached_property
    def direct(self) -> list[Line]:
        return self._kind("direct")

    @cached_property
    def met(self) -> int:
        """Lanes at the box; those of lines that never met it lie below."""
        return len(self.over) + max(len(self.into), len(self.out))

    @cached_property
    def lanes(self) -> int:
        return self.met + len(self.direct)

    @cached_property
    def crowd(self) -> bool:
        return max(len(self.roles["client"]), len(self.roles["backend"])) > _CROWD

    @cached_property
    def zone(self) -> float:
        """Height of the part where lanes and nodes stand."""
        row, nodes = 26 if self.crowd else 52, max(len(self.roles["client"]), len(self.roles["backend"]), 2)
        return max(nodes * row, self.lanes * 17 if self.lanes <= _LABELLED else _LABELLED * 17)

    @property
    def top(self) -> float:
        return self.title + 10

    @property
    def height(self) -> float:
        return self.top + _HEAD + self.zone + 34 + 18 * len(self._notes())

    def _spread(self, count: int, start: float = 0.0, end: float = 1.0) -> list[float]:
        """Heights of *count* things, evenly within a share of the zone."""
        top, room = self.top + _HEAD + self.zone * start, self.zone * (end - start)
        return [top + room * (i + 0.5) / count for i in range(count)]

    def _heights(self, some: list[Line], start: float, end: float) -> list[float]:
        """Where lines of one kind meet the box: level with their hosts if these are all different and nothing else
        needs the room, else evenly in their share of the zone."""
        hosts = [line.source if line.kind == "into" else line.target for line in some]
        kinds = {line.kind for line in self.lines} - {"between"}
        if len(set(hosts)) == len(hosts) and (kinds == {"over"} or kinds <= {"into", "out"}):
            return [self.places[host][1] for host in hosts]
        return self._spread(len(some), start, end)

    @cached_property
    def places(self) -> dict[str, tuple[int, float]]:
        return {
            name: (x, y)
            for role, x in (("client", _CLIENT_X), ("backend", _BACKEND_X))
            for name, y in zip(self.roles[role], self._spread(len(self.roles[role])), strict=True)
        }

    def elements(self) -> list[Element]:
        share, met = (part / max(self.lanes, 1) for part in (len(self.over), self.met))
        spread = [
            (self.over, 0.0, share, self._over),
            (self.into, share, met, self._into),
            (self.out, share, met, self._out),
            (self.direct, met, 1.0, self._direct),
        ]
        runs: list[tuple[Line, float, Callable[[Line, float], Element]]] = [
            (line, y, draw)
            for some, start, end, draw in spread
            for line, y in zip(some, self._heights(some, start, end), strict=True)
        ]
        runs.sort(key=lambda run: run[0].lit)  # what is lit is drawn last, on top
        return [
            *([self._box(met if self.direct else 1.0)] if self.balancer else []),
            *(draw(line, y) for line, y, draw in runs),
            *(element_ for line, y, _ in runs for element_ in self._number(line, y)),
            *(self._tag(line, y) for line, y, _ in runs if line.kind == "over" and line.lit),
            *(self._node(name, "client") for name in self.roles["client"]),
            *(self._node(name, "backend") for name in self.roles["backend"]),
            *self._legend(),
        ]

    @cached_property
    def _most(self) -> int:
        return max(line.count for line in self.lines)

    def _width(self, line: Line) -> float:
        return 1.5 + min(5.5, 0.28 * self.zone / self.lanes) * line.count / self._most

    def _box(self, share: float) -> Element:
        """The balancer, over its share of the zone."""
        modes = sorted({line.mode for line in self.lines if line.kind != "direct"})
        mode = modes[0] if len(modes) == 1 else ""
        label = _MODE_LINES.get(mode, " and ".join(map(str.upper, modes)) or "no connection")
        if mode == "l4" and self.into and not self.over:
            label = _RELAYED
        middle, icons = _BOX_X + _BOX_WIDTH / 2, {"l4": shapes.closed_envelope, "l7": shapes.open_letter}
        tone = MODES.get(mode, IDLE)
        return group(
            shapes.box(_BOX_X, self.top, _BOX_WIDTH, _HEAD + self.zone * share + 8, tone),
            text(middle, self.top + 26, self.balancer, 17, font_weight=700, fill=INK, text_anchor="middle"),
            text(middle, self.top + 44, label, 12, font_weight=700, fill=tone.word, text_anchor="middle"),
            *(
                icons[m](middle + 34 * (2 * i - len(modes) + 1), self.top + 82, 46)
                for i, m in enumerate(modes)
                if m in icons
            ),
        )

    def _stroke(self, line: Line, path: str, colour: str) -> Element:
        width = self._width(line)
        casing = element("path", d=path, fill="none", stroke=PAPER, stroke_width=width + 4)
        drawn = element(
            "path",
            element("title", sentence(line, self.balancer)),
            d=path,
            fill="none",
            stroke=colour if line.lit else GHOST,
            stroke_width=width,
            stroke_linecap="round",
        )
        return group(casing, drawn) if line.lit else drawn

    def _over(self, line: Line, y: float) -> Element:
        """One unbroken line from client to backend, over the box, with a sticker where the label is changed."""
        way = (
            curve(*self.places[line.source], _BOX_X, y)
            + f" L{_BOX_END + _RUN} {y:.2f} "
            + curve(_BOX_END + _RUN, y, *self.places[line.target], move=False)
        )
        sticker = element(
            "rect", x=_BOX_X + _BOX_WIDTH / 2 - 7, y=y - 4.5, width=14, height=9, rx=1.5,
            fill=L4.line if line.lit else L4.fill, stroke=PAPER if line.lit else GHOST, stroke_width=1.2,
        )  # fmt: skip
        return group(self._stroke(line, way, BLUE), sticker)

    def _into(self, line: Line, y: float) -> Element:
        way = curve(*self.places[line.source], _BOX_X - _RUN, y) + f" L{_BOX_X - 14} {y:.2f}"
        return group(self._stroke(line, way, BLUE), shapes.plug(_BOX_X, y, BLUE if line.lit else GHOST, right=False))

    def _out(self, line: Line, y: float) -> Element:
        straight = f"M{_BOX_END + 14} {y:.2f} L{_BOX_END + _RUN} {y:.2f} "
        way = straight + curve(_BOX_END + _RUN, y, *self.places[line.target], move=False)
        return group(self._stroke(line, way, GREEN), shapes.plug(_BOX_END, y, GREEN if line.lit else GHOST, right=True))

    def _direct(self, line: Line, y: float) -> Element:
        """A line that never met the balancer passes below it."""
        way = (
            curve(*self.places[line.source], _BOX_X, y)
            + f" L{_BOX_END + _RUN} {y:.2f} "
            + curve(_BOX_END + _RUN, y, *self.places[line.target], move=False)
        )
        return self._stroke(line, way, BLUE)

    def _number(self, line: Line, y: float) -> Iterable[Element]:
        """The count, on the line beside the box."""
        if self.lanes > _LABELLED and not line.lit:
            return
        words = counted(line.count) if line.lit else f"{line.count:,}"
        room = text_width(words, 11) + 10
        gap = 22 if line.kind in ("into", "out") else 14
        x = _BOX_X - gap - room if line.kind == "into" else _BOX_END + gap
        yield element("rect", x=x, y=y - 8, width=room, height=16, rx=8, fill=PAPER)
        yield text(
            x + room / 2, y + 4, words, 11, text_anchor="middle",
            fill=INK if line.lit else MUTED, font_weight=700 if line.lit else None,
        )  # fmt: skip

    def _tag(self, line: Line, y: float) -> Element:
        """What happens at the balancer on the lit line: a new label, the same letter."""
        address = self.addresses.get(line.target)
        words = f"new label: dst → {address}" if address else "new label"
        width = min(text_width(words, 11) + 14, _BOX_WIDTH - 8)
        x = _BOX_X + (_BOX_WIDTH - width) / 2
        return group(
            element("rect", x=x, y=y - 25, width=width, height=18, rx=4, fill=L4.line, stroke=PAPER, stroke_width=1.5),
            text(x + width / 2, y - 12, words, 11, text_anchor="middle", font_weight=700, fill=INK),
        )

    def _node(self, name: str, role: str) -> Element:
        is_client, (x, y) = role == "client", self.places[name]
        tone = CLIENT if is_client else BACKEND
        total = sum(line.count for line in self.lines if name in (line.source, line.target))
        shape = shapes.client if is_client else shapes.backend
        anchor, way = ("end", -1) if is_client else ("start", 1)
        at = x + way * (22 if self.crowd else 30)
        size = 12 if self.crowd else 14
        shown = text(
            at, y + (4 if self.crowd else -2), clipped(name, 96 if self.crowd else 150, size), size,
            font_weight=700, text_anchor=anchor, fill=tone.word,
        )  # fmt: skip
        below = {"text_anchor": anchor, "fill": MUTED, "font_family": MONO}
        label = (
            text(at + way * 100, y + 4, f"{total:,}", 11, **below)
            if self.crowd
            else text(at, y + 14, counted(total), 11, **below)
        )
        return group(shape(x, y, 10 if self.crowd else 18), shown, label)

    def _notes(self) -> list[str]:
        notes = []
        if self.over:
            notes.append("One line over the box: the client's own connection, with a new label.")
        if self.into or self.out:
            notes.append(
                f"Plugs: connections end in {self.balancer}. Blue: opened by a client; green: by {self.balancer}."
            )
        if self.direct:
            notes.append("A line past the box: a connection that was not seen at a balancer.")
        return [*notes, "Width and number: connections."]

    def _legend(self) -> list[Element]:
        notes = self._notes()
        return [
            shapes.caption(shapes.MARGIN, self.height - 18 * (len(notes) - i), note) for i, note in enumerate(notes)
        ]

    def words(self) -> str:
        return "\n".join(sentence(line, self.balancer) for line in self.lines) or "no connections"
