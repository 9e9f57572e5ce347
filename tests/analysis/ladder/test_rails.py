"""Rails and lines for every way in which a connection can meet a balancer, and every set of vantage points."""

from itertools import combinations

import pytest

from labkit.analysis.ladder.choice import choose
from labkit.analysis.ladder.rails import Line, Rail, lay
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.recording import Recording
from tests.analysis import ladders as made
from tests.analysis import wire as w

FOUR = ("alice", "lb:front", "lb:back", "api1")
A, B, V, P = "10.0.1.11:40000", "10.0.2.11:80", "10.0.1.10:80", "10.0.2.10:51000"


def laid(recording: Recording, *which: object) -> tuple[list[Rail], list[Line]]:
    study = Study(recording)
    return lay(study, Routes(study), choose(study, *which))


@pytest.mark.parametrize(
    ("recording", "rails", "lines"),
    [  # lines: path, ending, ends near the client, ends near the server
        (w.l4_wire().recording(), FOUR, [((0, 1, 2, 3), "through", (A, V), (A, B))]),
        (
            w.l7_wire().recording(), FOUR,
            [
                ((0, 1), "front", ("10.0.1.11:41000", V), ("10.0.1.11:41000", V)),
                ((2, 3), "back", (P, B), (P, B)),
            ],
        ),
        (
            made.refused().recording(), ("alice", "lb:front"),
            [((0, 1), "front", ("10.0.1.11:41000", V), ("10.0.1.11:41000", V))],
        ),
        (made.only(w.l4_wire(), "lb:front"), ("alice", "lb:front"), [((0, 1), "open", (A, V), (A, V))]),
        (
            made.only(w.l4_wire(), "lb:back"), ("alice", "", "lb:back", "api1"),
            [((0, 1, 2, 3), "through", (A, B), (A, B))],
        ),
        (
            made.only(w.l4_wire(), "alice", "api1"), ("alice", "", "", "api1"),
            [((0, 1, 2, 3), "through", (A, V), (A, B))],
        ),
        (made.without_events(w.l4_wire(), "alice"), (w.ALICE, "alice", w.VIP), [((0, 1, 2), "alone", (A, V), (A, V))]),
        (
            made.six().recording(), FOUR,
            [((0, 1, 2, 3), "through", ("[fd00:10:0:1::11]:40000", "[fd00:10:0:1::10]:80"),
              ("[fd00:10:0:1::11]:40000", "[fd00:10:0:2::11]:80"))],
        ),
    ],
)  # fmt: skip
def test_rails_and_the_way_across_them(
    recording: Recording, rails: tuple[str, ...], lines: list[tuple[object, ...]]
) -> None:  # fmt: skip
    found, ways = laid(recording)
    assert tuple(rail.name for rail in found) == rails
    assert [(line.path, line.ending, line.ends, line.far_ends) for line in ways] == lines
    assert {line.proto for line in ways} == {"TCP"}


@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_with_any_vantage_points_rails_stand_in_order_and_say_what_was_captured(mode: str) -> None:
    rank = {"client": 0, "balancer": 1, "backend": 2}
    for count in (1, 2, 3, 4):
        for some in combinations(FOUR, count):
            recording = made.only(w.l4_wire() if mode == "l4" else w.l7_wire(), *some)
            rails, lines = laid(recording)
            roles = [rank[rail.role] for rail in rails]
            assert roles == sorted(roles), some
            captured = {rail.name: rail.vantage for rail in rails if rail.vantage is not None}
            assert captured.items() <= {name: number for number, name in enumerate(some)}.items()
            assert len(set(captured)) == len(captured)
            for line in lines:
                assert list(line.path) == sorted(set(line.path))
                assert line.captured == {place for place in line.path if rails[place].vantage is not None}
                seen = Study(recording).connections_table()["seen_at"][line.connection - 1]
                assert {rails[place].name for place in line.captured} == set(seen)


def test_a_rail_knows_its_host() -> None:
    rails, _ = laid(w.l4_wire().recording())
    assert [(rail.node, rail.role, rail.address, rail.vantage) for rail in rails] == [
        ("alice", "client", w.ALICE, 0), ("lb", "balancer", w.VIP, 2), ("lb", "balancer", w.VIP, 3),
        ("api1", "backend", w.API1, 4),
    ]  # fmt: skip


def test_a_request_of_many_on_one_connection() -> None:
    rails, lines = laid(made.keep_alive(3).recording(), "r1")
    assert [rail.name for rail in rails] == ["alice", "lb:front", "lb:back", "api2"]
    assert [(line.connection, line.ending, line.path) for line in lines] == [(1, "front", (0, 1)), (3, "back", (2, 3))]


def test_what_is_no_host_is_called_what_it_is() -> None:
    recording = made.beside_a_bridge().recording()
    last = len(Study(recording).connections)
    rails, (line,) = laid(recording, last)
    assert (rails[0].node, rails[0].vantage) == ("Docker's bridge", None)
    assert [rail.name for rail in rails[1:3]] == ["alice", "lb:front"]
    assert line.ends[0] == f"[{made.BRIDGES_ADDRESS}]:5353"
