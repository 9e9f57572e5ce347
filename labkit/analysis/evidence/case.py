"""A capture's tables as evidence for and against claims: `Case` is what is looked at, `Verdict` what is found.

Made from the tables that everybody sees (`packets`, `connections`, …) and the routes, so that a verdict names packets
anybody can look up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from labkit.analysis import summary
from labkit.analysis.events import decisions
from labkit.analysis.packets.headers import BY_NAME
from labkit.analysis.routes import Route, Routes
from labkit.analysis.study import Study
from labkit.errors import CaptureError
from labkit.wording import near_miss, shown

_NAMED = 12  # packets that are named one by one


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a claim holds. because: what contradicts it, in words. packets: that show it, or that contradict it."""

    holds: bool
    claim: str
    because: str = ""
    packets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """One packet on its way over a node: numbers and vantage points on both sides, and what changed in between."""

    connection: int
    before: int
    after: int
    way: tuple[str, str]
    changed: dict[str, tuple[object, object]]


class Case:
    """What one capture shows."""

    def __init__(self, study: Study, routes: Routes) -> None:
        self.study = study
        self._routes = routes

    @cached_property
    def packets(self) -> Any:
        return self.study.packets_table()

    @cached_property
    def connections(self) -> dict[int, dict[str, Any]]:
        rows = self.study.connections_table().to_dict("records")
        return {int(row["connection"]): row for row in rows}

    @cached_property
    def routes(self) -> list[Route]:
        """Of the TCP connections."""
        return [route for route in self._routes.all if route.proto == "TCP"]

    @cached_property
    def every_route(self) -> list[Route]:
        return self._routes.all

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Front and back connections that one request went over, or that were relayed, each pair once."""
        found = ((front, back) for front, back in self.study.both_sides if front is not None and back is not None)
        return list(dict.fromkeys((int(front), int(back)) for front, back in found))

    @cached_property
    def decisions(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = decisions.table(
            self.study.decisions, self.study.index, self.study.vantages
        ).to_dict("records")
        return rows

    @cached_property
    def loss(self) -> list[tuple[str, int, int | None]]:
        return summary.loss(self.study)

    @cached_property
    def trajectories(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.study.trajectories_table().to_dict("records")
        return rows

    def route(self, connection: int) -> Route:
        return self._routes.all[connection - 1]

    def mode(self, connection: int) -> str | None:
        return self._routes.modes.get(connection)

    def first(self, connections: Iterable[int]) -> tuple[int, ...]:
        """The number of the first packet of each connection."""
        table = self.packets.dropna(subset=["connection"])
        first = table.groupby("connection")["number"].min()
        return tuple(int(first[one]) for one in connections if one in first.index)

    def numbers(self, connections: Iterable[int]) -> tuple[int, ...]:
        """All packets of these connections."""
        table = self.packets
        return tuple(int(n) for n in table[table["connection"].isin(list(connections))]["number"])

    def hops(self, node: str | None) -> list[Hop]:
        """The steps of packets of a connection over *node* (None: every step)."""
        found = []
        for row in self.trajectories:
            if row["connection"] != row["connection"] or row["connection"] is None:
                continue  # of no connection
            steps = zip(pairwise(row["packets"]), pairwise(row["path"]), row["rewritten"], strict=True)
            for (before, after), way, changed in steps:
                if node is None or self._over(way, node):
                    found.append(Hop(int(row["connection"]), before, after, way, changed))
        return found

    def _over(self, way: tuple[str, str], node: str) -> bool:
        """Whether a step leads over *node*: both its vantage points are there, or it leads from client to backend."""
        at = dict(zip(self.study.vantages, self.study.nodes.at_vantage, strict=True))
        ends = [at[vantage] for vantage in way]
        roles = {self.study.nodes.roles.get(end) for end in ends}
        return ends == [node, node] or (node == self.study.nodes.balancer and roles == {"client", "backend"})

    # names, refused as lessons

    def host(self, name: object) -> str:
        """*name*, if the capture knows such a host."""
        known = [*self.study.nodes.roles, *(end for route in self._routes.all for end in (route.source, route.target))]
        return _known("host", name, dict.fromkeys(known))

    def header_field(self, name: object) -> str:
        """*name*, if it is a field of a header below HTTP, or of HTTP."""
        if isinstance(name, str) and name.startswith("http.header.") and len(name) > len("http.header."):
            return name.lower()
        return _known("field", name, (*BY_NAME, "http.host", "http.cookie", "http.header.…"))


def _known(kind: str, name: object, known: Iterable[str]) -> str:
    choices = list(known)
    if name not in choices:
        hint = near_miss(name, choices) or f": it has {', '.join(choices) or 'none'}"
        raise CaptureError(f"This capture has no {kind} {shown(name)}{hint}.")
    return str(name)


def named(packets: Iterable[int]) -> str:
    """Packet numbers as text: #1, #5, #9."""
    numbers = list(packets)
    rest = len(numbers) - _NAMED
    return ", ".join(f"#{number}" for number in numbers[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def span(packets: Iterable[int]) -> str:
    """The packets that show something, in short: #1…#12."""
    numbers = sorted(packets)
    if not numbers:
        return ""
    return f"#{numbers[0]}" if numbers[0] == numbers[-1] else f"#{numbers[0]}…#{numbers[-1]}"
