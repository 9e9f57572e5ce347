import pytest
from scapy.layers.inet import TCP
from scapy.packet import Raw

from labkit.analysis.connections.merged import COLUMNS
from labkit.analysis.study import Study
from tests.analysis.wire import (
    ALICE,
    API1,
    BOB,
    HOP,
    LB_BACK,
    VIP,
    Link,
    Nat,
    Talk,
    Wire,
    frame6,
    get,
    l4_wire,
    l7_wire,
    request,
)

FOUR = ("alice", "lb:front", "lb:back", "api1")


def study_of(wire: Wire) -> Study:
    return Study(wire.recording())


def test_at_l4_one_connection_is_seen_four_times_and_counted_once() -> None:
    table = study_of(l4_wire(1)).connections_table()
    assert tuple(table.columns) == COLUMNS
    assert table.to_dict("records") == [
        {
            "connection": 1, "seen_at": FOUR, "paired_with": None, "proto": "TCP", "client": ALICE,
            "client_port": 40000, "server": VIP, "server_port": 80, "state": "closed", "packets_out": 6,
            "packets_in": 4, "bytes_out": len(get()), "bytes_in": 40, "retransmissions": 0,
            "handshake_seconds": 8 * HOP / 1e9, "closed_by": "client", "out_of_order": 0, "duplicate_acks": 0,
            "zero_windows": 0,
        }
    ]  # fmt: skip


def test_per_vantage_point_it_is_called_what_it_is_called_there() -> None:
    wire = Wire()
    Talk(wire, Nat(full=True, backend_port=8080)).open().ask(get()).close()
    table = study_of(wire).connections_table(per="vantage")
    names = table[["connection", "vantage", "client", "client_port", "server", "server_port"]].to_numpy().tolist()
    assert names == [
        [1, "alice", ALICE, 40000, VIP, 80],
        [1, "lb:front", ALICE, 40000, VIP, 80],
        [1, "lb:back", LB_BACK, 40000, API1, 8080],
        [1, "api1", LB_BACK, 40000, API1, 8080],
    ]
    assert table["packets_out"].tolist() == [6] * 4


def test_at_l7_front_and_back_have_ids_of_their_own_and_are_paired() -> None:
    table = study_of(l7_wire(2)).connections_table()
    assert table["connection"].tolist() == [1, 2, 3, 4]
    assert table["paired_with"].tolist() == [(2,), (1,), (4,), (3,)]
    assert table["seen_at"].tolist() == [
        ("alice", "lb:front"),
        ("lb:back", "api1"),
        ("bob", "lb:front"),
        ("lb:back", "api2"),
    ]


def test_without_the_proxys_record_nothing_is_paired() -> None:
    wire = l7_wire(2)
    wire.events = [event for event in wire.events if event["kind"] != "request"]
    assert study_of(wire).connections_table()["paired_with"].tolist() == [None] * 4


def test_one_client_connection_may_use_several_behind() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front).open()
    for turn, server in enumerate(("api1", "api2")):
        back = Link("lb:back", server, 51000 + turn)
        outer.send(0, "PA", get())
        started = wire.wait()
        Talk(wire, back, seed=9 + turn).open().ask(get()).close()
        wire.events.append(request(started, started + 1, wire.wait(), front, back))
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\n\r\n")
    assert study_of(wire).connections_table()["paired_with"].tolist() == [(2, 3), (1,), (1,)]


def test_port_reuse_is_a_new_connection_at_every_vantage_point() -> None:
    wire = Wire()
    for seed, backend in ((1, "api1"), (2, "api2"), (3, "api1")):
        Talk(wire, Nat(backend=backend), seed=seed).open().ask(get()).close()
    table = study_of(wire).connections_table()
    assert [row[-1] for row in table["seen_at"]] == ["api1", "api2", "api1"]
    assert table["packets_out"].tolist() == [6, 6, 6]


def test_ids_follow_the_first_packet_whoever_sent_it() -> None:
    wire = Wire()
    second = Talk(wire, Link("bob", "lb:front", 42000), seed=4)
    first = Talk(wire, Link("alice", "lb:front", 41000), seed=5)
    first.open()
    second.open()
    first.close()
    assert study_of(wire).connections_table()["client"].tolist() == [ALICE, BOB]


def test_the_way_is_that_of_the_client_also_when_the_server_is_heard_first() -> None:
    wire = Wire()
    talk = Talk(wire, Nat())
    talk.send(1, "PA", b"from the middle")
    talk.send(0, "A")
    table = study_of(wire).connections_table()
    assert table["seen_at"].tolist() == [FOUR]
    assert (table["client"][0], table["server"][0]) == (ALICE, VIP)


def test_counted_at_the_first_vantage_point_if_the_clients_was_not_captured() -> None:
    table = study_of(l4_wire(1, vantages=("lb:back", "api1"))).connections_table()
    assert (table["client"][0], table["server"][0], table["packets_out"][0]) == (ALICE, API1, 6)


def test_packets_name_their_connection_and_others_name_none() -> None:
    wire = l4_wire(2)
    wire.see("alice", b"\x00" * 20)
    packets = study_of(wire).packets_table()
    assert packets["connection"].isna().sum() == 1
    assert packets.groupby("connection").size().to_dict() == {1: 40, 2: 40}


def test_ipv6_over_nat_is_one_connection() -> None:
    wire = Wire()
    client, vip, backend = "fd00:10:0:1::11", "fd00:10:0:1::10", "fd00:10:0:2::11"
    for flags, payload in (("S", b""), ("PA", b"x")):
        layer = TCP(sport=4000, dport=80, flags=flags, seq=3) / Raw(payload)
        front, back = frame6(client, vip, layer), frame6(client, backend, layer, hop_limit=63)
        wire.carry(zip(FOUR, (front, front, back, back), strict=True))
    table = study_of(wire).connections_table()
    assert table[["client", "server"]].to_numpy().tolist() == [[client, vip]]
    assert table["seen_at"].tolist() == [FOUR]


@pytest.mark.parametrize("lost", ["alice", "lb:front", "lb:back", "api1"])
def test_a_hole_in_one_vantage_point_does_not_break_the_connection(lost: str) -> None:
    wire = l4_wire(1)
    wire.seen = [one for one in wire.seen if not (one[1] == lost and one[4] < 4)]
    assert len(study_of(wire).connections) == 1


def test_an_empty_recording_has_no_connections_but_their_columns() -> None:
    table = study_of(Wire()).connections_table()
    assert (len(table), tuple(table.columns)) == (0, COLUMNS)
    assert "vantage" in study_of(Wire()).connections_table(per="vantage")
