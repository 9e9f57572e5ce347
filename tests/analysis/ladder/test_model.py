"""The sentence that a ladder states, for every ending and number of connections; pictures repeat it."""

from typing import Any

import pytest

from labkit.analysis.ladder.model import Choice, Ladder, Part, Run, finding
from labkit.analysis.ladder.rails import Line, Rail

RAILS = (
    Rail("alice", "alice", "client", "10.0.1.11", 0), Rail("lb:front", "lb", "balancer", "10.0.1.10", 1),
    Rail("", "lb", "balancer", "", None), Rail("api1", "api1", "backend", "10.0.2.11", 2),
)  # fmt: skip
ENDS = ("10.0.1.11:40000", "10.0.1.10:80")
PATHS = {"through": (0, 1, 2, 3), "front": (0, 1), "open": (0, 1), "back": (2, 3), "alone": (0, 3)}


def lines(*endings: str) -> tuple[Line, ...]:
    return tuple(
        Line(number, "TCP", PATHS[ending], frozenset(), ending, ENDS, ENDS)
        for number, ending in enumerate(endings, start=1)
    )


def choice(**more: Any) -> Choice:
    return Choice(**{"mode": "l4", "connection": 1, "packet": 2, "rail": 1, "held": 0, "of": "the request",
                     "backend": "api1", "rule": "", "read": (), "after_ns": 0, **more})  # fmt: skip


def ladder(*endings: str, choices: tuple[Choice, ...] = (), mode: str | None = None, **more: Any) -> Ladder:
    run = Run((Part(1, 1, 1, 1, 1, 1, False),), 1, 2, 0)
    return Ladder(
        RAILS, lines(*endings), (run, *choices), mode, "lb", 0, **{"unshown": 0, "decided": 1, **more}, title=""
    )


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (ladder("through", mode="l4"), "L4: one connection, from alice through lb to api1"),
        (ladder("through"), "One connection, from alice through lb to api1"),
        (ladder("open"), "One connection from alice, not seen behind lb"),
        (ladder("back", mode="l7"), "L7: one connection, from lb to api1"),
        (ladder("alone"), "One TCP connection, from alice to api1, seen at alice, lb:front, api1"),
        (ladder("front", mode="l7"), "L7: one connection from alice ends in lb, and no other is known to begin there"),
        (
            ladder("front", mode="l7", choices=(choice(mode="l7", backend="", held=90),)),
            "L7: one connection from alice ends in lb, which answers itself; decided after packet 2, "
            "holding 90 bytes of the request",
        ),
        (ladder("front", "back", mode="l7"), "L7: one connection ends in lb, another begins there"),
        (ladder("front", "back", "back", mode="l7"), "L7: one connection ends in lb, 2 others begin there"),
        (ladder("front", "front", "back", mode="l7"), "L7: 2 connections end in lb, another begins there"),
        (
            ladder("front", *["back"] * 7, mode="l7", unshown=1005),
            "L7: one connection ends in lb, 1,012 others begin there (7 of 1,012 shown)",
        ),
        (
            ladder("front", "front", "back", mode="l7", unshown=3),
            "L7: 5 connections end in lb, another begins there (2 of 5 shown)",
        ),
        (
            ladder("through", mode="l4", choices=(choice(),)),
            "L4: one connection, from alice through lb to api1; decided on packet 2, before any request",
        ),
        (
            ladder("through", mode="l4", choices=(choice(packet=None, held=None),)),
            "L4: one connection, from alice through lb to api1; decided",
        ),
        (
            ladder("through", mode="l4", choices=(choice(held=1448, of="TLS"), choice()), decided=1200),
            "L4: one connection, from alice through lb to api1; decided on packet 2, holding 1,448 bytes of TLS "
            "(and 1,199 more times)",
        ),
    ],
)  # fmt: skip
def test_what_a_ladder_states(shown: Ladder, sentence: str) -> None:
    assert finding(shown) == sentence
