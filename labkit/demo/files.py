"""The demo's files: a picture of the connections per mode and a report that needs nothing else to be read."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from labkit.capture import Capture
from labkit.errors import CaptureError
from labkit.views import Picture, Section, Table, html_table, report_html, side_by_side

from .claims import Verdict
from .run import REQUESTS, Demo
from .show import TITLES

_ROWS = 8


def write(demo: Demo, judged: Sequence[Verdict], out: Path) -> list[Path]:
    """Write ``l4.svg``, ``l7.svg`` and ``report.html`` into *out*; say where they are. OSError as from any write."""
    pictures = {mode: capture.diagram() for mode, capture in demo.captures.items()}
    paths = [picture.save(out / f"{mode}.svg") for mode, picture in pictures.items()]
    report = out / "report.html"
    sections = [
        _mode(TITLES[mode], pictures[mode], [each for each in judged if each.mode == mode], capture)
        for mode, capture in demo.captures.items()
    ]
    sections.append(_one_request(demo))
    report.write_text(report_html(f"The same {REQUESTS} requests at L4 and at L7", sections), encoding="utf-8")
    return [*paths, report]


def _one_request(demo: Demo) -> Section:
    heading = "One request in each mode"
    try:
        picture = side_by_side(demo.captures["l4"], demo.captures["l7"])
    except CaptureError as error:  # a run whose claims failed may have no such request; the report says so
        return Section(heading, str(error))
    return Section(heading, "The first of each capture, packet by packet, as the balancer met it.", pictures=[picture])


def _mode(title: str, picture: Picture, judged: Sequence[Verdict], capture: Capture) -> Section:
    connections = capture.connections()
    tables = [
        _claims(judged),
        capture.visibility(),
        html_table(
            connections.head(_ROWS), f"The first {min(_ROWS, len(connections))} of {len(connections)} connections"
        ),
        html_table(capture.loss(), "Packets captured and dropped"),
    ]
    return Section(title, tables=tables, pictures=[picture])


def _claims(judged: Sequence[Verdict]) -> Table:
    rows = [("yes" if each.holds else "NO", each.claim, each.found) for each in judged]
    held = sum(each.holds for each in judged)
    return html_table(pd.DataFrame(rows, columns=["holds", "claim", "found"]), f"{held} of {len(judged)} claims hold")
