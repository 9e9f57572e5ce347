"""What a mode's replies and capture say, counted. Pure: tables and answers in, numbers out.

Nothing here knows what ought to come out; `claims` does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.topology import Topology


class Evidence(Protocol):
    """What is asked of a capture: tables (DataFrames with the documented columns) and its loss."""

    def packets(self) -> Any: ...

    def connections(self, per: Any = None) -> Any: ...

    def trajectories(self) -> Any: ...

    def exchanges(self) -> Any: ...

    def decisions(self) -> Any: ...

    def loss(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came back. backend, peer: who answered and whom it saw, by its own word."""

    client: str
    target: str
    status: int
    backend: str | None
    peer: str | None


@dataclass(frozen=True, slots=True)
class ModeFigures:
    """The figures of one mode. The names are those of the JSON, as far as they are in it.

    loss: per vantage point. captured: of the packets that the requests cannot do without, how many were captured there:
    in each TCP connection every side's SYN and the first packet of its data, each counted once. That is the same in
    every run and on every runtime. How many packets there are besides is not: address resolution, acknowledgements,
    pieces of data and repeats are as time and the kernel will; a connection may end after its capture. dropped: packets
    of any kind that the kernel did not hand over; None where the recording does not say.
    """

    requests: int
    answered: int
    by_backend: Mapping[str, int]
    tcp_connections: Mapping[str, int]
    same_connection: bool
    rewritten_fields: Sequence[str]
    balancer_reads: Sequence[str]
    loss: Mapping[str, Mapping[str, int | None]]
    routes: Mapping[str, Mapping[str, int]]
    # What the claims are judged by and tell besides:
    all_captured: int  # packets of every kind, at all vantage points together
    answers: Sequence[Answer]
    packets: int  # distinct TCP packets, wherever seen
    packets_through: int  # of these, seen at all of client, lb front, lb back and backend
    connections: int
    connections_through: int  # of these, seen on both sides of the balancer
    paired: int  # requests that the proxy's record pairs with a front and another, back connection
    same_sequence: int  # of these, pairs that begin with the same sequence number

    def as_json(self) -> dict[str, Any]:
        """The part that ``--json`` writes, in every run the same; routes only where the balancer routed by rules."""
        told = {
            "requests": self.requests,
            "answered": self.answered,
            "by_backend": dict(self.by_backend),
            "tcp_connections": dict(self.tcp_connections),
            "same_connection": self.same_connection,
            "rewritten_fields": list(self.rewritten_fields),
            "balancer_reads": list(self.balancer_reads),
            "loss": {vantage: dict(counts) for vantage, counts in self.loss.items()},
        }
        return {**told, "routes": {rule: dict(counts) for rule, counts in self.routes.items()}} if self.routes else told


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a whole run. modes: "l4" and "l7". captures: where their files are."""

    runtime: str
    ready_seconds: float
    switch_seconds: float
    modes: Mapping[str, ModeFigures]
    captures: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` writes: the modes' figures are the same in every run and on every runtime."""
        return {
            "runtime": self.runtime,
            "ready_seconds": round(self.ready_seconds, 6),
            "switch_seconds": round(self.switch_seconds, 6),
            "modes": {mode: figures.as_json() for mode, figures in self.modes.items()},
            "captures": dict(self.captures),
        }


def mode_figures(topology: Topology, answers: Sequence[Answer], capture: Evidence) -> ModeFigures:
    """Count what *capture* and *answers*, of the same requests, say."""
    front, back = topology.balancer.vantages
    connections = _tcp(capture.connections())
    sides = [set(seen) >= {front, back} for seen in connections["seen_at"]]
    trajectories = capture.trajectories()
    paths = trajectories[trajectories["connection"].isin(connections["connection"])]["path"]
    exchanges, packets, lost = capture.exchanges(), capture.packets(), capture.loss()
    pairs = [pair for pair in _pairs(exchanges) if pair[0] != pair[1]]
    return ModeFigures(
        requests=len(answers),
        answered=sum(answer.status == 200 for answer in answers),
        by_backend=_sorted(answer.backend for answer in answers if answer.backend),
        tcp_connections=_by_vantage(topology, _tcp(capture.connections(per="vantage"))),
        same_connection=bool(sides) and all(sides),
        rewritten_fields=_union(change for hops in trajectories["rewritten"] for change in hops),
        balancer_reads=_union(capture.decisions()["read"]),
        loss=_loss(lost, _needed(packets)),
        routes=_routes(exchanges),
        answers=tuple(answers),
        all_captured=int(lost["captured"].sum()),
        packets=len(paths),
        packets_through=sum(len(path) == 4 and {front, back} <= set(path) for path in paths),
        connections=len(connections),
        connections_through=sum(sides),
        paired=len(pairs),
        same_sequence=_same_sequence(packets, pairs),
    )


def _tcp(table: Any) -> Any:
    return table[table["proto"] == "TCP"]


def _by_vantage(topology: Topology, table: Any) -> dict[str, int]:
    counts = table.groupby("vantage")["connection"].nunique().to_dict()
    return {vantage: int(counts.get(vantage, 0)) for vantage in topology.vantages}


def _union(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Every name once, in the order of the layers."""
    names = {name for group in groups for name in group}
    order = {layer: place for place, layer in enumerate(("meta", "eth", "ct", "ip", "ip6", "tcp", "udp", "http"))}
    return tuple(sorted(names, key=lambda name: (order.get(name.split(".")[0], len(order)), name)))


def _sorted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _routes(exchanges: Any) -> dict[str, dict[str, int]]:
    told = exchanges[exchanges["rule"].notna() & exchanges["backend"].notna()]
    return {str(rule): _sorted(group["backend"]) for rule, group in told.groupby("rule")}


def _pairs(exchanges: Any) -> list[tuple[int, int]]:
    told = exchanges[exchanges["front_connection"].notna() & exchanges["back_connection"].notna()]
    return [(int(a), int(b)) for a, b in zip(told["front_connection"], told["back_connection"], strict=True)]


def _same_sequence(packets: Any, pairs: Iterable[tuple[int, int]]) -> int:
    opening = packets[(packets["proto"] == "TCP") & (packets["flags"] == "S")].drop_duplicates("connection")
    first = dict(zip(opening["connection"].tolist(), opening["seq"].tolist(), strict=True))
    return sum(first.get(front) is not None and first.get(front) == first.get(back) for front, back in pairs)


def _needed(packets: Any) -> Counter[str]:
    """Per vantage point: each side's SYN in each TCP connection, and the first packet of its data."""
    tcp = _tcp(packets)
    openings, data = tcp[tcp["flags"].str.contains("S", na=False)], tcp[tcp["payload_length"] > 0]
    once = ["vantage", "connection", "src", "sport"]
    return Counter(vantage for some in (openings, data) for vantage in some.drop_duplicates(once)["vantage"])


def _loss(table: Any, captured: Mapping[str, int]) -> dict[str, dict[str, int | None]]:
    return {
        vantage: {
            "captured": captured.get(vantage, 0),
            "dropped": None if dropped is None or dropped != dropped else int(dropped),
        }
        for vantage, dropped in zip(table["vantage"], table["dropped"], strict=True)
    }
