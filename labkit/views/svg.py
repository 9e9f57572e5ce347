"""SVG as values: an element is a frozen tree, `render` writes it. Everything that comes from outside is inert.

Text and attributes are escaped, and characters that could act (control characters and ANSI sequences, bidi
overrides, what XML forbids) are shown as their escape, so a payload with ``<script>`` or ``\\x1b[31m`` is read
as what it is. Nothing here knows what a lab is.
"""

import hashlib
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

Number = float | int
_QUOTES = {'"': "&quot;", "'": "&#39;"}
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def inert(text: object, *, lines: bool = False) -> str:
    """*text* with every character that could act written as its escape (``\\x1b``, ``\\u202e``).

    lines: keep line ends and tabs.
    """
    whole = str(text)
    if whole.isprintable():  # which leaves more out than is escaped here, so the rest is looked at one by one
        return whole
    return "".join(
        c
        if (lines and c in "\n\t") or unicodedata.category(c) not in _UNPRINTABLE
        else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in whole
    )


def escaped(text: object) -> str:
    """*text*, inert and escaped for use in HTML or XML, between tags and within quoted attributes."""
    return escape(inert(text, lines=True), _QUOTES)


@dataclass(frozen=True, slots=True)
class Element:
    """One element: name, attributes in order, children (elements, or text that is escaped when written)."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple["Element | str", ...] = ()


def _number(value: Number) -> str:
    return str(value) if isinstance(value, int) else f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def element(name: str, *children: Element | str | Iterable[Element], **attributes: str | Number | None) -> Element:
    """An element. Attribute names are Python's: ``stroke_width`` is ``stroke-width``, ``class_`` is ``class``.

    Attributes that are None are left out; iterables of elements are taken in as children.
    """
    flat: list[Element | str] = []
    for child in children:
        if isinstance(child, Element | str):
            flat.append(child)
        else:
            flat.extend(child)
    named = (
        (key.rstrip("_").replace("_", "-"), value if isinstance(value, str) else _number(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Element(name, tuple(named), tuple(flat))


def group(*children: Element | str | Iterable[Element], **attributes: str | Number | None) -> Element:
    return element("g", *children, **attributes)


def text(x: Number, y: Number, words: object, size: Number = 13, /, **attributes: str | Number | None) -> Element:
    """One line of text with its baseline at *y*."""
    return element("text", inert(words), x=x, y=y, font_size=size, **attributes)


def polyline(points: Iterable[tuple[Number, Number]], *, close: bool = False) -> str:
    """Path data through *points*."""
    data = "M" + " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return data + "Z" if close else data


def curve(x1: Number, y1: Number, x2: Number, y2: Number, *, move: bool = True) -> str:
    """Path data of a smooth curve that leaves and arrives horizontally; move=False: it goes on from the last point."""
    middle = (x1 + x2) / 2
    start = f"M{_number(x1)} {_number(y1)} " if move else ""
    return f"{start}C{_number(middle)} {_number(y1)} {_number(middle)} {_number(y2)} {_number(x2)} {_number(y2)}"


def render(root: Element) -> str:
    """The XML of *root*; the same tree gives the same text."""
    attributes = "".join(f' {name}="{escaped(value)}"' for name, value in root.attributes)
    if not root.children:
        return f"<{root.name}{attributes}/>"
    inside = "".join(escaped(child) if isinstance(child, str) else render(child) for child in root.children)
    return f"<{root.name}{attributes}>{inside}</{root.name}>"


def document(
    width: Number, height: Number, *children: Element | Iterable[Element], title: str, description: str, font: str
) -> str:
    """A whole SVG that says in words what it shows: role, label, title and description.

    The ids are made from the words, so the same picture is the same text and two pictures on a page don't collide.
    """
    key = "p" + hashlib.sha256(f"{title}\0{description}".encode("utf-8", "replace")).hexdigest()[:10]
    return render(
        element(
            "svg",
            element("title", inert(title), id=f"{key}-title"),
            element("desc", inert(description, lines=True), id=f"{key}-desc"),
            *children,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_number(width)} {_number(height)}",
            style=f"width:100%;max-width:{_number(width)}px;height:auto",  # no fixed width: JupyterLab would crop it
            role="img",
            aria_label=inert(title),
            aria_describedby=f"{key}-desc",
            font_family=font,
        )
    )


_NARROWEST = 0.40
_NARROW, _WIDE = frozenset("ijlftrI.,:;|!'()[]/ "), frozenset("mwMW@%→←…·◆")


def text_width(words: str, size: Number, *, mono: bool = False) -> float:
    """An upper estimate, in the picture's units, of how wide *words* are drawn (fonts differ from page to page)."""

    def em(c: str) -> float:
        if unicodedata.east_asian_width(c) in "WF":
            return 1.05
        if mono:
            return 0.61
        return _NARROWEST if c in _NARROW else 0.98 if c in _WIDE else 0.72 if c.isupper() else 0.64

    return size * sum(map(em, inert(words)))


def clipped(words: object, width: Number, size: Number, *, mono: bool = False) -> str:
    """*words*, shortened with an ellipsis so as to fit *width*."""
    shown = inert(words)
    most = int(width / (size * _NARROWEST)) + 1  # more letters fit in no case
    if len(shown) <= most and text_width(shown, size, mono=mono) <= width:
        return shown
    shown = shown[:most]
    while shown and text_width(shown + "…", size, mono=mono) > width:
        shown = shown[:-1]
    return shown + "…"


def wrapped(words: object, width: Number, size: Number) -> list[str]:
    """*words* broken into lines of at most about *width*."""
    return textwrap.wrap(inert(words), max(8, int(width / (size * 0.56)))) or [""]
