"""Ladders of connections made by hand: every packet once, and nothing shown that was not seen."""

from itertools import pairwise
from pathlib import Path

import pytest

from labkit import Capture
from labkit.analysis.ladder import choice
from labkit.analysis.ladder.model import Arrow, Choice, Ladder, Run
from labkit.analysis.ladder.rows import build
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.errors import CaptureError
from labkit.recording import Recording
from tests.analysis import ladders as made
from tests.analysis import wire as w

RECORDED = Path(__file__).parents[3] / "captures"


def ladder(recording: Recording, *which: object, full: bool = False) -> Ladder:
    study = Study(recording)
    return build(study, Routes(study), choice.choose(study, *which), full=full)


def arrows(shown: Ladder) -> list[Arrow]:
    return [row for row in shown.rows if isinstance(row, Arrow)]


def choices(shown: Ladder) -> list[Choice]:
    return [row for row in shown.rows if isinstance(row, Choice)]


def names(shown: Ladder) -> list[str]:
    return [rail.name for rail in shown.rails]


@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_a_recorded_connection_has_every_packet_once(mode: str) -> None:
    recording = Capture.load(RECORDED / f"{mode}.pcapng").recording
    shown = ladder(recording)
    assert names(shown) == ["alice", "lb:front", "lb:back", "api1"]
    ids = {line.connection for line in shown.lines}
    packets = Study(recording).packets_table()
    expected = packets[packets["connection"].isin(ids)]["number"].tolist()
    assert sorted(number for arrow in arrows(shown) for number in arrow.packets) == expected
    assert all(a.after_ns <= b.after_ns for a, b in pairwise(arrows(shown)))


def test_at_l4_one_line_goes_through_and_every_arrow_with_it() -> None:
    shown = ladder(w.l4_wire().recording())
    assert [(line.ending, line.path) for line in shown.lines] == [("through", (0, 1, 2, 3))]
    assert len(arrows(shown)) == 10
    for arrow in arrows(shown):
        assert [stop.rail for stop in arrow.stops] == ([0, 1, 2, 3] if arrow.out else [3, 2, 1, 0])
        assert (arrow.start, arrow.end) == ((0, 3) if arrow.out else (3, 0))
        field, change = ("ip.dst", (w.VIP, w.API1)) if arrow.out else ("ip.src", (w.API1, w.VIP))
        assert [stop.rewritten.get(field) for stop in arrow.stops] == [None, None, change, None]
    (choice,) = choices(shown)
    assert (choice.packet, choice.rail, choice.held, choice.backend) == (2, 1, 0, "api1")
    assert isinstance(shown.rows[0], Arrow)
    assert shown.rows[0].packets == (1, 2, 3, 4)
    assert shown.rows[1] is choice
    assert shown.title == "L4: one connection, from alice through lb to api1; decided on packet 2, before any request"


def test_at_l7_two_lines_end_in_the_balancer_and_no_arrow_crosses_it() -> None:
    shown = ladder(w.l7_wire().recording())
    assert [(line.ending, line.path) for line in shown.lines] == [("front", (0, 1)), ("back", (2, 3))]
    for arrow in arrows(shown):
        assert {arrow.start, arrow.end} == ({0, 1} if arrow.connection == 1 else {2, 3})
        assert not any(stop.rewritten for stop in arrow.stops)
    (choice,) = choices(shown)
    assert (choice.packet, choice.rail, choice.held, choice.rule) == (8, 1, len(w.get()), "/api/*")
    assert choice.connection == 1
    before = arrows(shown)[3]
    assert (before.packets, before.says) == ((7, 8), "GET /api/users")
    assert shown.rows[4] is choice
    assert shown.title == (
        "L7: one connection ends in lb, another begins there; decided after packet 8, holding 37 bytes of the request"
    )


def test_long_runs_are_counted_and_full_shows_them() -> None:
    recording = made.download(segments=40).recording()
    shown = ladder(recording)
    (run,) = [row for row in shown.rows if isinstance(row, Run)]
    (part,) = run.parts
    assert (part.segments_in, part.bytes_in, part.segments_out, part.bare) == (37, 37 * 1448, 0, 19)
    listed = {number for arrow in arrows(shown) for number in arrow.packets}
    assert listed.isdisjoint(range(run.first, run.last + 1))
    assert listed | {*range(run.first, run.last + 1)} == {*range(1, len(recording) + 1)}
    whole = ladder(recording, full=True)
    assert len(arrows(whole)) == len(recording) // 4
    assert not any(isinstance(row, Run) for row in whole.rows)


def test_rows_are_bounded_and_the_rest_is_counted() -> None:
    recording = made.download(segments=120).recording()
    study = Study(recording)
    shown = build(study, Routes(study), choice.choose(study, 1), full=True)
    assert shown.left_out == 0
    keep_alive = made.keep_alive(40).recording()
    bounded = ladder(keep_alive, 1)
    assert len(bounded.rows) == 80
    assert len(bounded.lines) == 8
    assert bounded.title.startswith("L7: one connection ends in lb, 40 others begin there (7 of 40 shown)")
    assert bounded.title.endswith("(and 39 more times)")
    counted = sum(isinstance(row, Arrow) for row in bounded.rows) + bounded.left_out
    ids = [line.connection for line in bounded.lines]
    table = Study(keep_alive).trajectories_table()
    assert counted == table["connection"].isin(ids).sum()


def test_what_goes_wrong_is_marked() -> None:
    shown = ladder(made.troubled().recording())
    marked = {arrow.packets[0]: arrow.marks for arrow in arrows(shown) if arrow.marks}
    lost = [arrow for arrow in arrows(shown) if arrow.lost]
    assert [(arrow.packets, arrow.end) for arrow in lost] == [((13, 14, 15), 2)]
    assert marked == {16: ("retransmission",), 24: ("out of order",), 28: ("zero window",), 32: ("reset",)}


def test_a_request_is_cut_out_of_its_connections() -> None:
    recording = made.keep_alive(3).recording()
    whole = ladder(recording, 1)
    assert [(line.connection, line.ending) for line in whole.lines] == [
        (1, "front"), (2, "back"), (3, "back"), (4, "back"),
    ]  # fmt: skip
    assert names(whole) == ["alice", "lb:front", "lb:back", "api1", "api2"]
    parts = [ladder(recording, f"r{turn}") for turn in range(3)]
    packets = [{number for arrow in arrows(part) for number in arrow.packets} for part in parts]
    assert [choice.held for part in parts for choice in choices(part)] == [33, 33, 33]
    assert not packets[0] & packets[1]
    assert not packets[1] & packets[2]
    assert set.union(*packets) == {*range(1, len(recording) + 1)}
    assert arrows(parts[0])[0].flags == "S"
    assert next(arrow.says for arrow in arrows(parts[1])) == "GET /api/1"
    assert arrows(parts[2])[-1].flags == "A"
    assert ladder(recording, None, 1) == parts[1]  # by its row
    behind = ladder(recording, 3)  # asked for by its back connection: of the front one its own request alone
    assert [line.connection for line in behind.lines] == [1, 3]
    assert {number for arrow in arrows(behind) for number in arrow.packets} == packets[1]
    assert len(choices(behind)) == 1


@pytest.mark.parametrize("turn", range(3))
def test_of_several_requests_at_a_time_each_has_the_packets_that_carried_it(turn: int) -> None:
    shown = ladder(made.at_once().recording(), None, turn)
    front = [arrow for arrow in arrows(shown) if arrow.connection == shown.lines[0].connection]
    carrying = [(arrow.out, arrow.says) for arrow in front if arrow.length]
    assert carrying == [(True, f"GET /api/{turn}"), (False, "200 OK")]
    assert [arrow.flags for arrow in front if "S" in arrow.flags] == (["S", "SA"] if turn == 0 else [])
    assert len(choices(shown)) == 1
    whole = ladder(made.at_once().recording(), None, turn, full=True)
    assert [arrow.packets for arrow in arrows(whole)] == [arrow.packets for arrow in arrows(shown)]


def test_a_request_that_the_balancer_answers_itself_has_no_back() -> None:
    shown = ladder(made.refused().recording(), 1)
    assert [line.ending for line in shown.lines] == ["front"]
    assert shown.title.startswith(
        "L7: one connection from alice ends in lb, which answers itself; decided after packet 8"
    )
    (choice,) = choices(shown)
    assert (choice.backend, choice.rule) == ("", "")


def test_a_connection_that_carried_no_request_is_not_said_to_be_answered() -> None:
    wire = w.Wire()
    wire.events += [w.TOPOLOGY, w.mode("l7"), w.rules("ct.state")]
    w.Talk(wire, w.Link("alice", "lb:front", 41000), seed=1).open().close()
    assert ladder(wire.recording()).title == (
        "L7: one connection from alice ends in lb, and no other is known to begin there"
    )


def test_datagrams_and_ports_that_change() -> None:
    shown = ladder(made.datagrams().recording())
    assert [(arrow.proto, arrow.seq, arrow.length) for arrow in arrows(shown)] == [("UDP", None, 10), ("UDP", None, 8)]
    assert arrows(shown)[0].stops[2].rewritten["udp.dport"] == (53, 5353)
    assert choices(shown)[0].packet == 2
    assert shown.title.endswith("decided on packet 2, holding 10 bytes of the datagram")


def test_ip_version_6() -> None:
    shown = ladder(made.six().recording())
    assert [line.ending for line in shown.lines] == ["through"]
    assert arrows(shown)[0].stops[2].rewritten["ip6.dst"] == ("fd00:10:0:1::10", "fd00:10:0:2::11")
    assert choices(shown)[0].packet == 2


def test_ciphertext_is_told_from_the_hellos(tmp_path: Path) -> None:
    shown = ladder(made.encrypted(made.self_signed(tmp_path)).recording())
    carrying = [arrow for arrow in arrows(shown) if arrow.length]
    assert [arrow.says for arrow in carrying[:2]] == ["ClientHello for lb.example", "ServerHello"]
    assert [arrow.encrypted for arrow in carrying] == [False, *[True] * (len(carrying) - 1)]
    assert not any(arrow.encrypted for arrow in arrows(shown) if not arrow.length)


def test_nothing_is_claimed_where_nobody_captured() -> None:
    front = ladder(made.only(w.l4_wire(), "lb:front"))
    assert [(rail.name, rail.vantage is None) for rail in front.rails] == [("alice", True), ("lb:front", False)]
    assert [line.ending for line in front.lines] == ["open"]
    assert "not seen behind lb" in front.title
    back = ladder(made.only(w.l4_wire(), "lb:back"))
    assert [rail.name for rail in back.rails] == ["alice", "", "lb:back", "api1"]
    assert [line.ending for line in back.lines] == ["through"]
    ends = ladder(made.only(w.l4_wire(), "alice", "api1"))
    assert [(rail.name, rail.role) for rail in ends.rails] == [
        ("alice", "client"), ("", "balancer"), ("", "balancer"), ("api1", "backend"),
    ]  # fmt: skip
    assert [line.ending for line in ends.lines] == ["through"]
    assert (choices(ends)[0].packet, choices(ends)[0].held) == (None, None)
    apart = ladder(made.only(w.l7_wire(), "alice", "api1"))
    assert [line.ending for line in apart.lines] == ["front", "back"]


@pytest.mark.parametrize("vantages", [("alice",), ("lb:front",), ("alice", "lb:front")])
def test_a_file_from_elsewhere_has_its_ends_and_its_vantage_points(vantages: tuple[str, ...]) -> None:
    shown = ladder(made.without_events(w.l4_wire(), *vantages))
    assert names(shown) == [w.ALICE, *vantages, w.VIP]
    assert [line.ending for line in shown.lines] == ["alone"]
    assert shown.title == f"One TCP connection, from {w.ALICE} to {w.VIP}, seen at {', '.join(vantages)}"
    assert choices(shown) == []


def test_paired_connections_of_a_file_without_record_are_not_paired() -> None:
    recording = made.without_events(w.l7_wire(), "alice", "lb:front", "lb:back", "api1")
    assert [line.connection for line in ladder(recording, 1).lines] == [1]
    assert [line.connection for line in ladder(recording, 2).lines] == [2]


def test_the_first_that_tells_something() -> None:
    both = Capture(w.l4_wire().recording())
    assert ladder(both.recording).lines[0].connection == 1
    with pytest.raises(CaptureError, match="no connection, so there is no ladder"):
        ladder(w.Wire().recording())


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ((7,), "no connection 7; it has connections 1 to 2"),
        ((True,), "no connection True"),
        (("nope",), "no request 'nope'; it has 1 request[.]"),
        ((None, 3), "no request 3"),
        ((1, "nope"), "one connection or one request"),
    ],
)
def test_what_is_not_there(which: tuple[object, ...], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        ladder(w.l7_wire().recording(), *which)


def test_at_l4_there_are_no_requests_to_ask_for() -> None:
    with pytest.raises(CaptureError, match="it has none: it was not captured at L7"):
        ladder(w.l4_wire().recording(), "r1")
