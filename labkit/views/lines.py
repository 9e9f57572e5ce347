"""A graph of connections as lines to draw: what kind each is, how many connections it stands for, whether it is lit.

Pure reading of the graph's nodes and edges; `graph` gives the lines their places.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["over", "into", "out", "direct", "between"]


@dataclass(frozen=True, slots=True)
class Line:
    """Connections of one kind between two nodes, as one line.

    kind: it runs over the balancer, ends in it, begins in it, never met it, or joins two balancers (not drawn).
    """

    source: str
    target: str
    count: int
    mode: str
    kind: Kind
    lit: bool = True


def by_role(graph: Any) -> dict[str, list[str]]:
    """The nodes' names by role; a balancer that only edges name is there too."""
    roles: dict[str, list[str]] = {"client": [], "balancer": [], "backend": []}
    for name, attributes in graph.nodes(data=True):
        roles.setdefault(attributes["role"], []).append(str(name))
    roles["balancer"] = roles["balancer"] or sorted({str(d["via"]) for *_, d in graph.edges(data=True) if d.get("via")})
    return roles


def lines(graph: Any, highlight: tuple[str, str] | None) -> list[Line]:
    """One line per pair of nodes, mode and kind, in the order of the nodes; lit or ghost."""
    roles, order = by_role(graph), {str(name): i for i, name in enumerate(graph.nodes)}
    middle = set(roles["balancer"])
    counts: Counter[tuple[str, str, str, Kind]] = Counter()
    for source, target, data in graph.edges(data=True):
        kind = _KINDS[bool(data.get("via")), str(source) in middle, str(target) in middle]
        counts[str(source), str(target), str(data["mode"]), kind] += int(data["connections"])
    found = sorted(counts.items(), key=lambda item: (order[item[0][0]], order[item[0][1]], item[0][2]))
    first = next(((source, target) for (source, target, _, kind), _ in found if kind == "over"), None)
    chosen = set(highlight or first or order) | middle
    return [
        Line(source, target, count, mode, kind, {source, target} <= chosen)
        for (source, target, mode, kind), count in found
    ]


# (runs via a balancer, begins at one, ends at one) -> kind
_KINDS: dict[tuple[bool, bool, bool], Kind] = {
    (False, False, False): "direct",
    (False, False, True): "into",
    (False, True, False): "out",
    **{(True, begins, ends): "over" for begins in (False, True) for ends in (False, True)},
    (False, True, True): "between",
}


def counted(number: int, word: str = "connection") -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def sentence(line: Line, balancer: str) -> str:
    """What a line says, in words."""
    where = {
        "over": f"one connection, over {balancer}",
        "into": f"ends in {line.target}",
        "out": f"begins in {line.source}",
        "direct": "not seen at a balancer",
        "between": "between balancers",
    }[line.kind]
    mode = "" if line.mode == "unknown" else f"{line.mode.upper()}, "
    return f"{line.source} → {line.target}: {counted(line.count)} ({mode}{where})"
