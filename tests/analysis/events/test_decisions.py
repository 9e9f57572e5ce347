from labkit.analysis.events.decisions import COLUMNS, table
from labkit.analysis.study import Study
from tests.analysis.wire import HOP, TOPOLOGY, Link, Nat, Talk, Wire, decision, get, l4_wire, l7_wire, request, udp


def rows(wire: Wire) -> list[dict[str, object]]:
    study = Study(wire.recording())
    frame = table(study.decisions, study.index, study.vantages)
    assert tuple(frame.columns) == COLUMNS
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def test_at_l4_it_falls_on_the_syn_as_it_reaches_the_balancer() -> None:
    wire = l4_wire(2)
    found = rows(wire)
    assert [(row["mode"], row["connection"], row["backend"]) for row in found] == [("l4", 1, "api1"), ("l4", 2, "api2")]
    packets = Study(wire.recording()).packets_table().set_index("number")
    for row in found:
        packet = packets.loc[row["packet"]]
        assert (packet["flags"], packet["vantage"], packet["payload_length"]) == ("S", "lb:front", 0)
        assert packet["connection"] == row["connection"]
    assert found[0]["read"] == ("ip.dst", "tcp.dport")


def test_at_l7_after_the_request() -> None:
    wire = l7_wire(1, read=["http.target"])
    (row,) = rows(wire)
    packets = Study(wire.recording()).packets_table().set_index("number")
    packet = packets.loc[row["packet"]]
    assert (packet["vantage"], packet["flags"], packet["payload_length"]) == ("lb:front", "PA", len(get()))
    assert row["time"] > packet["time"]
    back = packets[packets["connection"] == 2]
    assert row["time"] < back["time"].min()  # and the back connection begins after it


def test_a_request_in_pieces_is_decided_after_its_last() -> None:
    wire = Wire()
    wire.events.append(TOPOLOGY)
    front = Link()
    talk = Talk(wire, front).open()
    for piece in (get()[:10], get()[10:]):
        talk.send(0, "PA", piece)
    decided = wire.wait()
    talk.send(0, "PA", get("/next"))
    wire.events.append(request(decided, decided, wire.now, front, None))
    (row,) = rows(wire)
    packets = Study(wire.recording()).packets_table()
    assert packets[packets["vantage"] == "lb:front"].iloc[4]["number"] == row["packet"]


def test_without_a_topology_the_last_place_before_the_rewriting_is_where_it_fell() -> None:
    wire = l4_wire(1)
    wire.events = [event for event in wire.events if event["kind"] != "topology"]
    assert rows(wire)[0]["vantage"] == "lb:front"


def test_what_was_not_captured_is_none() -> None:
    wire = l4_wire(1, vantages=("api1",))
    row = rows(wire)[0]
    assert (row["connection"], row["packet"], row["vantage"]) == (None, None, None)
    assert row["backend"] == "api1"
    wire = l4_wire(1, vantages=("alice",))
    row = rows(wire)[0]
    assert (row["connection"], row["packet"]) == (1, None)  # the connection, but not where it met the balancer
    wire = l7_wire(1)
    wire.seen = []
    assert (rows(wire)[0]["connection"], rows(wire)[0]["packet"]) == (None, None)


def test_a_port_used_again_is_decided_again() -> None:
    wire = Wire()
    for seed, backend in ((1, "api1"), (2, "api2")):
        nat = Nat(backend=backend)
        Talk(wire, nat, seed=seed).open().close()
        wire.events.append(decision(wire.now, nat))
        wire.wait(50_000_000)
    assert [(row["connection"], row["backend"]) for row in rows(wire)] == [(1, "api1"), (2, "api2")]


def test_udp_too() -> None:
    wire = Wire()
    nat = Nat(sport=5000, dport=53, backend_port=53)
    wire.carry(nat.out(udp(b"?"), 4))
    wire.events.append(decision(wire.now, nat, read=("ip.dst", "udp.dport"), proto="UDP"))
    row = rows(wire)[0]
    assert (row["connection"], row["packet"], row["vantage"]) == (1, 2, "lb:front")


def test_a_request_that_was_never_decided_is_no_decision() -> None:
    wire = l7_wire(1, decided_ns=None)
    assert rows(wire) == []


def test_modes_are_told_in_order_of_time() -> None:
    wire = l4_wire(1)
    later = l7_wire(1)
    wire.events += [
        {**event, "time_ns": event["time_ns"] + 10**9} for event in later.events if event["kind"] == "request"
    ]
    wire.events.append(decision(wire.now + 2 * 10**9 + HOP, Nat()))
    assert [row["mode"] for row in rows(wire)] == ["l4", "l7", "l4"]
