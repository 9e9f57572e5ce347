"""Packets with equal keys: which observation follows which, by hand, and at random where the truth is known."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labkit.analysis.connections.lookalikes import FORWARDED, RANKS, SAME, SWITCHED, UNRELATED, Told, tell_apart
from labkit.analysis.packets.index import build
from tests.analysis.wire import MACS, Wire

Seen = tuple[str, str, str, int]  # vantage point, source, target, TTL
E = Ether(src=MACS["alice"], dst=MACS["lb:front"])  # without them scapy asks the network for one
A, B, C = "alice", "lb:front", "lb:back"


def told(seen: Sequence[Seen], *, tcp: bool = False) -> Told:
    wire = Wire((A, B, C))
    layer = TCP(sport=1, dport=2, seq=3) if tcp else UDP(sport=1, dport=2) / Raw(b"again")
    for vantage, source, target, ttl in seen:
        wire.wait()
        wire.see(vantage, E / IP(src=source, dst=target, ttl=ttl, id=0) / layer)
    return tell_apart(build(wire.recording()), np.arange(len(seen)))


ONE, TWO, VIP, API = "10.0.1.11", "10.0.1.12", "10.0.1.10", "10.0.2.11"


@pytest.mark.parametrize(
    ("seen", "turn", "certain", "same_flow"),
    [
        pytest.param(
            [(A, ONE, VIP, 64), (B, ONE, VIP, 64), (A, ONE, VIP, 64), (B, ONE, VIP, 64)],
            [0, 0, 1, 1], [True] * 4, [True] * 4, id="one after the other",
        ),
        pytest.param(
            [(A, ONE, VIP, 64), (A, ONE, VIP, 64), (B, ONE, VIP, 64), (B, ONE, VIP, 64)],
            [0, 1, 0, 1], [False] * 4, [True] * 4, id="both on the way: first in, first out, of one flow, in doubt",
        ),
        pytest.param(
            [(A, ONE, VIP, 64), (A, TWO, VIP, 64), (C, TWO, API, 63), (C, ONE, API, 63)],
            [0, 1, 1, 0], [True] * 4, [True] * 4, id="the endpoint that stayed tells",
        ),
        pytest.param(
            [(A, ONE, VIP, 64), (A, TWO, VIP, 64), (C, API, API, 63), (C, API, API, 63)],
            [0, 1, 0, 1], [False] * 4, [True, True, False, False], id="both endpoints changed: anyone's",
        ),
        pytest.param(
            [(A, ONE, VIP, 63), (B, ONE, VIP, 64)],
            [0, 1], [True] * 2, [True] * 2, id="a TTL never rises",
        ),
        pytest.param(
            [(A, ONE, VIP, 64), (B, ONE, VIP, 64), (A, ONE, VIP, 64), (C, ONE, API, 63), (C, ONE, API, 63)],
            [0, 0, 1, 0, 1], [True] * 5, [True] * 5, id="who has come furthest goes on first",
        ),
        pytest.param(
            [(A, ONE, VIP, 64), (A, ONE, VIP, 64), (A, ONE, VIP, 64)],
            [0, 1, 2], [True] * 3, [True] * 3, id="nowhere twice",
        ),
    ],
)  # fmt: skip
def test_what_follows_what(
    seen: list[Seen], turn: list[int], certain: list[bool], same_flow: list[bool]
) -> None:  # fmt: skip
    found = told(seen)
    assert (found.turn, found.certain, found.same_flow) == (turn, certain, same_flow)
    before: dict[int, int] = {}
    for row, number in enumerate(turn):
        assert found.previous[row] == before.get(number, -1)
        before[number] = row


@pytest.mark.parametrize(("tcp", "turn"), [(True, [0, 0]), (False, [0, 1])])
def test_only_tcp_may_have_met_a_translator_that_keeps_the_ttl(tcp: bool, turn: list[int]) -> None:
    assert told([(A, ONE, VIP, 64), (C, ONE, API, 64)], tcp=tcp).turn == turn


def test_the_table_of_ranks() -> None:
    """[endpoints kept, TTL step + 1, TCP], as the docstring has it in words."""
    for kept in range(3):
        for step in (-1, 0, 1):
            for tcp in (0, 1):
                if step == 1:
                    wanted = -1
                elif kept == 2:
                    wanted = SAME
                elif step == -1:
                    wanted = FORWARDED if kept else UNRELATED
                else:
                    wanted = SWITCHED if kept and tcp else -1
                assert RANKS[kept, step + 1, tcp] == wanted


def test_in_order_at_every_hop_each_is_followed_to_its_end() -> None:
    dice = random.Random(33)
    for _ in range(30):
        count = dice.randrange(1, 30)
        come, seen, truth = {A: 0, B: 0, C: 0}, [], []
        while come[C] < count:
            ready = [A] * (come[A] < count) + [B] * (come[B] < come[A]) + [C] * (come[C] < come[B])
            vantage = dice.choice(ready)
            seen.append((vantage, ONE, API if vantage == C else VIP, 63 if vantage == C else 64))
            truth.append(come[vantage])
            come[vantage] += 1
        found = told(seen)
        assert found.turn == truth
        assert all(found.same_flow)


def test_of_very_many_at_once_the_oldest_are_given_up() -> None:
    found = told([(A, ONE, VIP, 64)] * 100 + [(B, ONE, VIP, 64)] * 64)
    assert found.turn == [*range(100), *range(36, 100)]
    assert found.certain == [True] * 36 + [False] * 128
