"""A capture as one HTML file: its finding, pictures, tables, the ladders of its first connections, its packets.

Nothing in it acts or is loaded from elsewhere; what came from the capture is text. Everything is bounded, and says
what it leaves out.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from labkit.errors import CaptureError

from .lines import counted
from .picture import Picture
from .report import Section, report_html
from .tables import html_table, visibility_table

LADDERS = 4
ROWS = 100
PACKETS = 200


class Shown(Protocol):
    """What is asked of a capture."""

    @property
    def finding(self) -> str: ...
    @property
    def recording(self) -> Any: ...
    def loss(self) -> Any: ...
    def protocols(self) -> Any: ...
    def connections(self) -> Any: ...
    def conversations(self) -> Any: ...
    def exchanges(self) -> Any: ...
    def decisions(self) -> Any: ...
    def visibility(self) -> Any: ...
    def packets(self) -> Any: ...
    def diagram(self) -> Picture: ...
    def ladder(self, connection: Any = None) -> Picture: ...


def capture_page(capture: Shown, name: str) -> str:
    """The page of a capture called *name*."""
    finding = capture.finding
    lacks = "\n\n".join(f"Not in the file: {lack}" for lack in capture.recording.lacks)
    sections = [
        Section("What it shows", lacks, pictures=[capture.diagram()]),
        Section("How much was captured", tables=[html_table(capture.loss(), "Packets captured and dropped"),
                                                 html_table(capture.protocols(), "Protocols")]),
        _ladders(capture),
        _tables("Connections", "", capture.connections(), "connection"),
        _tables("Requests", "Each with the connections that carried it.", capture.exchanges(), "request"),
        _tables("Decisions", "When the balancer chose, and what it had read.", capture.decisions(), "decision"),
        _visibility(capture),
        _tables("Conversations", "Frames at each vantage point.", capture.conversations(), "conversation"),
        _tables("Packets", "", capture.packets(), "packet", PACKETS),
    ]  # fmt: skip
    return report_html(f"{name}: {finding}", [section for section in sections if section])


def _ladders(capture: Shown) -> Section | None:
    """The ladders of the first connections; of those that a proxy paired, one for both."""
    connections = capture.connections()
    if not len(connections):
        return None
    drawn: list[Picture] = []
    told: set[int] = set()
    for row in connections.head(LADDERS * 4).itertuples():
        if len(drawn) == LADDERS or row.connection in told:
            continue
        told.update((row.connection, *(row.paired_with or ())))
        drawn.append(capture.ladder(row.connection))
    rest = len(connections) - len(told)
    more = f"{counted(rest, 'more connection')} {'is' if rest == 1 else 'are'} not drawn." if rest else ""
    return Section("Packet by packet", more, pictures=drawn)


def _visibility(capture: Shown) -> Section | None:
    try:
        frame = capture.visibility()
    except CaptureError:
        return None
    return Section("What could be seen", tables=[visibility_table(frame)]) if len(frame) else None


def _tables(heading: str, prose: str, frame: Any, word: str, most: int = ROWS) -> Section | None:
    if not len(frame):
        return None
    tables: Sequence[Any] = [html_table(frame, counted(len(frame), word), limit=most)]
    return Section(heading, prose, tables=tables)
