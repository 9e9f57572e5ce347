"""What a view gives back: a `Picture` or a `Table`, frozen, each with a text that says the same.

Notebooks show the richest form they can; terminals, screen readers and nbval get the words.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """An SVG with its text alternative and the title that states its finding."""

    svg: str
    text: str
    title: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.text}

    def save(self, path: str | Path) -> Path:
        """Write the SVG to *path* (folders are made) and return where it is. OSError as from any write."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.svg, encoding="utf-8")
        return target


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """An HTML table with its text alternative and the title that states its finding."""

    html: str
    text: str
    title: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}
