"""The picture of a lab: clients left, balancer in the middle, backends right, with links, pools and vantage points.

It draws what a `Topology` says and what the caller says is running; it looks at nothing itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.topology import Link, Node, Topology

from . import shapes
from .lines import counted
from .palette import BACKEND, CLIENT, HAIRLINE, IDLE, INK, MODE_WORDS, MODES, MONO, MUTED, VERMILION
from .picture import Picture
from .svg import Element, clipped, element, group, text

SERVING = "serving"
WIDTH = 1000
_CLIENT_X, _FRONT_X, _BOX_X, _BOX_WIDTH, _BACK_X, _BACKEND_X = 206, 286, 398, 180, 690, 774
_CENTRED = {"text_anchor": "middle"}
_ROUTER_ROOM = 76
_CROWD = 12  # more backends than this are drawn smaller
_WORDS = {
    "l4": "forwards their packets with a new label",
    "l7": "ends their connections and opens its own",
    "relays": "ends their connections, opens its own, and reads nothing",
    None: "is not running",
}


def topology_diagram(
    topology: Topology,
    mode: str | None,
    vantages: bool = True,
    running: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    relays: bool = False,
) -> Picture:
    """The lab as a picture.

    mode: "l4", "l7", or None for a lab that does not run. vantages: mark where packets can be captured.
    running: node name → what its server does ("serving", "killed", …); what is not "serving" is drawn as off.
    notes: lines to stand below the picture, and in its words. relays: L4 ends connections here (style "proxy").
    """
    states = running or {}
    groups = _grouped(topology)
    title = _title(topology, mode, relays)
    drawing = _Drawing(topology, mode, relays, vantages, states, groups, shapes.title_height(title, WIDTH), notes)
    description = "\n".join([_text(topology, mode, states, groups), *notes])
    svg = shapes.sheet(WIDTH, drawing.height, drawing.elements(), title=title, description=description)
    return Picture(svg, f"{title}\n{description}", title)


def _title(topology: Topology, mode: str | None, relays: bool) -> str:
    clients, backends = counted(len(topology.clients), "client"), counted(len(topology.backends), "backend")
    name = topology.balancer.name
    if mode is None:
        return f"{topology.name}: {clients}, balancer {name}, {backends}; {MODE_WORDS[None]}"
    return f"{MODE_WORDS[mode]}: {clients}, {backends}; {name} {_WORDS['relays' if relays and mode == 'l4' else mode]}"


def _grouped(topology: Topology) -> list[tuple[str, list[Node]]]:
    """Backends by pool, each once (in its first pool), in the order written; those in no pool last."""
    left = {node.name: node for node in topology.backends}
    groups = []
    for pool, names in topology.pools.items():
        members = [left.pop(name) for name in names if name in left]
        if members:
            groups.append((pool, members))
    return [*groups, ("", list(left.values()))] if left else groups


def _subnets(link: Link) -> str:
    return " ".join(str(net) for net in (link.subnet4, link.subnet6) if net)


def _named(node: Node, states: Mapping[str, str]) -> str:
    state = states.get(node.name, SERVING)
    return f"{node.name} {node.address}" + ("" if state == SERVING else f" ({state})")


def _text(topology: Topology, mode: str | None, states: Mapping[str, str], groups: list[tuple[str, list[Node]]]) -> str:
    lb, front, back = topology.balancer, topology.front, topology.back
    listeners = ", ".join(f"{item.ports_text}/{item.protocol}" for item in topology.listeners) or "none"
    return "\n".join(
        [
            f"clients on link {front.name} {_subnets(front)}: "
            + ", ".join(_named(node, states) for node in topology.clients),
            f"balancer {lb.name} ({MODE_WORDS[mode]}): VIP {topology.vip4}, listeners {listeners}",
            *(
                f"router {node.name}, beside it on both links: {', '.join(str(i.address4.ip) for i in node.interfaces)}"
                for node in topology.with_role("router")
            ),
            f"backends on link {back.name} {_subnets(back)}:",
            *(
                f"  {f'pool {pool}' if pool else 'no pool'}: " + ", ".join(_named(node, states) for node in members)
                for pool, members in groups
            ),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The layout: all places follow from the topology, so the same lab is the same picture."""

    topology: Topology
    mode: str | None
    relays: bool
    vantages: bool
    states: Mapping[str, str]
    groups: list[tuple[str, list[Node]]]
    title: int
    notes: Sequence[str]

    @property
    def crowd(self) -> bool:
        return max(len(self.topology.backends), len(self.topology.clients)) > _CROWD

    @property
    def row(self) -> int:
        return 28 if self.crowd else 48

    @property
    def top(self) -> int:
        return self.title + 62

    @property
    def body(self) -> int:
        backends = sum(len(members) * self.row + 34 for _, members in self.groups)
        box = 190 + 17 * len(self.topology.listeners[:6]) + self.beside
        return max(backends, len(self.topology.clients) * self.row, box)

    @property
    def beside(self) -> int:
        """Room below the balancer for the router, in a lab that has one."""
        return _ROUTER_ROOM if self.topology.router else 0

    @property
    def height(self) -> int:
        return self.top + self.body + 28 + 18 * len(self.notes) + (24 if self.vantages else 0)

    @property
    def middle(self) -> float:
        crowd = max(300, len(self.topology.clients) * self.row / 2)  # backends must not push it off the screen
        return self.top + min((self.body - self.beside) / 2, crowd)

    def elements(self) -> list[Element]:
        places = self._backend_places()
        client_rows = self._client_rows()
        beside = [self._router_y] if self.topology.router else []
        back = [y for _, _, rows in places for _, y in rows] + [self.middle, *beside]
        front = [*client_rows.values(), self.middle, *beside]
        return [
            *(self._pool(pool, frame) for pool, frame, _ in places if pool),
            self._bus(self.topology.front, _FRONT_X, front),
            self._bus(self.topology.back, _BACK_X, back),
            _wire(_FRONT_X, _BOX_X, self.middle),
            _wire(_BOX_X + _BOX_WIDTH, _BACK_X, self.middle),
            *(self._client(node, client_rows[node.name]) for node in self.topology.clients),
            *(self._backend(node, y) for _, _, rows in places for node, y in rows),
            self._balancer(),
            *(self._router(node) for node in self.topology.with_role("router")),
            *self._legend(),
        ]

    def _client_rows(self) -> dict[str, float]:
        clients = self.topology.clients
        step = max(self.row, min(96, 2 * (self.middle - self.top) / (len(clients) + 1)))
        start = self.middle - step * (len(clients) - 1) / 2
        return {node.name: start + i * step for i, node in enumerate(clients)}

    def _backend_places(self) -> list[tuple[str, tuple[float, float], list[tuple[Node, float]]]]:
        """Per pool: its name, the frame's top and height, and its backends with their heights."""
        needed = sum(len(members) * self.row + 34 for _, members in self.groups)
        y = self.top + (self.body - needed) / 2
        places = []
        for pool, members in self.groups:
            rows = [(node, y + 24 + self.row * (i + 0.5)) for i, node in enumerate(members)]
            places.append((pool, (y, len(members) * self.row + 26.0), rows))
            y += len(members) * self.row + 34
        return places

    def _pool(self, name: str, frame: tuple[float, float]) -> Element:
        y, height = frame
        left = _BACKEND_X - 38
        return group(
            element(
                "rect", x=left, y=y, width=WIDTH - shapes.MARGIN - left, height=height, rx=10,
                fill="none", stroke=HAIRLINE, stroke_width=1.5,
            ),
            text(left + 12, y + 17, f"pool {name}", 12, fill=BACKEND.word, font_weight=700),
        )  # fmt: skip

    def _bus(self, link: Link, x: int, rows: list[float]) -> Element:
        first, last = min(rows) - 14, max(rows) + 14
        subnets = [str(link.subnet4), *([str(link.subnet6)] if link.subnet6 else [])]
        y = first - (68 if x == _BACK_X else 52)  # the back link's stands above the pools' frames
        return group(
            element("line", x1=x, y1=first, x2=x, y2=last, stroke=INK, stroke_width=4, stroke_linecap="round"),
            text(x, y, f"link {link.name}", 13, font_weight=700, text_anchor="middle", fill=INK),
            *(
                text(x, y + 16 + 14 * i, net, 11, text_anchor="middle", fill=MUTED, font_family=MONO)
                for i, net in enumerate(subnets)
            ),
        )

    def _client(self, node: Node, y: float) -> Element:
        marks = [shapes.vantage(_CLIENT_X + 40, y)] if self.vantages else []
        return group(
            _wire(_CLIENT_X, _FRONT_X, y),
            shapes.client(_CLIENT_X, y, 11 if self.crowd else 17),
            *self._label(node, _CLIENT_X - 28, y, "end", CLIENT.word),
            *marks,
        )

    def _backend(self, node: Node, y: float) -> Element:
        marks = [shapes.vantage(_BACKEND_X - 54, y, 5 if self.crowd else 6)] if self.vantages else []
        off = self.states.get(node.name, SERVING) != SERVING
        return group(
            _wire(_BACK_X, _BACKEND_X, y),
            shapes.backend(_BACKEND_X, y, 12 if self.crowd else 19, off=off),
            *self._label(node, _BACKEND_X + 30, y, "start", IDLE.word if off else BACKEND.word),
            *marks,
        )

    def _label(self, node: Node, x: float, y: float, anchor: str, colour: str) -> list[Element]:
        """Name and address: below each other, or side by side in a crowd."""
        state = self.states.get(node.name, SERVING)
        name = text(x, y - 2, node.name, 14, font_weight=700, text_anchor=anchor, fill=colour)
        under = {"text_anchor": anchor, "fill": MUTED, "font_family": MONO}
        if state != SERVING:
            under |= {"fill": VERMILION, "font_weight": "700"}
        words = node.address if state == SERVING else f"{node.address} {state}"
        if not self.crowd:
            return [name, text(x, y + 13, words, 11, **under)]
        return [
            text(x, y + 4.5, clipped(node.name, 92, 12), 12, font_weight=700, text_anchor=anchor, fill=colour),
            text(x + (96 if anchor == "start" else -90), y + 4, words, 11, **under),
        ]

    @property
    def _router_y(self) -> float:
        shown = min(len(self.topology.listeners), 7)
        return self.middle + (158 + 17 * shown) / 2 + 44

    def _router(self, node: Node) -> Element:
        """A plain box on both links: what it forwards it leaves as it is."""
        y, centre = self._router_y, _BOX_X + _BOX_WIDTH / 2
        parts = [
            _wire(_FRONT_X, _BOX_X, y),
            _wire(_BOX_X + _BOX_WIDTH, _BACK_X, y),
            shapes.box(_BOX_X, y - 22, _BOX_WIDTH, 44, IDLE),
            text(centre, y - 3, node.name, 14, font_weight=700, fill=INK, **_CENTRED),
            text(centre, y + 13, "router: answers may pass here", 11, fill=MUTED, **_CENTRED),
        ]
        return group(*parts, *(self._marks(node, y) if self.vantages else []))

    def _marks(self, node: Node, y: float) -> list[Element]:
        """The vantage points on both sides of a box."""
        marks: list[Element] = []
        for at, name in ((_BOX_X - 42, node.vantages[0]), (_BOX_X + _BOX_WIDTH + 42, node.vantages[-1])):
            words = text(at, y - 13, name, 11, fill=MUTED, font_family=MONO, **_CENTRED)
            marks += [shapes.vantage(at, y), words]
        return marks

    def _balancer(self) -> Element:
        node, tone = self.topology.balancer, MODES[self.mode]
        listeners = self.topology.listeners
        shown = [f":{item.ports_text} {item.protocol}" for item in listeners[:6]]
        if len(listeners) > 6:
            shown.append(f"and {len(listeners) - 6} more")
        height = 158 + 17 * len(shown)
        x, y, centre = _BOX_X, self.middle - height / 2, _BOX_X + _BOX_WIDTH / 2
        icon = {"l4": shapes.closed_envelope, "l7": shapes.open_letter}.get(self.mode or "")
        parts = [
            shapes.box(x, y, _BOX_WIDTH, height, tone),
            text(centre, y + 28, node.name, 17, font_weight=700, fill=INK, **_CENTRED),
            text(centre, y + 47, _mode_line(self.mode, self.relays), 12, font_weight=700, fill=tone.word, **_CENTRED),
            *([icon(centre, y + 86, 54)] if icon else []),
            text(centre, y + 128, f"VIP {self.topology.vip4}", 12, fill=INK, font_family=MONO, **_CENTRED),
            *(
                text(centre, y + 147 + 17 * i, words, 12, fill=MUTED, font_family=MONO, **_CENTRED)
                for i, words in enumerate(shown)
            ),
        ]
        return group(*parts, *(self._marks(node, self.middle) if self.vantages else []))

    def _legend(self) -> list[Element]:
        y, room = self.top + self.body + 30, WIDTH - 2 * shapes.MARGIN
        lines: list[Element] = []
        if self.vantages:
            lines = [
                shapes.vantage(shapes.MARGIN + 8, y - 4),
                shapes.caption(shapes.MARGIN + 22, y, "vantage point: every packet that passes here can be captured"),
            ]
            y += 24
        return lines + [
            shapes.caption(
                shapes.MARGIN, y + 18 * i, clipped(note, room, 12, mono=True), font_family=MONO, style="white-space:pre"
            )
            for i, note in enumerate(self.notes)
        ]


def _mode_line(mode: str | None, relays: bool) -> str:
    if mode == "l4" and relays:
        return "L4 · passes it on unread"
    return {"l4": "L4 · new label", "l7": "L7 · opens the letter"}.get(mode or "", "not running")


def _wire(x1: float, x2: float, y: float) -> Element:
    return element("line", x1=x1, y1=y, x2=x2, y2=y, stroke=INK, stroke_width=2)
