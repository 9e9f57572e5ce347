"""The demo's report in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .claims import Verdict
from .figures import Figures
from .run import Demo

TITLES = {
    "l4": "L4: the balancer passes packets on",
    "l7": "L7: the balancer ends connections and reads requests",
}


def show(demo: Demo, judged: list[Verdict], console: Console) -> None:
    """Print what happened in both modes, side by side, and every claim with what was found."""
    figures = demo.figures
    console.print(
        f"Lab on [bold]{escape(figures.runtime)}[/]: ready in {figures.ready_seconds:.2f} s, "
        f"switched from L4 to L7 in {figures.switch_seconds * 1000:.0f} ms.\n"
    )
    console.print(_counts(figures))
    for mode, title in TITLES.items():
        table = Table(
            title=title, title_justify="left", title_style="bold", show_header=False, pad_edge=False, box=None
        )
        for verdict in (each for each in judged if each.mode == mode):
            mark = "[green]✓[/]" if verdict.holds else "[red]✗[/]"
            table.add_row(mark, escape(verdict.claim), f"[dim]{escape(verdict.found)}[/]")
        console.print()
        console.print(table)
    console.print()


def _counts(figures: Figures) -> Table:
    """Connections at every vantage point and answers by every backend, in each mode."""
    table = Table(title="TCP connections seen, and requests answered", title_justify="left", title_style="bold")
    table.add_column("where")
    for name in figures.modes:
        table.add_column(f"connections, {name.upper()}", justify="right")
        table.add_column(f"answers, {name.upper()}", justify="right")
    vantages = dict.fromkeys(name for mode in figures.modes.values() for name in mode.tcp_connections)
    for vantage in vantages:
        cells = []
        for mode in figures.modes.values():
            answers = mode.by_backend.get(vantage)
            cells += [str(mode.tcp_connections.get(vantage, 0)), "" if answers is None else str(answers)]
        table.add_row(escape(vantage), *cells)
    return table
