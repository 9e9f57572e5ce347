"""The shapes of the visual language, each drawn around a point: who is who, and what a balancer does to a letter.

Circle: client. Hexagon: backend. Closed envelope with a label stuck on it: L4. Open letter: L7. Plug: a
connection ends here. Ringed point: packets are captured here. Diamond: the decision falls here.
"""

import math

from .palette import IDLE, INK, L4, L7, MUTED, PAPER, ROLES, SANS, VERMILION, Tone
from .svg import Element, Number, document, element, group, polyline, render, text, wrapped

MARGIN = 24


def client(x: Number, y: Number, radius: Number = 17) -> Element:
    tone = ROLES["client"]
    return element("circle", cx=x, cy=y, r=radius, fill=tone.fill, stroke=tone.line, stroke_width=2.5)


def backend(x: Number, y: Number, radius: Number = 19, *, off: bool = False) -> Element:
    """A hexagon; dashed and crossed out when the server does not serve."""
    tone = IDLE if off else ROLES["backend"]
    corners = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in (i * math.pi / 3 for i in range(6))]
    dash = "4 3" if off else None
    shape = element(
        "path",
        d=polyline(corners, close=True),
        fill=tone.fill,
        stroke=tone.line,
        stroke_width=2.5,
        stroke_dasharray=dash,
    )
    arm = radius * 0.4
    crossed = element(
        "path",
        d=f"{polyline([(x - arm, y - arm), (x + arm, y + arm)])} {polyline([(x - arm, y + arm), (x + arm, y - arm)])}",
        stroke=VERMILION,
        stroke_width=2.5,
        stroke_linecap="round",
    )
    return group(shape, crossed) if off else shape


def box(x: Number, y: Number, width: Number, height: Number, tone: Tone) -> Element:
    return element(
        "rect", x=x, y=y, width=width, height=height, rx=14, fill=tone.fill, stroke=tone.line, stroke_width=2.5
    )


def closed_envelope(x: Number, y: Number, width: Number = 46) -> Element:
    """An unopened letter with a new label stuck over its old address."""
    w, h = width / 2, width * 0.34
    return group(
        element("rect", x=x - w, y=y - h, width=2 * w, height=2 * h, rx=3, fill=PAPER, stroke=L4.line, stroke_width=2),
        element(
            "path", d=polyline([(x - w + 1, y - h + 1), (x, y + 1), (x + w - 1, y - h + 1)]),
            fill="none", stroke=L4.line, stroke_width=2, stroke_linejoin="round",
        ),
        element(
            "rect", x=x - w * 0.12, y=y - h * 0.05, width=w * 0.92, height=h * 0.82, rx=1.5,
            fill=L4.line, stroke=PAPER, stroke_width=1.5,
        ),
        element(
            "path",
            d=f"{polyline([(x + w * 0.02, y + h * 0.22), (x + w * 0.62, y + h * 0.22)])} "
            f"{polyline([(x + w * 0.02, y + h * 0.50), (x + w * 0.44, y + h * 0.50)])}",
            stroke=INK, stroke_width=1.5,
        ),
    )  # fmt: skip


def open_letter(x: Number, y: Number, width: Number = 46) -> Element:
    """An opened envelope, its letter drawn out and readable."""
    w, h = width / 2, width * 0.34
    lines = " ".join(
        polyline([(x - w * 0.5, y - h * 1.25 + i * 5), (x + w * (0.5 - 0.2 * (i % 2)), y - h * 1.25 + i * 5)])
        for i in range(3)
    )
    pocket = [(x - w, y - h * 0.35), (x, y + h * 0.5), (x + w, y - h * 0.35), (x + w, y + h), (x - w, y + h)]
    flap = [(x - w, y - h * 0.35), (x, y - h * 1.3), (x + w, y - h * 0.35)]
    return group(
        element("path", d=polyline(flap), fill=L7.fill, stroke=L7.line, stroke_width=2, stroke_linejoin="round"),
        element(
            "rect", x=x - w * 0.72, y=y - h * 1.7, width=w * 1.44, height=h * 2.2, rx=2,
            fill=PAPER, stroke=L7.line, stroke_width=2,
        ),
        element("path", d=lines, stroke=INK, stroke_width=1.5),
        element(
            "path", d=polyline(pocket, close=True), fill=PAPER, stroke=L7.line, stroke_width=2, stroke_linejoin="round"
        ),
    )  # fmt: skip


def plug(x: Number, y: Number, colour: str, *, right: bool) -> Element:
    """A plug whose prongs reach *x*, coming from the right side or from the left: a connection ends here."""
    way = 1 if right else -1
    body = x + way * 5
    return group(
        element(
            "path",
            d=f"{polyline([(x - way * 3, y - 3), (body, y - 3)])} {polyline([(x - way * 3, y + 3), (body, y + 3)])}",
            stroke=INK, stroke_width=2, stroke_linecap="round",
        ),
        element("rect", x=min(body, body + way * 10), y=y - 6, width=10, height=12, rx=3, fill=colour),
    )  # fmt: skip


def vantage(x: Number, y: Number, radius: Number = 6) -> Element:
    return group(
        element("circle", cx=x, cy=y, r=radius, fill=PAPER, stroke=INK, stroke_width=1.8),
        element("circle", cx=x, cy=y, r=radius * 0.36, fill=INK),
    )


def diamond(x: Number, y: Number, radius: Number = 9) -> Element:
    """The decision."""
    corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    return element(
        "path", d=polyline(corners, close=True), fill=VERMILION, stroke=PAPER, stroke_width=2, paint_order="stroke"
    )


_STATE_SHAPES: dict[str, list[Element]] = {
    "lock": [
        element("path", d="M4 7V5a3 3 0 0 1 6 0v2", fill="none", stroke="currentColor", stroke_width=1.6),
        element("rect", x=2.5, y=7, width=9, height=6, rx=1.2, fill="currentColor"),
    ],
    "ring": [element("circle", cx=7, cy=7, r=4.2, fill="none", stroke="currentColor", stroke_width=1.4)],
    "half": [
        element("circle", cx=7, cy=7, r=4.2, fill="none", stroke="currentColor", stroke_width=1.4),
        element("path", d="M7 2.8A4.2 4.2 0 0 0 7 11.2Z", fill="currentColor"),
    ],
    "dot": [element("circle", cx=7, cy=7, r=4.8, fill="currentColor")],
    "question": [text(7, 11, "?", 12, text_anchor="middle", fill="currentColor")],
}


def state_shape(name: str) -> str:
    """A 14-pixel sign for inline use in HTML, in the colour of the text around it; hidden from screen readers."""
    return render(
        element(
            "svg", *_STATE_SHAPES[name], viewBox="0 0 14 14", width=14, height=14, aria_hidden="true",
            style="vertical-align:-2px;margin-right:.35em;flex:none",
        )
    )  # fmt: skip


def state_sign(name: str, x: Number, y: Number) -> Element:
    """The same sign inside a picture, its upper left corner at (x, y)."""
    return group(*_STATE_SHAPES[name], transform=f"translate({x} {y})", color=INK)


def sheet(width: Number, height: Number, *children: Element | list[Element], title: str, description: str) -> str:
    """The finished picture: paper, title (as high as `title_height` says), content."""
    lines = wrapped(title, width - 2 * MARGIN, 17)
    heading = [text(MARGIN, 34 + 22 * i, line, 17, font_weight=700, fill=INK) for i, line in enumerate(lines)]
    paper = element(
        "rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=12, fill=PAPER, stroke="#D5D8DE", stroke_width=1
    )
    return document(width, height, paper, heading, group(*children), title=title, description=description, font=SANS)


def title_height(title: str, width: Number) -> int:
    """How much room `sheet` needs for the title."""
    return 34 + 22 * len(wrapped(title, width - 2 * MARGIN, 17))


def caption(x: Number, y: Number, words: object, **attributes: str | Number | None) -> Element:
    """A small muted line."""
    return text(x, y, words, 12, **{"fill": MUTED, **attributes})
