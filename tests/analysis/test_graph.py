from typing import Any

from labkit.analysis.graph import build, finding
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from .tls.test_hello import hello
from .wire import TOPOLOGY, Link, Nat, Talk, Wire, decision, get, l4_wire, l7_wire, mode, udp


def edges(wire: Wire) -> list[tuple[Any, ...]]:
    study = Study(wire.recording())
    graph = build(study, Routes(study))
    return [(a, b, d["mode"], d["connections"], d["via"]) for a, b, d in graph.edges(data=True)]


def nodes_by_role(graph: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, data in graph.nodes(data=True):
        found.setdefault(data["role"], set()).add(name)
    return found


def told(wire: Wire) -> str:
    study = Study(wire.recording())
    return finding(study, Routes(study))


def test_at_l4_one_edge_runs_through_the_balancer() -> None:
    wire = l4_wire(5)
    assert edges(wire) == [("alice", "api1", "l4", 3, "lb"), ("bob", "api2", "l4", 2, "lb")]
    assert told(wire) == "L4: 5 requests, 5 connections, each running through lb to a backend"
    assert told(l4_wire(1)) == "L4: 1 request, 1 connection, running through lb to a backend"


def test_at_l7_two_edges_meet_in_it() -> None:
    wire = l7_wire(4)
    assert set(edges(wire)) == {
        ("alice", "lb", "l7", 2, None), ("bob", "lb", "l7", 2, None),
        ("lb", "api1", "l7", 2, None), ("lb", "api2", "l7", 2, None),
    }  # fmt: skip
    assert told(wire) == "L7: 4 requests, 4 client connections, 4 back connections"


def test_nodes_have_roles_and_vantage_points_in_the_topologys_order() -> None:
    study = Study(l4_wire(1).recording())
    nodes = dict(build(study, Routes(study)).nodes(data=True))
    assert list(nodes) == ["alice", "bob", "lb", "api1", "api2"]
    assert nodes["lb"] == {"role": "balancer", "vantages": ("lb:front", "lb:back"), "address": "10.0.1.10"}
    assert nodes["api1"]["role"] == "backend"


def test_full_nat_and_another_port_are_still_one_edge() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4")]
    Talk(wire, Nat(full=True, backend_port=8080)).open()
    assert edges(wire) == [("alice", "api1", "l4", 1, "lb")]


def test_both_modes_in_one_recording_are_told_apart() -> None:
    wire, later = l4_wire(2), l7_wire(1)
    wire.events += [
        {**event, "time_ns": event["time_ns"] + 10**12} for event in later.events if event["kind"] == "mode"
    ]
    for event in later.events:
        if event["kind"] == "request":
            shifted = {name: event[name] + 10**12 for name in ("time_ns", "started_ns", "decided_ns", "ended_ns")}
            wire.events.append({**event, **shifted})
    wire.seen += [(time_ns + 10**12, vantage, raw, length, sent) for time_ns, vantage, raw, length, sent in later.seen]
    assert told(wire) == (
        "L4: 2 requests, 2 connections, each running through lb to a backend; "
        "L7: 1 request, 1 client connection, 1 back connection"
    )
    assert {edge[2] for edge in edges(wire)} == {"l4", "l7"}


def test_a_connection_that_goes_on_through_the_balancer_after_a_switch_to_l7_is_l4() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l7")]  # begun, and decided on, before the capture
    Talk(wire, Nat()).ask(get())
    wire.carry(Nat(sport=5300, dport=7, backend_port=7).out(udp(b"ping"), ip_id=9))
    assert edges(wire) == [("alice", "api1", "l4", 1, "lb"), ("alice", "api1", "l4", 1, "lb")]
    assert told(wire) == "L4: 1 request, 2 connections, each running through lb to a backend"


def test_a_listener_that_stays_forwarded_at_l7_is_l4_by_its_decision() -> None:
    wire = l7_wire(1)
    nat = Nat("bob", "api2", 42000, 6379, 6379)
    Talk(wire, nat).open().ask(b"PING\r\n")
    wire.events.append(decision(wire.now, nat))
    assert ("bob", "api2", "l4", 1, "lb") in edges(wire)
    assert told(wire).startswith("L4: 1 connection, running through lb to a backend; L7: 1 request")


def test_a_backend_that_was_not_captured_is_known_by_the_decision_or_by_its_address() -> None:
    assert edges(l4_wire(1, vantages=("alice", "lb:front"))) == [("alice", "api1", "l4", 1, "lb")]
    assert edges(l4_wire(1, vantages=("lb:front", "lb:back"))) == [("alice", "api1", "l4", 1, "lb")]
    wire = l4_wire(1, vantages=("alice",))
    wire.events = [event for event in wire.events if event["kind"] != "decision"]
    assert edges(wire) == [("alice", "lb", "l4", 1, None)]  # that is all that is known
    assert told(wire) == "L4: 1 request, 1 connection"


def test_that_a_backend_was_reached_is_known_by_the_decision_or_at_the_backend_alone() -> None:
    assert told(l4_wire(2, vantages=("alice", "bob"))) == "L4: 2 requests, 2 connections, each reaching a backend"
    assert told(l4_wire(1, vantages=("api1",))) == "L4: 1 request, 1 connection, reaching a backend"
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4")]
    Talk(wire, Link("alice", "lb:front", 49000)).send(0, "S")
    assert told(wire) == "L4: 1 connection, none reaching a backend"


def test_beside_tls_only_the_requests_in_clear_are_counted_and_it_says_so() -> None:
    wire = l4_wire(1)
    Talk(wire, Nat(sport=43000, dport=443, backend_port=443)).open().ask(hello("lb"), b"\x16\x03\x03\0\x01\0")
    assert told(wire) == "L4: 1 request in clear, 2 connections, each running through lb to a backend"
    Talk(late := l4_wire(1), Nat(sport=43000, dport=7, backend_port=7)).open().ask(b"\x16 is no TLS", b"no")
    assert told(late) == "L4: 1 request, 2 connections, each running through lb to a backend"


def test_of_some_that_reach_a_backend_the_number_is_told() -> None:
    wire = l4_wire(2)
    Talk(wire, Link("alice", "lb:front", 49000)).send(0, "S")
    assert told(wire) == "L4: 2 requests, 3 connections, 2 of them running through lb to a backend"


def test_without_a_topology_addresses_stand_for_hosts() -> None:
    wire = l7_wire(1)
    wire.events = [event for event in wire.events if event["kind"] != "topology"]
    study = Study(wire.recording())
    graph = build(study, Routes(study))
    assert {(a, b) for a, b, _ in graph.edges(data=True)} == {("10.0.1.11", "10.0.1.10"), ("10.0.2.10", "10.0.2.11")}
    assert nodes_by_role(graph) == {"client": {"10.0.1.11", "10.0.2.10"}, "backend": {"10.0.1.10", "10.0.2.11"}}
    assert told(wire) == "L7: 1 request, 1 client connection, 1 back connection"
    wire = l4_wire(1)
    wire.events = []
    assert edges(wire) == [("10.0.1.11", "10.0.2.11", "unknown", 1, "lb")]
    assert told(wire) == "1 connection"


def test_a_host_that_accepts_and_opens_stands_in_the_middle() -> None:
    wire = Wire()
    Talk(wire, Link("alice", "bob", 1), seed=1).open()
    Talk(wire, Link("bob", "api1", 2), seed=2).open()
    study = Study(wire.recording())
    graph = build(study, Routes(study))
    assert nodes_by_role(graph) == {"client": {"10.0.1.11"}, "balancer": {"10.0.1.12"}, "backend": {"10.0.2.11"}}


def test_hosts_outside_the_topology_are_added() -> None:
    wire = l4_wire(1)
    wire.events = [{**TOPOLOGY, "nodes": TOPOLOGY["nodes"][1:]}, *wire.events[1:]]
    study = Study(wire.recording())
    assert build(study, Routes(study)).nodes["10.0.1.11"]["role"] == "client"


def test_udp_is_an_edge_of_its_own() -> None:
    wire = l4_wire(1)
    wire.carry(Nat(sport=5000, dport=53, backend_port=53).out(udp(b"?"), 7))
    assert edges(wire) == [("alice", "api1", "l4", 1, "lb")] * 2


def test_nothing_captured() -> None:
    wire = Wire()
    assert told(wire) == "No connections"
    seen_by_proxy_alone = l7_wire(1)
    seen_by_proxy_alone.seen = []
    assert told(seen_by_proxy_alone) == "L7: 1 request, 0 client connections, 0 back connections"
    assert get() != b""


def test_edges_carry_amounts_each_way_and_states() -> None:
    study = Study(l4_wire(3).recording())
    graph = build(study, Routes(study))
    table = study.connections_table()
    for source, target, data in graph.edges(data=True):
        mine = table[table["client"] == {"alice": "10.0.1.11", "bob": "10.0.1.12"}[source]]
        assert data["connections"] == len(mine)
        for name in ("packets_out", "packets_in", "bytes_out", "bytes_in"):
            assert data[name] == mine[name].sum() > 0, (source, target, name)
        assert data["states"] == {"closed": len(mine)}
    wire = l4_wire(1)
    Talk(wire, Nat(sport=40777), seed=9).send(0, "S")
    study = Study(wire.recording())
    (edge,) = (data for *_, data in build(study, Routes(study)).edges(data=True) if data["connections"] == 2)
    assert edge["states"] == {"closed": 1, "syn_sent": 1}
