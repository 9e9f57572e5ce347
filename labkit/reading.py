"""What ``labkit open`` shows of a capture: in the terminal, and as a page (`labkit.views.page`).

Everything that comes from the file is made inert before it is printed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from labkit.capture import Capture
from labkit.errors import CaptureError, LabError
from labkit.views.ladder_words import size
from labkit.views.svg import inert
from labkit.views.tables import cell_text, change_text

_ROWS = 20


def read(capture: Capture, console: Console) -> None:
    """Print the whole story of *capture*: finding, loss, protocols, connections, requests, decisions, visibility and
    one connection as a ladder. Parts that it has nothing for are left out."""
    console.print(Text(inert(capture.finding), style="bold"))
    for lack in capture.recording.lacks:
        console.print(Text(f"not in the file: {inert(lack)}"))
    for title, frame, write, headings in (
        ("Vantage points", capture.loss(), _vantage, ("vantage", "captured", "dropped")),
        ("Protocols", capture.protocols(), _protocol, ("protocol", "frames", "bytes", "share")),
        ("Connections", capture.connections(), _connection, _CONNECTIONS),
        ("Requests", capture.exchanges(), _exchange, _EXCHANGES),
        ("Decisions", capture.decisions(), _decision, ("on packet", "at", "used", "rule", "backend")),
        ("What the balancer could see", _visibility(capture), _seen, ("field", "values", "the balancer", "rewritten")),
    ):
        if len(frame):
            console.print()
            _table(console, title, frame, write, headings)
    console.print()
    console.print(Text(_ladder(capture), no_wrap=True), soft_wrap=True)


def write_page(capture: Capture, name: str, target: Path) -> None:
    """Write the page of *capture* (a file called *name*) to *target*. LabError if it cannot be written."""
    from labkit.views.page import capture_page

    page = capture_page(capture, Path(name).name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LabError(f"The page cannot be written ({error}). Choose another place with --html.") from error


_CONNECTIONS = ("", "pair", "client", "server", "state", "packets", "bytes", "seen at")
_EXCHANGES = ("method", "target", "status", "rule", "backend", "front", "back")


def _table(
    console: Console, title: str, frame: Any, write: Callable[[Any], Sequence[str]], headings: Sequence[str]
) -> None:
    count = "" if title.startswith("What") else f": {len(frame):,}"
    table = Table(title=f"{title}{count}", title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in frame.head(_ROWS).itertuples():
        table.add_row(*(Text(inert(value)) for value in write(row)))
    console.print(table)
    if len(frame) > _ROWS:
        console.print(f"{len(frame) - _ROWS:,} more are not shown.")


def _vantage(row: Any) -> list[str]:
    return [row.vantage, f"{row.captured:,}", cell_text(row.dropped)]


def _protocol(row: Any) -> list[str]:
    return ["  " * row.depth + row.protocol, f"{row.frames:,}", size(row.bytes), f"{row.share:.1%}"]


def _connection(row: Any) -> list[str]:
    """One connection in few words; out and in, from the client's side."""
    ends = [_endpoint(*end) for end in ((row.client, row.client_port), (row.server, row.server_port))]
    counts = [f"{row.packets_out}+{row.packets_in}", f"{row.bytes_out:,}+{row.bytes_in:,}"]
    return [
        str(row.connection),
        cell_text(row.paired_with),
        *ends,
        cell_text(row.state),
        *counts,
        cell_text(row.seen_at),
    ]


def _exchange(row: Any) -> list[str]:
    return [cell_text(value) for value in (row.method, row.target, row.status, row.rule, row.backend,
                                           row.front_connection, row.back_connection)]  # fmt: skip


def _decision(row: Any) -> list[str]:
    return [cell_text(value) for value in (row.packet, row.vantage, row.read, row.rule, row.backend)]


def _visibility(capture: Capture) -> Any:
    """The matrix with the different values in one column."""
    frame = capture.visibility()
    places = [name for name in frame.columns if name not in ("layer", "field", "state", "rewritten")]
    values = [list(dict.fromkeys(filter(None, map(cell_text, row)))) for row in frame[places].to_numpy()]
    return frame.assign(value=[", ".join(some) for some in values])


def _seen(row: Any) -> list[str]:
    return [row.field, row.value, cell_text(row.state), change_text(row.rewritten)]


def _ladder(capture: Capture) -> str:
    """The first connection or request that tells something, as text; empty if there is none."""
    try:
        return capture.ladder().text
    except CaptureError:
        return ""


def _endpoint(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
