"""Tables as HTML, readable in light and dark: plain ones, and the visibility matrix with its four states.

Every cell is escaped and inert. A state is shown by its sign and its words, never by colour alone; a rewritten
field is underlined and reads before → after. What the values mean is the business of analysis.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from . import shapes
from .palette import BLUE, VERMILION, mark
from .picture import Table
from .svg import escaped, inert

_TABLE = "border-collapse:collapse;font-size:13px;line-height:1.45;margin:.4em 0;font-variant-numeric:tabular-nums"
_CELL = "padding:.28em .7em;text-align:left;border-bottom:1px solid rgba(128,128,128,.35);vertical-align:top"
_HEAD = f"{_CELL};border-bottom:2px solid rgba(128,128,128,.7);white-space:nowrap"
_CAPTION = "caption-side:top;text-align:left;font-weight:700;font-size:14px;padding:.3em 0"
_MONO = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12px"
_SHORT = 28  # a longer value may be broken over lines
STATE_COLUMNS = ("layer", "field", "state", "rewritten")


def cell_text(value: object) -> str:
    """A value as one line of text: nothing for what is missing, times to the microsecond, floats in short."""
    if value is None or value is False:
        return "" if value is None else "no"
    if value is True:
        return "yes"
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {cell_text(item)}" for key, item in value.items())
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, Iterable):
        return ", ".join(map(cell_text, value))
    shown = str(value)
    return "" if shown in ("NaT", "<NA>") else inert(shown)


def change_text(value: object) -> str:
    """A rewrite in words, ``before → after``; nothing when the field was not rewritten."""
    if isinstance(value, tuple | list) and len(value) == 2 and not isinstance(value[0], tuple | list):
        return f"{cell_text(value[0])} → {cell_text(value[1])}"
    return "" if value is False else cell_text(value)


def html_table(frame: Any, title: str = "", *, limit: int = 200) -> Table:
    """A pandas DataFrame as an escaped table of at most *limit* rows; it says how many it leaves out."""
    columns = [str(column) for column in frame.columns]
    rows = [[cell_text(value) for value in row] for row in frame.head(limit).itertuples(index=False, name=None)]
    note = f"{len(frame) - limit:,} more rows are not shown." if len(frame) > limit else ""
    body = "".join(
        "<tr>" + "".join(f'<td style="{_value(value)}">{escaped(value)}</td>' for value in row) + "</tr>"
        for row in rows
    )
    html = _table(title, columns, body) + (f"<p>{note}</p>" if note else "")
    return Table(html, "\n".join(filter(None, [title, _aligned([columns, *rows]), note])), title)


def visibility_table(frame: Any, title: str = "What the balancer could see, read and use") -> Table:
    """The visibility matrix (DESIGN's columns: layer, field, one a vantage point, state, rewritten) as a table."""
    vantages = [str(column) for column in frame.columns if column not in STATE_COLUMNS]
    columns = ["layer", "field", *vantages, "the balancer", "rewritten"]
    lines, body = [columns], []
    for row in frame.to_dict("records"):
        shown = mark(str(row["state"]))
        state = str(row["state"]) if shown.shape == "question" else shown.word
        change = change_text(row.get("rewritten"))
        values = [cell_text(row[vantage]) for vantage in vantages]
        lines.append([cell_text(row["layer"]), cell_text(row["field"]), *values, state, change])
        under = f"text-decoration:underline {VERMILION} 2px;text-underline-offset:3px" if change else ""
        cells = [f'<td style="{_value(value)};{under}">{escaped(value)}</td>' for value in values]
        body.append(
            f'<tr style="{shown.css}"><td style="{_CELL}">{escaped(cell_text(row["layer"]))}</td>'
            f'<th scope="row" style="{_CELL};{_MONO};font-weight:inherit">{escaped(cell_text(row["field"]))}</th>'
            + "".join(cells)
            + f'<td style="{_CELL};white-space:nowrap">{shapes.state_shape(shown.shape)}{escaped(state)}</td>'
            f'<td style="{_value(change)};{under}">{escaped(change)}</td></tr>'
        )
    return Table(_table(title, columns, "".join(body)), f"{title}\n{_aligned(lines)}", title)


def _value(value: str) -> str:
    """How a value's cell looks: short ones stay on a line."""
    return f"{_CELL};{_MONO};" + (
        "white-space:nowrap" if len(value) <= _SHORT else "overflow-wrap:anywhere;min-width:16em"
    )


def _table(title: str, columns: Iterable[str], body: str) -> str:
    caption = f'<caption style="{_CAPTION}">{escaped(title)}</caption>' if title else ""
    heads = "".join(f'<th scope="col" style="{_HEAD}">{escaped(column)}</th>' for column in columns)
    return (
        f'<div tabindex="0" style="overflow-x:auto;border-left:3px solid {BLUE};padding-left:.7em">'
        f'<table style="{_TABLE}">{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _aligned(rows: list[list[str]]) -> str:
    """Rows as text, columns aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
