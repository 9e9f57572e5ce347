"""A forwarding style as a picture: both directions between a client and a backend, with what is rewritten on each hop.

Drawn from a `Topology` and the style's name alone. docs/l4.md has the same as a table, field by field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.errors import PolicyError
from labkit.topology import Interface, Topology
from labkit.wording import shown

from . import shapes
from .palette import BACKEND, BLUE, CLIENT, IDLE, INK, L4, MONO, MUTED, PURPLE, REWRITTEN
from .picture import Picture
from .svg import Element, element, group, text

WIDTH = 1000
_X = {"client": 130, "middle": 500, "backend": 870}
_CENTRED = {"text_anchor": "middle"}
_HOST_Y, _ROW, _HALF = 66, 74, 92

_FINDINGS = {
    "dnat": "DNAT: {lb} gives the request a new destination and the answer its old source; {client}'s address stays",
    "full": "Full NAT: {lb} rewrites destination and source; {backend} answers {lb} and never sees {client}'s address",
    "dsr": "Direct server return: {lb} passes the packet on as it is; {backend} answers {client} over {gw}, past {lb}",
}


@dataclass(frozen=True, slots=True)
class Hop:
    """A packet between two nodes: its addresses there, and which of its fields the node before rewrote."""

    source: str
    target: str
    src: str
    dst: str
    rewritten: tuple[str, ...] = ()

    def words(self) -> str:
        changed = f"; rewritten: {', '.join(self.rewritten)}" if self.rewritten else ""
        return f"{self.source} → {self.target}: src {self.src}, dst {self.dst}{changed}"


def hops(topology: Topology, style: str) -> tuple[tuple[Hop, Hop], tuple[Hop, Hop]]:
    """The request's two hops and the answer's two, over IPv4. PolicyError for a style that the topology cannot have."""
    if style == "proxy":
        raise PolicyError(
            f'With style "proxy" no packet passes that could be drawn on its way: there are {", ".join(_FINDINGS)}. '
            "The ladder of a capture, cap.ladder(), shows its two connections."
        )
    if style not in _FINDINGS:
        raise PolicyError(f"There is no forwarding style {shown(style)}: there are {', '.join(_FINDINGS)}.")
    if style == "dsr" and topology.router is None:
        raise PolicyError(f"{topology.name} has no router, so no answer can bypass lb: use direct_return().")
    client, backend, lb, gw = topology.clients[0], topology.backends[0], topology.balancer, topology.router
    alice, vip, own, api = client.address, str(topology.vip4), _ip(lb.interface(topology.back.name)), backend.address
    source, target = {"dnat": (alice, api), "full": (own, api), "dsr": (alice, vip)}[style]
    routed = ("eth.src", "eth.dst", "ip.ttl")
    there = tuple(name for name, old, new in (("ip.src", alice, source), ("ip.dst", vip, target)) if old != new)
    back = tuple(name for name, old, new in (("ip.src", target, vip), ("ip.dst", source, alice)) if old != new)
    over = gw.name if gw is not None and style == "dsr" else lb.name
    request = (
        Hop(client.name, lb.name, alice, vip),
        Hop(lb.name, backend.name, source, target, (*routed, *there)),
    )
    answer = Hop(backend.name, over, target, source), Hop(over, client.name, vip, alice, (*routed, *back))
    return request, answer


def style_diagram(topology: Topology, style: str) -> Picture:
    """Both directions under a style of ``lab.balancer.l4``: "dnat", "full" or "dsr".

    >>> style_diagram(lab.topology, "full")

    PolicyError for a style that there is not, and for "dsr" where no router stands beside the balancer.
    """
    request, answer = hops(topology, style)
    names = {"client": request[0].source, "lb": request[0].target, "backend": request[1].target, "gw": answer[0].target}
    title = _FINDINGS[style].format(**names)
    top = shapes.title_height(title, WIDTH)
    words = "\n".join(hop.words() for hop in (*request, *answer))
    height = top + _HOST_Y + 2 * _ROW + 2 * _HALF
    drawn = [
        *_hosts(topology, style, names, top),
        *_way(request, top + _HOST_Y + _ROW, "request", BLUE, rightwards=True),
        *_way(answer, top + _HOST_Y + _ROW + _HALF + 40, "answer", PURPLE, rightwards=False),
        shapes.caption(shapes.MARGIN, height - 20, "Underlined: rewritten by the node before. Checksums follow."),
    ]
    return Picture(shapes.sheet(WIDTH, height, *drawn, title=title, description=words), f"{title}\n{words}", title)


def _ip(interface: Interface) -> str:
    return str(interface.address4.ip)


def _hosts(topology: Topology, style: str, names: dict[str, str], top: float) -> list[Element]:
    """Client, balancer and backend in a row; under direct server return the router below the balancer."""
    y, x = top + _HOST_Y / 2, _X["middle"]
    vip = f"VIP {topology.vip4} on its loopback" if style == "dsr" else topology.backends[0].address
    way = top + _HOST_Y + _ROW
    boxes = [(names["lb"], way, L4), *([(names["gw"], way + _HALF + 40, IDLE)] if style == "dsr" else [])]
    high = 56 if style == "dsr" else _HALF + 96
    return [
        shapes.client(_X["client"], y),
        text(
            _X["client"], y + 36, f"{names['client']} {topology.clients[0].address}", 12, fill=CLIENT.word, **_CENTRED
        ),
        shapes.backend(_X["backend"], y),
        text(_X["backend"], y + 36, f"{names['backend']} {vip}", 12, fill=BACKEND.word, **_CENTRED),
        *(
            group(
                shapes.box(x - 60, at - 28, 120, high, tone),
                text(x, at + 5, name, 16, font_weight=700, fill=INK, **_CENTRED),
            )
            for name, at, tone in boxes
        ),
    ]


def _way(two: Sequence[Hop], y: float, what: str, colour: str, *, rightwards: bool) -> list[Element]:
    """One direction: an arrow to the middle and one on, each with the packet's addresses there."""
    left, right = (two[0], two[1]) if rightwards else (two[1], two[0])
    spans = ((_X["client"], _X["middle"] - 66, left), (_X["middle"] + 66, _X["backend"], right))
    parts = [text(shapes.MARGIN, y + 4, what, 13, font_weight=700, fill=INK)]
    for x1, x2, hop in spans:
        begin, end = (x1, x2) if rightwards else (x2, x1)
        tip = -9 if rightwards else 9
        parts += [
            element("line", x1=begin, y1=y, x2=end + tip, y2=y, stroke=colour, stroke_width=3),
            element("path", d=f"M{end} {y} l{tip * 1.4:g} -6 l0 12 Z", fill=colour),
            *_label(hop, (x1 + x2) / 2, y),
        ]
    return parts


def _label(hop: Hop, x: float, y: float) -> list[Element]:
    lines = [("ip.src", f"src {hop.src}", y - 26), ("ip.dst", f"dst {hop.dst}", y - 10)]
    rest = [name for name in hop.rewritten if name not in ("ip.src", "ip.dst")]
    found = [_field(words, x, at, changed=name in hop.rewritten) for name, words, at in lines]
    if rest:
        found.append(_field(", ".join(rest), x, y + 18, changed=True))
    return found


def _field(words: str, x: float, y: float, *, changed: bool) -> Element:
    marks = {"text_decoration": "underline", "font_weight": "700"} if changed else {}
    colour = REWRITTEN.word if changed else MUTED
    return text(x, y, words, 12, fill=colour, font_family=MONO, **_CENTRED, **marks)
