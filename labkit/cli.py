"""The ``labkit`` command. It parses and prints; what it does, the parts do.

Anything labkit raises on purpose becomes one line on standard error and exit status 1.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit import __version__
from labkit.errors import LabError
from labkit.terminal import never_fail

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    never_fail()
    asked = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = asked.command
    try:
        return command(asked)
    except LabError as error:
        print(f"labkit: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("labkit: interrupted", file=sys.stderr)
        return 130


def _one_line(error: LabError) -> str:
    """The message; of one that quotes a traceback, its beginning and its end."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1].strip()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("labkit", description="Watch a load balancer work, at L4 and at L7.")
    parser.add_argument("--version", action="version", version=f"labkit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "boot a lab, send 40 requests at L4 and 40 at L7, show the proof")
    demo.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures there too: the same in every run but for times, paths and the runtime",
    )
    demo.add_argument(
        "--runtime", default="auto", metavar="R", help="where hosts live: auto (the default), netns or docker"
    )
    demo.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where files go (default: out)")

    _command(commands, "doctor", _doctor, "say what works here, what does not, why, and what mends it")
    _command(commands, "build", _build, "build the image of the Docker runtime's hosts, unless the engine has it")
    _command(commands, "clean", _clean, "end what labs whose owner died left behind")

    notebooks = _command(commands, "notebooks", _notebooks, "open the notebooks in JupyterLab")
    notebooks.add_argument("options", nargs="*", metavar="OPTION", help="for JupyterLab, after --: -- --no-browser")

    opened = _command(commands, "open", _open, "explain a capture file, in the terminal and as a page")
    opened.add_argument("capture", metavar="CAPTURE", help="a pcapng or pcap file")
    opened.add_argument("--html", type=Path, metavar="FILE", help="write the same there as one HTML file")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    parser.set_defaults(command=run)
    return parser


def _demo(asked: argparse.Namespace) -> int:
    from rich.console import Console

    from labkit.demo.claims import verdicts
    from labkit.demo.files import write
    from labkit.demo.run import run
    from labkit.demo.show import show

    console = Console()
    with _writing():
        for folder in (asked.out, *([asked.json.parent] if asked.json else [])):
            folder.mkdir(parents=True, exist_ok=True)
    with console.status("starting") as status:
        done = run(asked.out, asked.runtime, status.update)
    judged = verdicts(done.figures, done.topology)
    with _writing():
        written = write(done, judged, asked.out)
        if asked.json:
            asked.json.write_text(json.dumps(done.figures.as_json(), indent=2) + "\n", encoding="utf-8")
            written.append(asked.json)
    show(done, judged, console)
    for path in (*done.figures.captures.values(), *written):
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    failed = [verdict for verdict in judged if not verdict.holds]
    for verdict in failed:
        print(f"labkit: {verdict.mode.upper()} claim failed: {verdict.claim}. Found: {verdict.found}.", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabError(f"The demo cannot write its files ({error}). Choose another place with --out.") from error


def _doctor(_: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from labkit.runtime.doctor import report

    findings = report()
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]✓[/]" if finding.works else "[red]✗[/]"
        table.add_row(mark, finding.name, escape(finding.detail))
    console = Console()
    console.print(table)
    # Commands to copy stand alone on their lines, never broken.
    for remedy in dict.fromkeys(finding.remedy for finding in findings if finding.remedy):
        console.print("\nTo mend it:")
        console.print(f"    {remedy}", highlight=False, markup=False, soft_wrap=True)
    usable = any(finding.works for finding in findings if finding.name.endswith(" runtime"))
    return 0 if usable else 1


def _build(_: argparse.Namespace) -> int:
    from labkit.runtime.docker.engine import Engine
    from labkit.runtime.docker.image import ensure

    print(f"{ensure(Engine(), lambda line: print(line, file=sys.stderr))} is ready")
    return 0


def _clean(_: argparse.Namespace) -> int:
    from labkit.runtime import clean

    for line in clean() or ["nothing was left behind"]:
        print(line)
    return 0


def _notebooks(asked: argparse.Namespace) -> int:
    if not NOTEBOOKS.is_dir():
        raise LabError(f"There are no notebooks at {NOTEBOOKS}. Run labkit from a clone of its repository.")
    sys.stdout.flush()
    as_root = ["--allow-root"] if os.geteuid() == 0 else []  # JupyterLab asks root to say that it is meant
    command = [sys.executable, "-m", "jupyter", "lab", f"--notebook-dir={NOTEBOOKS}", *as_root, *asked.options]
    os.execv(sys.executable, command)


def _open(asked: argparse.Namespace) -> int:
    from rich.console import Console

    from labkit.capture import Capture
    from labkit.reading import read, write_page

    capture, console = Capture.load(asked.capture), Console()
    if asked.html and os.path.exists(asked.html) and os.path.samefile(asked.html, asked.capture):
        raise LabError(
            f"The page would take the place of the capture {asked.capture}. Choose another file with --html."
        )
    read(capture, console)
    if asked.html:
        write_page(capture, asked.capture, asked.html)
        console.print(f"wrote {asked.html}", highlight=False, markup=False, soft_wrap=True)
    return 0
