"""A comparison of L4 and L7 as a page: the request in both modes, ladders, connections, and the tables below.

Made from a comparison's tables and captures alone. The text says the same as the page.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from labkit.errors import CaptureError

from .picture import Picture, Table
from .sidebyside import side_by_side
from .svg import escaped
from .tables import html_table

_UNITS = ((1.0, 1, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))


class Compared(Protocol):
    """What is asked of a comparison."""

    @property
    def l4(self) -> Any: ...

    @property
    def l7(self) -> Any: ...

    @property
    def finding(self) -> str: ...

    def connections(self) -> Any: ...

    def answered(self) -> Any: ...

    def visibility(self) -> Any: ...

    def rewrites(self) -> Any: ...

    def latency(self) -> Any: ...


def comparison_text(compared: Compared) -> str:
    """The whole comparison in words: every picture's text and every table."""
    pictures = [picture.text for row in _pictures(compared) for picture in row]
    return "\n\n".join([compared.finding, *pictures, *(table.text for table in _tables(compared))])


def comparison_html(compared: Compared) -> str:
    """The same as HTML; what belongs to each mode stands side by side, where the page is wide enough."""
    rows = "".join(_row(pictures) for pictures in _pictures(compared))
    tables = "".join(table.html for table in _tables(compared))
    return f"<div><p><b>{escaped(compared.finding)}</b></p>{rows}{tables}</div>"


def _row(pictures: list[Picture]) -> str:
    cells = "".join(f'<div style="flex:1 1 26rem;min-width:0">{picture.svg}</div>' for picture in pictures)
    return f'<div style="display:flex;flex-wrap:wrap;gap:1rem">{cells}</div>'


def _pictures(compared: Compared) -> Iterator[list[Picture]]:
    """The request in both modes, then both ladders, then both diagrams; what a capture cannot show is left out."""
    at_l4, at_l7 = compared.l4, compared.l7
    rows: tuple[tuple[Callable[[], Picture], ...], ...] = (
        (lambda: side_by_side(at_l4, at_l7),),
        (at_l4.ladder, at_l7.ladder),
        (at_l4.diagram, at_l7.diagram),
    )
    for makers in rows:
        found = [picture for make in makers if (picture := _made(make)) is not None]
        if found:
            yield found


def _made(make: Callable[[], Picture]) -> Picture | None:
    try:
        return make()
    except CaptureError:  # no request there, or too few vantage points
        return None


def _tables(compared: Compared) -> Iterator[Table]:
    yield html_table(compared.connections(), "Connections")
    yield html_table(compared.answered(), "Who answered")
    yield html_table(compared.visibility(), "What the balancer did with each field")
    changes = compared.rewrites()
    title = "What was rewritten" if len(changes) else "Nothing was rewritten"
    yield html_table(changes, title)
    yield html_table(_readable(compared.latency()), "Latency")


def _readable(latency: Any) -> Any:
    """Seconds with a unit that fits."""
    shown = latency.copy()
    for column in ("median", "least", "most"):
        shown[column] = [_duration(float(value)) for value in latency[column]]
    return shown


def _duration(seconds: float) -> str:
    factor, unit = next((factor, unit) for least, factor, unit in _UNITS if seconds >= least)
    return f"{seconds * factor:.3g} {unit}"
