"""Which connections and packets a ladder is about, by what was put on the wire."""

import pytest

from labkit.analysis.ladder.choice import MOST, Chosen, choose
from labkit.analysis.study import Study
from tests.analysis import ladders as made
from tests.analysis import wire as w


def chosen(wire: w.Wire, *which: object) -> Chosen:
    return choose(Study(wire.recording()), *which)


@pytest.mark.parametrize(
    ("wire", "which", "connections", "fronts", "rows"),
    [
        (w.l4_wire(2), (), (1,), 1, range(40)),
        (w.l4_wire(2), (2,), (2,), 1, range(40, 80)),
        (w.l7_wire(2), (), (1, 2), 1, range(38)),
        (w.l7_wire(2), (1,), (1, 2), 1, range(38)),
        (w.l7_wire(2), (2,), (1, 2), 1, range(38)),
        (w.l7_wire(2), (None, 1), (3, 4), 1, range(38, 76)),  # a request by its row
        (w.l7_wire(2), (None, 0), (1, 2), 1, range(38)),
        (made.refused(), (), (1,), 1, range(18)),
        (made.datagrams(), (), (1,), 1, range(8)),
    ],
)
def test_what_is_asked_for(
    wire: w.Wire, which: tuple[object, ...], connections: tuple[int, ...], fronts: int, rows: range
) -> None:
    found = chosen(wire, *which)
    assert (found.connections, found.fronts, found.left_out) == (connections, fronts, 0)
    assert found.rows.tolist() == list(rows)
    assert len(found.decisions) == 1


def test_requests_on_one_connection_are_cut_apart() -> None:
    wire = made.keep_alive(4)
    parts = [set(chosen(wire, f"r{turn}").rows.tolist()) for turn in range(4)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(wire.seen)
    table = Study(wire.recording()).packets_table()
    for turn, part in enumerate(parts):
        assert set(table["connection"].iloc[sorted(part)]) == {1, turn + 2}
        target = f"GET /api/{turn} ".encode()
        carrying = [row for row, one in enumerate(sorted(wire.seen)) if target in one[2]]
        assert set(carrying) <= part


def test_connections_beyond_the_most_are_counted() -> None:
    found = chosen(made.keep_alive(12), 1)
    assert len(found.connections) == MOST
    assert found.left_out == 12 + 1 - MOST
    assert len(found.decisions) == 12


def test_without_a_decision_it_is_the_first_connection_or_the_first_that_was_decided_on() -> None:
    wire = w.l4_wire(2)
    wire.events = [event for event in wire.events if event["kind"] != "decision"]
    assert chosen(wire).connections == (1,)
    wire.events.append(w.decision(wire.seen[41][0], w.Nat("bob", "api2", sport=40001)))
    assert chosen(wire).connections == (2,)
