"""A request's headers on their way as a table: what was added, removed, changed and moved, and where."""

from typing import Any

from labkit.analysis.evidence.headerdiff import HeaderDiff

from .picture import Table
from .tables import html_table

_CHANGES = ("added", "removed", "changed", "moved")


class Headers:
    """The header diff of one exchange.

    frame: a DataFrame with `name`, one column a known stage (`sent`, `seen` by the proxy, `forwarded`, `received` by
    the backend) and `change`. added, removed, changed, moved: names of headers. lacks: what is not known, in words.
    """

    def __init__(self, found: HeaderDiff) -> None:
        self._found = found
        self.frame = found.frame
        self.request, self.stages, self.lacks = found.request, found.stages, found.lacks
        self.added, self.removed = found.added, found.removed
        self.changed, self.moved = found.changed, found.moved

    @property
    def title(self) -> str:
        """Its finding, in a line."""
        counts = [f"{len(names)} {name}" for name in _CHANGES if (names := getattr(self, name))]
        target = next((row.values[0] for row in self._found.rows if row.name == "(target)" and row.values), "")
        return f"Headers of request {self.request}, {target}: {', '.join(counts) or 'nothing was changed'}"

    def _table(self) -> Table:
        return html_table(self.frame, self.title)

    def __repr__(self) -> str:
        return "\n".join([self._table().text, *self.lacks])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .svg import escaped

        notes = "".join(f"<p>{escaped(lack)}</p>" for lack in self.lacks)
        return {"text/html": self._table().html + notes, "text/plain": repr(self)}
