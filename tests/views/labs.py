"""Topologies and graphs of any size, and a lab in memory for what the panel does with one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from types import SimpleNamespace
from typing import Any

import networkx as nx
import pandas as pd

from labkit.errors import LabNotRunning, TrafficError
from labkit.topology import Interface, Link, Listener, Node, Topology


def topology(backends: int = 4, clients: int = 2) -> Topology:
    def one(link: str, address: str) -> Interface:
        return Interface(link, IPv4Interface(f"{address}/24"))

    half = (backends + 1) // 2
    names = [f"api{i + 1}" for i in range(half)] + [f"images{i + 1}" for i in range(backends - half)]
    people = (["alice", "bob"] + [f"client{i}" for i in range(clients)])[:clients]
    return Topology(
        "default",
        (Link("front", IPv4Network("10.0.1.0/24")), Link("back", IPv4Network("10.0.2.0/24"))),
        (
            *(Node(name, "client", (one("front", f"10.0.1.{11 + i}"),)) for i, name in enumerate(people)),
            Node("lb", "balancer", (one("front", "10.0.1.10"), one("back", "10.0.2.1"))),
            *(Node(name, "backend", (one("back", f"10.0.2.{11 + i}"),)) for i, name in enumerate(names)),
        ),
        {"api": tuple(names[:half]), "images": tuple(names[half:])},
        (Listener(80), Listener(53, "udp")),
    )


def l4_graph(lab: Topology, each: int = 5) -> nx.MultiDiGraph:
    """Every client with *each* connections to every backend, over lb."""
    graph = _hosts(lab)
    for client in lab.clients:
        for backend in lab.backends:
            graph.add_edge(client.name, backend.name, connections=each, mode="l4", via="lb")
    return graph


def l7_graph(lab: Topology, front: int = 20, back: int = 2) -> nx.MultiDiGraph:
    graph = _hosts(lab)
    for client in lab.clients:
        graph.add_edge(client.name, "lb", connections=front, mode="l7")
    for backend in lab.backends:
        graph.add_edge("lb", backend.name, connections=back, mode="l7")
    return graph


def _hosts(lab: Topology) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    for node in lab.nodes:
        graph.add_node(node.name, role=node.role, address=node.address)
    return graph


@dataclass
class FakeBalancer:
    lab: "FakeLab"
    now: str = "l4"
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)
    relayed: tuple[Listener, ...] = ()

    @property
    def mode(self) -> str:
        if not self.lab.running:
            raise LabNotRunning("the lab was stopped. Call lab.start() first.")
        return self.now

    def l4(self) -> None:
        self._to("l4")

    def l7(self) -> None:
        self._to("l7")

    def _to(self, mode: str) -> None:
        self.calls.append(mode)
        if self.error:
            raise self.error
        self.now = mode

    def __repr__(self) -> str:
        return f"balancer  lb\nmode      {self.now}"


@dataclass
class FakeClient:
    """Answers in turn at L4, by the path's pool at L7; a connection each, as the panel's captures would count."""

    lab: "FakeLab"
    name: str

    def get(self, url: str) -> Any:
        lab = self.lab
        lab.asked.append((self.name, url))
        lab.gate()
        pool = "images" if "/images/" in url else "api"
        names = [node.name for node in lab.topology.backends]
        allowed = names if lab.balancer.mode == "l4" else [name for name in names if name.startswith(pool)]
        lab.turn += 1
        backend = allowed[lab.turn % len(allowed)]
        if backend in lab.dead:
            raise TrafficError(f"{self.name} got no answer from {url}: connection refused.")
        lab.seen[self.name, backend] += 1
        lab.latest = backend
        return SimpleNamespace(status=200, backend=backend)


class FakeCapture:
    def __init__(self, lab: "FakeLab") -> None:
        self.lab = lab
        self.before = Counter(lab.seen)

    def graph(self) -> nx.MultiDiGraph:
        graph = _hosts(self.lab.topology)
        for (client, backend), number in (self.lab.seen - self.before).items():
            if self.lab.balancer.now == "l4":
                graph.add_edge(client, backend, connections=number, mode="l4", via="lb")
            else:
                graph.add_edge(client, "lb", connections=number, mode="l7")
                graph.add_edge("lb", backend, connections=number, mode="l7")
        return graph

    def decisions(self) -> pd.DataFrame:
        mode = self.lab.balancer.now
        read, rule = (("ip.dst", "tcp.dport"), "http-80") if mode == "l4" else (("http.target",), "/api/*")
        rows = [{"mode": mode, "read": read, "rule": rule, "backend": self.lab.latest}] if self.lab.latest else []
        return pd.DataFrame(rows, columns=["mode", "read", "rule", "backend"])


class FakeLab:
    def __init__(self, backends: int = 4) -> None:
        self.topology = topology(backends)
        self.runtime = "fake"
        self.running = True
        self.dead: set[str] = set()
        self.turn = -1
        self.latest = ""
        self.seen: Counter[tuple[str, str]] = Counter()
        self.asked: list[tuple[str, str]] = []
        self.gate: Any = lambda: None
        self.balancer = FakeBalancer(self)
        self.clients = [FakeClient(self, node.name) for node in self.topology.clients]

    @property
    def backends(self) -> list[Any]:
        return [SimpleNamespace(name=n.name, serving=n.name not in self.dead) for n in self.topology.backends]

    def __getattr__(self, name: str) -> FakeClient:
        try:
            return next(client for client in self.__dict__.get("clients", ()) if client.name == name)
        except StopIteration:
            raise AttributeError(name) from None

    @contextmanager
    def capture(self) -> Iterator[FakeCapture]:
        if not self.running:
            raise LabNotRunning("the lab was stopped. Call lab.start() first.")
        yield FakeCapture(self)
