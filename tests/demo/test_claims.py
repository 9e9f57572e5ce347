"""Every claim of the demo can fail: from figures that meet all of them, one thing is made false at a time."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from labkit.demo.claims import CLAIMS, verdicts
from labkit.demo.figures import Answer, Figures, ModeFigures
from labkit.topology import default

LAB = default()
VANTAGES = LAB.vantages
TARGETS = [f"/{('api', 'images')[number % 2]}/{number}" for number in range(8)]
LOSS = {vantage: {"captured": 32, "dropped": 0} for vantage in VANTAGES}


def answers(backends: list[str], peers: Mapping[str, str]) -> list[Answer]:
    clients = ["alice", "bob"] * 4
    told = zip(clients, TARGETS, backends, strict=True)
    return [Answer(client, target, 200, backend, peers[client]) for client, target, backend in told]


L4 = ModeFigures(
    requests=8,
    answered=8,
    by_backend={"api1": 2, "api2": 2, "images1": 2, "images2": 2},
    tcp_connections=dict.fromkeys(VANTAGES, 8),
    same_connection=True,
    rewritten_fields=("eth.dst", "ip.dst", "ip.ttl", "tcp.checksum"),
    balancer_reads=("ip.dst", "tcp.dport"),
    loss=LOSS,
    routes={},
    answers=answers(["api1", "api2", "images1", "images2"] * 2, {"alice": "10.0.1.11", "bob": "10.0.1.12"}),
    all_captured=1_234,
    packets=80,
    packets_through=80,
    connections=8,
    connections_through=8,
    paired=0,
    same_sequence=0,
)
L7 = replace(
    L4,
    same_connection=False,
    rewritten_fields=(),
    balancer_reads=("http.target",),
    routes={"/api/*": {"api1": 2, "api2": 2}, "/images/*": {"images1": 2, "images2": 2}},
    answers=answers(["api1", "images1", "api2", "images2"] * 2, {"alice": "10.0.2.10", "bob": "10.0.2.10"}),
    packets=160,
    packets_through=0,
    connections=16,
    connections_through=0,
    paired=8,
)


def judged(l4: ModeFigures = L4, l7: ModeFigures = L7) -> dict[tuple[str, str], tuple[bool, str]]:
    figures = Figures("netns", 0.5, 0.1, {"l4": l4, "l7": l7}, {})
    return {(each.mode, each.claim): (each.holds, each.found) for each in verdicts(figures, LAB)}


def failing(mode: str, **change: Any) -> dict[str, str]:
    """The claims that do not hold of one mode with *change* made, and what they found."""
    verdict = judged(replace(L4, **change)) if mode == "l4" else judged(l7=replace(L7, **change))
    assert all(holds for (other, _), (holds, _) in verdict.items() if other != mode)
    return {claim: found for (_, claim), (holds, found) in verdict.items() if not holds}


def test_good_figures_meet_every_claim() -> None:
    assert len(judged()) == sum(map(len, CLAIMS.values()))
    assert all(holds for holds, _ in judged().values())


UNANSWERED = "Every request is answered"
EVEN = "Connections are spread evenly"
ONE = "One TCP connection runs through the balancer"
SAME = "The same packets arrive: only addresses, MAC, TTL and checksums change"
BLIND = "The balancer reads no HTTP"
MIXED = "So it cannot route by path"
CLIENT = "The backend sees the client's address"
LOST = "Nothing was lost in the captures"
READS = "The balancer reads the request"
ROUTED = "So every request reaches the pool of its path"
ENDS = "It ends the client's connection and opens one of its own"
UNRELATED = "Sequence numbers on both sides are unrelated"
BALANCER = "The backend sees the balancer's address"
DROPPED = {**LOSS, "bob": {"captured": 31, "dropped": 1}}
UNKNOWN = {**LOSS, "bob": {"captured": 32, "dropped": None}}


@pytest.mark.parametrize(
    ("mode", "change", "claim", "found"),
    [
        ("l4", {"answered": 7}, UNANSWERED, "7 of 8"),
        ("l4", {"by_backend": {"api1": 4, "api2": 4}}, EVEN, "api1 4, api2 4, images1 0, images2 0"),
        ("l4", {"same_connection": False, "connections_through": 7}, ONE, "7 of 8 connections are the same on both"),
        ("l4", {"connections": 9, "connections_through": 9}, ONE, "9 of 9 connections are the same on both sides"),
        ("l4", {"packets_through": 79}, SAME, "79 of 80 packets seen at all four places; rewritten: eth.dst, ip.dst"),
        (
            "l4",
            {"rewritten_fields": ("ip.dst", "tcp.seq")},
            SAME,
            "80 of 80 packets seen at all four places; rewritten",
        ),
        ("l4", {"rewritten_fields": ()}, SAME, "80 of 80 packets seen at all four places; rewritten: nothing"),
        ("l4", {"balancer_reads": ("ip.dst", "http.target")}, BLIND, "ip.dst, http.target"),
        ("l4", {"balancer_reads": ()}, BLIND, "nothing"),
        (
            "l4",
            {"answers": answers(["api1", "images1"] * 4, {"alice": "10.0.1.11", "bob": "10.0.1.12"})},
            MIXED,
            "0 of 8",
        ),
        ("l4", {"answers": [replace(each, peer="10.0.2.10") for each in L4.answers]}, CLIENT, "in 0 of 8 requests"),
        ("l4", {"loss": DROPPED}, LOST, "1,234 packets captured, 1 dropped"),
        ("l4", {"loss": UNKNOWN}, LOST, "1,234 packets captured, 0 dropped; not known at bob"),
        ("l7", {"answered": 0}, UNANSWERED, "0 of 8"),
        ("l7", {"balancer_reads": ("ip.dst",)}, READS, "ip.dst"),
        (
            "l7",
            {"answers": [replace(each, backend="api1") for each in L7.answers]},
            ROUTED,
            "4 of 8 went to a wrong pool; ",
        ),
        ("l7", {"routes": {}}, ROUTED, "0 of 8 went to a wrong pool; by no rule"),
        ("l7", {"paired": 7}, ENDS, "7 of 8 requests have a front and a back connection; 0 connections run through"),
        (
            "l7",
            {"connections_through": 1},
            ENDS,
            "8 of 8 requests have a front and a back connection; 1 connections run",
        ),
        ("l7", {"same_sequence": 1}, UNRELATED, "1 of 8 pairs begin with one number"),
        ("l7", {"answers": [replace(each, peer=None) for each in L7.answers]}, BALANCER, "in 0 of 8 requests"),
        ("l7", {"loss": {}}, LOST, "1,234 packets captured, 0 dropped; not known at alice, bob, lb:front, lb:back"),
    ],
)
def test_each_claim_can_fail(mode: str, change: dict[str, Any], claim: str, found: str) -> None:
    assert [(each, told.startswith(found)) for each, told in failing(mode, **change).items()] == [(claim, True)]


def test_a_mode_in_which_nothing_happened_meets_almost_no_claim() -> None:
    empty = replace(
        L4, requests=0, answered=0, by_backend={}, same_connection=False, rewritten_fields=(), balancer_reads=(),
        loss={}, answers=(), all_captured=0, packets=0, packets_through=0, connections=0, connections_through=0,
    )  # fmt: skip
    held = {(mode, claim) for (mode, claim), (holds, _) in judged(empty, empty).items() if holds}
    assert held <= {("l4", EVEN), ("l7", ROUTED), ("l7", ENDS)}
    assert not all(holds for holds, _ in judged(L4, L4).values())
