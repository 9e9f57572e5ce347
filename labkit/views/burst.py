"""What the panel does and counts, without a widget: requests inside a real capture, added up mode by mode.

A request that gets no answer is a result like any other here; every other error of the lab is the caller's to show.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from labkit.errors import TrafficError
from labkit.topology import Topology

from .graph import connection_diagram
from .lab import LabState, Mode
from .lines import counted
from .picture import Picture
from .tables import cell_text

NO_ANSWER = "no answer"


class Reply(Protocol):
    """An answer: its status, and the backend that gave it by its own word (None: the balancer answered)."""

    @property
    def status(self) -> int: ...

    @property
    def backend(self) -> str | None: ...


class Client(Protocol):
    """A client host."""

    @property
    def name(self) -> str: ...

    def get(self, url: str, /) -> Reply: ...


class Seen(Protocol):
    """A capture, as far as the panel reads it."""

    def graph(self) -> Any: ...

    def decisions(self) -> Any: ...


class Switch(Mode, Protocol):
    """The balancer, as the panel switches it."""

    def l4(self) -> object: ...

    def l7(self) -> object: ...


class PanelLab(LabState, Protocol):
    """What the panel asks of a lab."""

    @property
    def balancer(self) -> Switch: ...

    @property
    def clients(self) -> Sequence[Client]: ...

    def capture(self) -> AbstractContextManager[Seen]: ...


@dataclass(frozen=True, slots=True)
class Burst:
    """Some requests of one client, and what was captured meanwhile. answers: who answered → how often."""

    mode: str
    client: str
    requests: int
    answers: Counter[str]
    last_backend: str | None
    failure: str
    graph: Any
    decision: str


@dataclass(slots=True)
class Tally:
    """All bursts of one mode added up: requests, and connections as (from, to, mode, via) → number."""

    mode: str
    topology: Topology
    requests: int = 0
    connections: Counter[tuple[str, str, str, str | None]] = field(default_factory=Counter)
    last: Burst | None = None

    def add(self, burst: Burst) -> None:
        self.requests += burst.requests
        self.last = burst
        for source, target, data in burst.graph.edges(data=True):
            self.connections[str(source), str(target), str(data["mode"]), data.get("via")] += int(data["connections"])

    def finding(self) -> str:
        """What the counts say, in one sentence."""
        if not self.requests:
            return f"{self.mode.upper()}: no requests yet"
        lb = self.topology.balancer.name
        over = front = back = 0
        for (source, target, _, _), number in self.connections.items():
            front += number if target == lb else 0
            back += number if source == lb else 0
            over += number if lb not in (source, target) else 0
        said = [f"{self.mode.upper()}: {counted(self.requests, 'request')}"]
        if over or not (front or back):
            said.append(f"{counted(over)} from client to backend")
        if front or back:
            said += [counted(front, "client connection"), counted(back, "back connection")]
        return ", ".join(said)

    def picture(self) -> Picture:
        """The connections so far, the last request's lit."""
        import networkx as nx

        graph = nx.MultiDiGraph()
        for node in self.topology.nodes:
            graph.add_node(node.name, role=node.role, address=node.address)
        for (source, target, mode, via), number in self.connections.items():
            graph.add_edge(source, target, mode=mode, via=via, connections=number)
        last = self.last
        lit = (last.client, last.last_backend) if last and last.last_backend else None
        return connection_diagram(graph, self.finding(), highlight=lit)


def send(lab: PanelLab, client: Client, url: str, requests: int) -> Burst:
    """*requests* times GET *url*, each on a connection of its own, inside one capture at all vantage points."""
    mode = lab.balancer.mode
    answers: Counter[str] = Counter()
    backend, failure = None, ""
    with lab.capture() as capture:
        for _ in range(requests):
            try:
                reply = client.get(url)
            except TrafficError as error:
                answers[NO_ANSWER] += 1
                failure = str(error)
            else:
                backend = reply.backend
                answers[backend or f"{lab.topology.balancer.name} itself, status {reply.status}"] += 1
    graph = capture.graph()
    return Burst(mode, client.name, requests, answers, backend, failure, graph, _decision(capture, graph))


def request_code(client: str, url: str, requests: int) -> str:
    """The Python that does what `send` does."""
    call = f"lab.{client}.get({json.dumps(url, ensure_ascii=False)})"
    lines = [f"    {call}"] if requests == 1 else [f"    for _ in range({requests}):", f"        {call}"]
    return "\n".join(["with lab.capture() as cap:", *lines, "cap.diagram()"])


def _decision(capture: Seen, graph: Any) -> str:
    """The last decision, in one sentence. graph: the capture's, which tells whether L4 ended what it decided on."""
    rows = capture.decisions().to_dict("records")
    if not rows:
        return "no decision was captured"
    row = rows[-1]
    at_l4 = [data.get("via") for _, _, data in graph.edges(data=True) if data["mode"] == "l4"]
    relayed = bool(at_l4) and not any(at_l4)
    on_syn = "after the handshake, before any request" if relayed else "on packet 1 (the SYN)"
    when = {"l4": on_syn, "l7": "after the request"}.get(str(row["mode"]), "")
    read = cell_text(row["read"]) or "nothing"
    chosen = cell_text(row["backend"]) or "answered by the balancer itself"
    rule = cell_text(row["rule"])
    return (
        f"{str(row['mode']).upper()} decided {when}: read {read}" + (f", rule {rule}" if rule else "") + f" → {chosen}"
    )
