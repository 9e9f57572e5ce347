"""A packet for a notebook: its fields and its bytes, linked. Pointing at one lights the other, by CSS alone.

Where a notebook is not trusted the style is gone, so every field also says in figures which bytes it is.
"""

import hashlib
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from labkit.analysis.packets.dissection import Dissection, Layer, Part, dissected

from .lines import counted
from .svg import escaped, inert

_ROW = 16
_BYTES = 2_048  # more are counted, not shown
_VALUE = 200  # a longer value is shortened
_STYLE = """
.K{font-size:13px;line-height:1.45;color:var(--jp-ui-font-color1,inherit)}
.K .cols{display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start}
.K .cols>div{flex:1 1 20em;min-width:0}
.K table{border-collapse:collapse;margin:0 0 .5em 1em}
.K th,.K td{font-size:12px;text-align:left;padding:.05em .7em;font-weight:400;vertical-align:top}
.K th{white-space:nowrap}
.K td,.K pre{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12px}
.K td:last-child{opacity:.75;white-space:nowrap}
.K td:nth-child(2){overflow-wrap:anywhere}
.K summary{font-weight:700;cursor:pointer}
.K pre{line-height:1.6;margin:0;overflow-x:auto;position:sticky;top:1em}
"""
_LIT = "{background:#E69F00;color:#1D222B;outline:2px solid #D55E00;font-weight:700}"


def packet_html(shown: Any) -> str:
    """The page of a scapy packet, self-contained and without script."""
    taken = dissected(shown)
    fields = [part for layer in taken.layers for part in layer.parts]
    body = (
        f'<div><b>{escaped(heading(taken))}</b></div><div class="cols"><div>{_fields(taken)}</div>'
        f"<pre>{_dump(taken)}</pre></div>"
    )
    key = "lk" + hashlib.sha256(body.encode()).hexdigest()[:10]
    rules = [f'.K:has([data-f~="{i}"]:is(:hover,:focus)) [data-f~="{i}"]{_LIT}' for i in range(len(fields))]
    rules += [f'.K:has(summary[data-l="{i}"]:is(:hover,:focus)) [data-l="{i}"]{_LIT}' for i in range(len(taken.layers))]
    style = (_STYLE + "\n".join(rules)).replace(".K", f".{key}")
    return f'<div class="{key}"><style>{style}</style>{body}</div>'


def packet_text(shown: Any) -> str:
    """The same in words: every field with its bytes, then the bytes."""
    taken = dissected(shown)
    width = max((len(part.name) for layer in taken.layers for part in layer.parts), default=0)
    lines = [heading(taken)]
    for layer in taken.layers:
        lines.append(f"{layer.name}  {_span(layer)}")
        lines += [f"  {part.name.ljust(width)}  {_value(part)}  [{_span(part)}]" for part in layer.parts]
    shown_bytes = taken.frame[:_BYTES]
    for at in range(0, len(shown_bytes), _ROW):
        some = shown_bytes[at : at + _ROW]
        lines.append(f"{at:04x}  {some.hex(' ').ljust(3 * _ROW)} {_letters(some)}")
    return "\n".join([*map(inert, lines), *([_more(taken)] if _more(taken) else [])])


def heading(taken: Dissection) -> str:
    """ "66 bytes on the wire, seen at alice", and how many of them were kept."""
    kept = "" if taken.wire_length == len(taken.frame) else f", {len(taken.frame):,} of them captured"
    where = f", seen at {taken.seen_at}" if taken.seen_at else ""
    layers = " / ".join(layer.name for layer in taken.layers) or "empty"
    return f"{counted(taken.wire_length, 'byte')} on the wire{kept}{where}: {layers}"


def show_in_notebooks() -> None:
    """Have a running IPython show every scapy packet so."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        formatters = shell.display_formatter.formatters
        formatters["text/html"].for_type_by_name("scapy.packet", "Packet", packet_html)
        formatters["text/plain"].for_type_by_name(
            "scapy.packet", "Packet", lambda shown, printer, cycle: printer.text(packet_text(shown))
        )


def _fields(taken: Dissection) -> str:
    html, number = [], 0
    for place, layer in enumerate(taken.layers):
        rows = []
        for part in layer.parts:
            rows.append(
                f'<tr tabindex="0" data-f="{number}"><th scope="row">{escaped(part.name)}</th>'
                f"<td>{escaped(_value(part))}</td><td>{_span(part)}</td></tr>"
            )
            number += 1
        html.append(
            f'<details open><summary data-l="{place}">{escaped(layer.name)} <small>{_span(layer)}</small></summary>'
            f"<table>{''.join(rows)}</table></details>"
        )
    return "".join(html)


def _dump(taken: Dissection) -> str:
    """Sixteen bytes a line, in hexadecimal and as letters; bytes of one field stand in one span a line."""
    owner, layer_of = _owners(taken)
    lines = []
    for at in range(0, min(len(taken.frame), _BYTES), _ROW):
        places = range(at, min(at + _ROW, len(taken.frame), _BYTES))
        hexadecimal = _spans(places, owner, layer_of, lambda some: taken.frame[some.start : some.stop].hex(" "), " ")
        letters = _spans(places, owner, layer_of, lambda some: _letters(taken.frame[some.start : some.stop]), "")
        lines.append(f"{at:04x}  {hexadecimal}{'   ' * (_ROW - len(places))}  {letters}")
    return "\n".join([*lines, *([_more(taken)] if _more(taken) else [])])


def _more(taken: Dissection) -> str:
    rest = len(taken.frame) - _BYTES
    return f"… {rest:,} more bytes" if rest > 0 else ""


def _owners(taken: Dissection) -> tuple[list[str], list[int]]:
    """For each byte the numbers of its fields, and the number of its layer."""
    shown = min(len(taken.frame), _BYTES)
    owner, layer_of = [""] * shown, [0] * shown
    number = 0
    for place, layer in enumerate(taken.layers):
        for part in layer.parts:
            for at in range(part.begin, min(part.end, shown)):
                owner[at] = f"{owner[at]} {number}".strip()
                layer_of[at] = place
            number += 1
    return owner, layer_of


def _spans(places: range, owner: list[str], layer_of: list[int], write: Any, between: str) -> str:
    return between.join(
        f'<span data-f="{fields}" data-l="{layer}">{escaped(write(some))}</span>'
        for (fields, layer), some in _runs(places, owner, layer_of)
    )


def _runs(places: range, owner: list[str], layer_of: list[int]) -> Iterator[tuple[tuple[str, int], range]]:
    for key, group in groupby(places, key=lambda at: (owner[at], layer_of[at])):
        some = list(group)
        yield key, range(some[0], some[-1] + 1)


def _letters(some: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in some)


def _value(part: Part) -> str:
    return part.value if len(part.value) <= _VALUE else f"{part.value[:_VALUE]}…"


def _span(part: Part | Layer) -> str:
    if part.begin == part.end:
        return "no bytes"
    one = part.end - part.begin == 1
    where = f"byte {part.begin}" if one else f"bytes {part.begin} to {part.end - 1}"
    bits = getattr(part, "bits", None)
    return f"{bits} bit{'s' if bits > 1 else ''} of {where}" if bits else where
