"""The demo's files: a picture of the connections per mode and a report that needs nothing else to be read."""

from pathlib import Path

from labkit.views import Section, report_html

from .claims import Verdict
from .run import Demo
from .show import TITLES


def write(demo: Demo, judged: list[Verdict], out: Path) -> list[Path]:
    """Write ``l4.svg``, ``l7.svg`` and ``report.html`` under *out*; say where they are."""
    paths, sections = [], []
    for mode, capture in demo.captures.items():
        picture = capture.diagram()
        paths.append(picture.save(out / f"{mode}.svg"))
        lines = [f"{'✓' if each.holds else '✗'} {each.claim}: {each.found}." for each in judged if each.mode == mode]
        evidence = [capture.visibility(), capture.connections().head(8), capture.loss()]
        sections.append(Section(TITLES[mode], "\n\n".join(lines), evidence, [picture]))
    report = out / "report.html"
    report.write_text(report_html("The same 40 requests at L4 and at L7", sections), encoding="utf-8")
    return [*paths, report]
