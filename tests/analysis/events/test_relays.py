"""Relayed connections: two by their packets, one pair by the proxy's record, and nothing of HTTP told by anybody."""

from labkit.analysis.evidence.contrast import answered, counts
from labkit.analysis.evidence.dialogues import dialogues
from labkit.analysis.graph import finding
from labkit.analysis.ladder.choice import choose
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.analysis.summary import summary
from tests.analysis.wire import relayed_wire


def test_each_pair_is_one_clients_connection_and_its_other_half() -> None:
    study = Study(relayed_wire().recording())
    assert [(one.front, one.back) for one in study.relays] == [(1, 2), (3, 4)]
    assert study.pairs == {1: {2}, 2: {1}, 3: {4}, 4: {3}}
    assert Routes(study).modes == dict.fromkeys((1, 2, 3, 4), "l4")
    assert study.exchanges == []


def test_what_is_seen_on_both_connections_counts_once() -> None:
    study = Study(relayed_wire().recording())
    routes = Routes(study)
    assert finding(study, routes) == "L4 as a TCP proxy: 2 requests, 2 client connections, 2 back connections"
    told = summary(study, routes)
    assert (told["mode"], told["requests"], told["same_connection"]) == ("l4", 2, False)
    assert counts(study, routes)["TCP connections that backends accepted"] == 2
    assert answered(study, routes) == {"api1": 1, "api2": 1}
    assert [one.front.connection for one in dialogues(study, routes) if one.front] == [1, 3]


def test_a_connection_that_is_open_has_its_other_half_already() -> None:
    study = Study(relayed_wire(1, ended_ns=None).recording())
    assert [(one.front, one.back) for one in study.relays] == [(1, 2)]


def test_the_ladder_begins_with_the_clients_connection_whichever_is_asked_for() -> None:
    study = Study(relayed_wire().recording())
    assert [choose(study, number).connections for number in (1, 2)] == [(1, 2), (1, 2)]
    assert len(choose(study, 2).decisions) == 1


def test_the_choice_falls_after_the_handshake_and_before_the_other_half_begins() -> None:
    study = Study(relayed_wire(1).recording())
    (decision,) = study.decisions
    assert decision.row is not None
    assert (study.index.flags[decision.row], study.index.payload_length[decision.row]) == (0x10, 0)
    late = Study(relayed_wire(1, decided_ns=study.relays[0].event["ended_ns"]).recording())
    assert late.decisions[0].time_ns == int(late.index.time_ns[late.sightings.first[late.connections.home(2)]])


def test_where_a_side_was_not_captured_nothing_is_paired() -> None:
    wire = relayed_wire(1)
    wire.seen = [one for one in wire.seen if one[1] in ("alice", "lb:front")]
    study = Study(wire.recording())
    assert [(one.front, one.back) for one in study.relays] == [(1, None)]
    assert study.pairs == {}
    assert finding(study, Routes(study)) == "L4 as a TCP proxy: 1 request, 1 client connection, 0 back connections"
