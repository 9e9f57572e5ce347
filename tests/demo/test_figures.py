"""Counting, on small tables written by hand: three requests at each layer."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from labkit.demo.figures import Answer, Figures, mode_figures
from labkit.topology import default

WHOLE = ("alice", "lb:front", "lb:back", "api1")
ANSWERS = [
    Answer("alice", "/api/1", 200, "api1", "10.0.1.11"),
    Answer("alice", "/api/2", 200, "images1", "10.0.1.11"),
    Answer("bob", "/api/3", 502, None, None),
]


def evidence(
    connections: pd.DataFrame,
    vantages: list[tuple[str, int]],
    paths: list[tuple[int, tuple[str, ...], tuple[dict[str, Any], ...]]],
    exchanges: list[tuple[Any, ...]],
    reads: list[tuple[str, ...]],
    packets: pd.DataFrame,
) -> Any:
    per_vantage = pd.DataFrame(vantages, columns=["vantage", "connection"]).assign(proto="TCP")
    columns = ["rule", "backend", "front_connection", "back_connection"]
    loss = pd.DataFrame({"vantage": ["alice", "bob"], "captured": [7, 0], "dropped": [0, float("nan")]})
    return SimpleNamespace(
        connections=lambda per=None: connections if per is None else per_vantage,
        trajectories=lambda: pd.DataFrame(paths, columns=["connection", "path", "rewritten"]),
        exchanges=lambda: pd.DataFrame(exchanges, columns=columns),
        decisions=lambda: pd.DataFrame({"read": reads}),
        loss=lambda: loss,
        packets=lambda: packets,
    )


def packets(*rows: tuple[str, int, str, str, int, int], proto: str = "TCP") -> pd.DataFrame:
    """Each (vantage, connection, sender, flags, seq, payload_length); the sender as "name:port"."""
    ends = [dict(zip(("src", "sport"), sender.split(":"), strict=True)) for _, _, sender, *_ in rows]
    kept = [(vantage, connection, *rest) for vantage, connection, _, *rest in rows]
    table = pd.DataFrame(kept, columns=["vantage", "connection", "flags", "seq", "payload_length"])
    return table.join(pd.DataFrame(ends, columns=["src", "sport"])).assign(proto=proto)


def openings(first: dict[int, int]) -> pd.DataFrame:
    """connection -> the sequence number of its SYN, as alice sends it."""
    return packets(*(("alice", number, f"alice:{number}", "S", seq, 0) for number, seq in first.items()))


def connections(*seen_at: tuple[str, ...], udp: tuple[str, ...] = ("alice",)) -> pd.DataFrame:
    """One TCP connection for each, and one of UDP, which is none of TCP's."""
    rows = [*((number, "TCP", seen) for number, seen in enumerate(seen_at, 1)), (99, "UDP", udp)]
    return pd.DataFrame(rows, columns=["connection", "proto", "seen_at"])


L4 = evidence(
    connections(WHOLE, WHOLE),
    [(vantage, number) for vantage in WHOLE for number in (1, 2)] + [("alice", 2)],
    [
        (1, WHOLE, ({}, {"tcp.checksum": (1, 2), "ip.dst": ("a", "b")}, {})),
        (2, WHOLE[:3], ({}, {"eth.dst": ("a", "b"), "ip.dst": ("a", "b")})),
        (99, WHOLE, ({}, {"ip.ttl": (64, 63)}, {})),
    ],
    [],
    [("tcp.dport", "ip.dst"), ("ip.dst", "odd")],
    openings({1: 10, 2: 20}),
)
L7 = evidence(
    connections(WHOLE[:2], WHOLE[2:], WHOLE[:2], WHOLE[2:]),
    [("alice", 1), ("alice", 3), ("lb:front", 1), ("lb:front", 3), ("lb:back", 2), ("lb:back", 4), ("api1", 2)],
    [(1, WHOLE[:2], ({},)), (2, WHOLE[2:], ({},))],
    [("/api/*", "api1", 1, 2), ("/api/*", "images1", 3, 4), ("/api/*", "api1", 3, 3), (None, None, 3, None)],
    [("http.target",)],
    openings({1: 10, 2: 20, 3: 30, 4: 30}),
)


def test_l4() -> None:
    figures = mode_figures(default(), ANSWERS, L4)
    assert (figures.requests, figures.answered) == (3, 2)
    assert figures.by_backend == {"api1": 1, "images1": 1}
    assert {vantage: count for vantage, count in figures.tcp_connections.items() if count} == dict.fromkeys(WHOLE, 2)
    assert tuple(figures.tcp_connections) == default().vantages
    assert (figures.same_connection, figures.connections, figures.connections_through) == (True, 2, 2)
    assert figures.rewritten_fields == ("eth.dst", "ip.dst", "ip.ttl", "tcp.checksum")
    assert figures.balancer_reads == ("ip.dst", "tcp.dport", "odd")
    assert figures.loss == {"alice": {"captured": 2, "dropped": 0}, "bob": {"captured": 0, "dropped": None}}
    assert figures.all_captured == 7
    assert (figures.packets, figures.packets_through) == (2, 1)
    assert "routes" not in figures.as_json()


EXCHANGE = [
    ("alice", 1, "alice:4000", "S", 0, 0),
    ("alice", 1, "vip:80", "SA", 0, 0),
    ("alice", 1, "alice:4000", "PA", 1, 66),
    ("alice", 1, "vip:80", "PA", 1, 126),
]


@pytest.mark.parametrize(
    ("more", "alice", "bob"),
    [
        ([], 4, 0),
        ([("alice", 1, "alice:4000", "A", 1, 0), ("alice", 1, "vip:80", "FA", 388, 0)], 4, 0),  # it may come later
        ([("alice", 1, "vip:80", "PA", 127, 262)], 4, 0),  # a reply in two pieces
        ([("alice", 1, "alice:4000", "S", 0, 0), ("alice", 1, "alice:4000", "PA", 1, 66)], 4, 0),  # once more
        ([("bob", 1, sender, *rest) for _, _, sender, *rest in EXCHANGE], 4, 4),  # the same packets elsewhere
        ([("alice", 2, "alice:4001", "SEC", 0, 0), ("alice", 2, "vip:80", "RA", 0, 0)], 5, 0),
    ],
)
def test_captured_counts_what_every_run_has(more: list[Any], alice: int, bob: int) -> None:
    others = [
        packets(("alice", 9, "alice:53", "", 0, 30), proto="UDP"),
        packets(("alice", 8, "a:", "", 0, 0), proto="ARP"),
    ]
    told = SimpleNamespace(**vars(L4))
    told.packets = lambda: pd.concat([packets(*EXCHANGE, *more), *others], ignore_index=True)
    figures = mode_figures(default(), ANSWERS, told)
    assert {vantage: counts["captured"] for vantage, counts in figures.loss.items()} == {"alice": alice, "bob": bob}


def test_l7() -> None:
    figures = mode_figures(default(), ANSWERS, L7)
    assert (figures.same_connection, figures.connections, figures.connections_through) == (False, 4, 0)
    assert figures.routes == {"/api/*": {"api1": 2, "images1": 1}}
    assert (figures.paired, figures.same_sequence) == (2, 1)  # 3 with itself is no pair; 3 and 4 begin alike
    assert figures.rewritten_fields == ()
    assert figures.as_json()["routes"] == {"/api/*": {"api1": 2, "images1": 1}}


def test_some_connections_through_and_some_not_is_not_the_same_connection() -> None:
    per_vantage = L4.connections(per="vantage")
    mixed = SimpleNamespace(**vars(L4))
    mixed.connections = lambda per=None: connections(WHOLE, WHOLE[:2]) if per is None else per_vantage
    figures = mode_figures(default(), ANSWERS, mixed)
    assert (figures.same_connection, figures.connections_through) == (False, 1)


def test_the_json() -> None:
    modes = {"l4": mode_figures(default(), ANSWERS, L4), "l7": mode_figures(default(), ANSWERS, L7)}
    told = Figures("netns", 0.12345678, 0.00004, modes, {"l4": "a", "l7": "b"}).as_json()
    assert list(told) == ["runtime", "ready_seconds", "switch_seconds", "modes", "captures"]
    assert (told["ready_seconds"], told["switch_seconds"]) == (0.123457, 0.00004)
    assert list(told["modes"]["l7"]) == [
        *("requests", "answered", "by_backend", "tcp_connections", "same_connection", "rewritten_fields"),
        *("balancer_reads", "loss", "routes"),
    ]
