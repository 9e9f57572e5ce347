"""A report as one HTML file: pictures, tables and prose, with no script and nothing to load from elsewhere.

It follows the reader's light or dark preference, has headings and a list of contents for a screen reader, and
breaks well on paper. What stands in it is the caller's; everything is escaped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .picture import Picture, Table
from .svg import escaped
from .tables import STATE_COLUMNS, html_table, visibility_table

_STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #1d222b; --muted: #565d6b; --line: #d5d8de; --link: #005a8e }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181d; --ink: #e6e8ec; --muted: #a3aab8; --line: #3a404b; --link: #7fc4ee }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 1rem }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line) }
p { max-width: 46rem }
a { color: var(--link) }
nav ul { padding-left: 1.2rem; color: var(--muted) }
figure { margin: 1.2rem 0; break-inside: avoid }
svg { max-width: 100%; height: auto }
details { color: var(--muted); font-size: .85rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
table { page-break-inside: auto }
tr { break-inside: avoid }
@media print {
  :root { --paper: #fff; --ink: #000; --muted: #444; --line: #bbb; --link: #000 }
  body { max-width: none; padding: 0; font-size: 11pt }
  nav, details { display: none }
  figure > div { overflow: visible !important }
  table { font-size: 7.5pt !important }
  h2 { break-after: avoid }
}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report. prose: paragraphs, an empty line between them. tables: DataFrames or `Table`."""

    heading: str
    prose: str = ""
    tables: Sequence[Any] = ()
    pictures: Sequence[Picture] = ()


def report_html(title: str, sections: Sequence[Section]) -> str:
    """The report as the text of one HTML file."""
    names = [f"s{i + 1}" for i in range(len(sections))]
    contents = "".join(
        f'<li><a href="#{name}">{escaped(section.heading)}</a></li>'
        for name, section in zip(names, sections, strict=True)
    )
    body = "".join(_section(name, section) for name, section in zip(names, sections, strict=True))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<header><h1>{escaped(title)}</h1></header>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def _section(name: str, section: Section) -> str:
    paragraphs = "".join(
        f"<p>{escaped(part.strip())}</p>\n" for part in re.split(r"\n\s*\n", section.prose) if part.strip()
    )
    pictures = "".join(_figure(picture, f"{name}p{i + 1}-") for i, picture in enumerate(section.pictures))
    tables = "".join(_figured(table) for table in section.tables)
    heading = f'<h2 id="{name}-h">{escaped(section.heading)}</h2>\n'
    return f'<section id="{name}" aria-labelledby="{name}-h">\n{heading}{paragraphs}{pictures}{tables}</section>\n'


def _figure(picture: Picture, prefix: str) -> str:
    """The picture, its ids made unique in the page, and its words for who cannot see it."""
    svg = re.sub(r'(\bid="|\baria-describedby=")(p[0-9a-f]{10}-)', rf"\1{prefix}\2", picture.svg)
    words = f"<details><summary>In words</summary><pre>{escaped(picture.text)}</pre></details>"
    return f"<figure>{svg}{words}</figure>\n"


def _figured(table: Any) -> str:
    """A table as it is; a DataFrame as what it is: the visibility matrix has its own look."""
    if not isinstance(table, Table):
        table = visibility_table(table) if set(STATE_COLUMNS) <= set(table.columns) else html_table(table)
    return f"<figure>{table.html}</figure>\n"
