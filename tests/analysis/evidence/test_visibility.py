"""The matrix, worked out by hand for the recordings of `wire`."""

import pytest
from pandas import DataFrame
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from labkit.analysis.evidence.visibility import table
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from tests.analysis.tls.test_hello import hello
from tests.analysis.wire import (
    ALICE,
    API1,
    HOP,
    LB_BACK,
    MACS,
    TOPOLOGY,
    VIP,
    Link,
    Nat,
    Talk,
    Wire,
    decision,
    get,
    l4_wire,
    l7_wire,
    mode,
    request,
    rules,
    udp,
)

FOUR = ["alice", "lb:front", "lb:back", "api1"]
CLEAR, READ, USED, HIDDEN = "in clear, not read", "read", "read and used", "encrypted"


def matrix(wire: Wire, connection: int | None = None, *, full: bool = False) -> DataFrame:
    study = Study(wire.recording())
    return table(study, Routes(study), connection, full=full)


def states(frame: DataFrame) -> dict[str, str]:
    return dict(zip(frame["field"], frame["state"], strict=True))


def test_at_l4_by_hand() -> None:
    wire = l4_wire(1)
    frame = matrix(wire)
    isn = Study(wire.recording()).packets_table()["seq"][0]
    dst = f"{MACS['lb:front']} → {MACS['api1']}"
    assert list(frame.columns) == ["layer", "field", *FOUR, "state", "rewritten"]
    assert frame.to_numpy().tolist() == [
        ["Ethernet", "eth.dst", *[MACS["lb:front"]] * 2, *[MACS["api1"]] * 2, CLEAR, dst],
        ["IP", "ip.src", ALICE, ALICE, ALICE, ALICE, CLEAR, False],
        ["IP", "ip.dst", VIP, VIP, API1, API1, USED, f"{VIP} → {API1}"],
        ["IP", "ip.ttl", 64, 64, 63, 63, CLEAR, "64 → 63"],
        ["TCP", "tcp.dport", 80, 80, 80, 80, USED, False],
        ["TCP", "tcp.seq", isn, isn, isn, isn, CLEAR, False],
        ["HTTP", "http.target", *["/api/users"] * 4, CLEAR, False],
        ["HTTP", "http.host", *["lb"] * 4, CLEAR, False],
    ]


def test_at_l7_by_hand() -> None:
    sent, forwarded = get("/api/x", "Cookie: a=1"), get("/x", "Cookie: a=1", "Via: lb")
    held = ["ip.src", "http.method", "http.target", "http.host", "http.cookie"]
    wire = l7_wire(1, received=sent, forwarded=forwarded, target="/api/x", held=held, read=["http.target"])
    wire.events.append(rules("ct.state", "tcp.dport"))
    frame = matrix(wire, full=True).set_index("field")
    assert frame.loc["tcp.seq", "alice"] == frame.loc["tcp.seq", "lb:front"] != frame.loc["tcp.seq", "lb:back"]
    assert frame.loc["ip.src", FOUR].tolist() == [ALICE, ALICE, LB_BACK, LB_BACK]
    wanted = {
        "eth.src": CLEAR, "ip.src": READ, "ip.dst": CLEAR, "tcp.dport": READ, "tcp.seq": CLEAR,
        "http.method": READ, "http.target": USED, "http.version": READ, "http.host": READ, "http.cookie": READ,
        "http.header.via": CLEAR,
    }  # fmt: skip
    assert {name: states(frame.reset_index())[name] for name in wanted} == wanted
    rewritten = {name: change for name, change in frame["rewritten"].items() if change}
    assert rewritten == {"http.target": "/api/x → /x", "http.header.via": "(none) → lb"}
    assert frame.loc["http.header.via", FOUR].tolist() == [None, None, "lb", "lb"]
    assert len(matrix(wire)) == 8
    assert "http.cookie" in set(matrix(wire)["field"])  # the request has one, so it is among the eight


def test_the_state_follows_the_record_not_the_layer() -> None:
    """The same packets, other rules and decisions: other verdicts."""
    wire = l4_wire(1)
    quiet = [event for event in wire.events if event["kind"] not in ("rules", "decision")]
    wire.events = [*quiet, rules("ip.src", "eth.dst", "http.target")]
    assert {name: state for name, state in states(matrix(wire)).items() if state != CLEAR} == {
        "eth.dst": READ,
        "ip.src": READ,
    }
    wire.events = [*quiet, decision(wire.now, Nat(), read=("tcp.seq", "http.host"))]
    assert {name: state for name, state in states(matrix(wire)).items() if state != CLEAR} == {"tcp.seq": USED}
    wire.events = quiet
    assert set(matrix(wire)["state"]) == {None}  # nobody says what was read


def test_the_rules_in_force_then_are_those_that_count() -> None:
    wire = l4_wire(1)
    wire.events = [event for event in wire.events if event["kind"] not in ("rules", "decision")]
    wire.events += [rules("ip.src"), rules("ip.dst", at=wire.seen[0][0] - 1), rules("tcp.seq", at=wire.now)]
    assert [name for name, state in states(matrix(wire)).items() if state == READ] == ["ip.dst"]


def test_full_shows_every_header_and_the_body() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst")]
    body = b"POST /form HTTP/1.1\r\nHost: lb\r\nAccept: */*\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\na=b"
    Talk(wire, Nat()).open().ask(body)
    frame = matrix(wire, full=True)
    http = frame[frame["layer"] == "HTTP"].set_index("field")["alice"].to_dict()
    assert http == {
        "http.method": "POST", "http.target": "/form", "http.version": "HTTP/1.1", "http.host": "lb",
        "http.header.accept": "*/*", "http.header.x-two": "1, 2", "http.header.content-length": "3", "http.body": "a=b",
    }  # fmt: skip
    assert set(frame["layer"]) == {"Ethernet", "IP", "TCP", "HTTP"}
    assert states(frame)["http.body"] == CLEAR
    assert len(matrix(wire)) == 8


def test_tls_that_passes_through_is_encrypted_but_for_its_hello() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst", "tcp.dport")]
    Talk(wire, Nat(dport=443, backend_port=443)).open().ask(hello("shop.test"))
    frame = matrix(wire)
    assert states(frame)["http.target"] == states(frame)["http.host"] == HIDDEN
    assert frame.set_index("field").loc["tls.sni", FOUR].tolist() == ["shop.test"] * 4
    assert states(frame)["tls.sni"] == CLEAR
    assert frame.set_index("field").loc["http.target", FOUR].tolist() == ["encrypted"] * 4
    assert len(frame) == 8
    every = states(matrix(wire, full=True))
    assert {every[name] for name in ("http.method", "http.cookie", "http.body")} == {HIDDEN}
    assert every["tls.alpn"] == every["tls.version"] == CLEAR


def test_tls_that_ends_in_the_balancer_was_read() -> None:
    wire = l7_wire(1, received=hello(), forwarded=get("/x"), target="/api/users", held=["http.target", "http.host"])
    frame = matrix(wire).set_index("field")
    assert frame.loc["http.target", FOUR].tolist() == ["encrypted", "encrypted", "/x", "/x"]
    assert (frame.loc["http.target", "state"], frame.loc["http.host", "state"]) == (USED, READ)
    assert frame.loc["http.target", "rewritten"] == "/api/users → /x"  # before: by the proxy's record
    assert frame.loc["http.host", "rewritten"] is False


def test_of_tls_from_the_middle_the_request_is_encrypted_and_not_absent() -> None:
    data = b"\x17\x03\x03\x00\x08ciphered"
    wire = l7_wire(1, received=data, forwarded=get("/api/users"))
    wire.seen = [one for one in wire.seen if not Ether(one[2])[TCP].flags.S]
    frame = matrix(wire).set_index("field")
    assert frame.loc["http.target", FOUR].tolist() == ["encrypted", "encrypted", "/api/users", "/api/users"]
    assert frame.loc["http.target", ["state", "rewritten"]].tolist() == [USED, False]
    through = Wire()
    through.events += [TOPOLOGY, mode("l4"), rules("ip.dst", "tcp.dport")]
    Talk(through, Nat(dport=443, backend_port=443)).ask(data)
    every = matrix(through, full=True)
    assert states(every)["http.target"] == HIDDEN
    assert not {"payload", "tls.sni"}.intersection(every["field"])


def test_what_is_not_http_shows_its_first_bytes() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst")]
    Talk(wire, Nat(dport=6379, backend_port=6379)).open().ask(b"PING\r\n")
    assert matrix(wire)["field"].tolist() == [
        "eth.dst",
        "ip.src",
        "ip.dst",
        "ip.ttl",
        "tcp.sport",
        "tcp.dport",
        "tcp.seq",
        "payload",
    ]
    assert matrix(wire).iloc[-1][["layer", *FOUR, "state"]].tolist() == ["Payload", *["PING"] * 4, CLEAR]


@pytest.mark.parametrize(("payload", "shown"), [(b"who?", "who?"), (b"\x00\xff", "2 bytes"), (b"x" * 61, "61 bytes")])
def test_udp_decides_on_the_datagram_and_holds_its_payload(payload: bytes, shown: str) -> None:
    wire = Wire()
    nat = Nat(sport=5000, dport=53, backend_port=53)
    wire.carry(nat.out(udp(payload), 4))
    wire.events += [TOPOLOGY, rules("payload"), decision(wire.now, nat, read=("udp.dport",), proto="UDP")]
    frame = matrix(wire)
    assert len(frame) == 8
    assert (states(frame)["udp.dport"], states(frame)["payload"], states(frame)["udp.sport"]) == (USED, READ, CLEAR)
    assert frame.iloc[-1]["api1"] == shown


def test_the_second_request_of_a_connection_is_found_on_both_sides() -> None:
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l7")]
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front).open()
    backs = [
        Talk(wire, Link("lb:back", server, 51000), seed=7 + turn).open() for turn, server in enumerate(("api1", "api2"))
    ]
    for turn, target in enumerate(("/one", "/two", "/three")):
        outer.send(0, "PA", get(target))
        started = wire.wait()
        backs[turn % 2].ask(get(target))
        way = backs[turn % 2].way
        assert isinstance(way, Link)
        wire.events.append(request(started, started + HOP, wire.wait(), front, way, target=target))
        outer.send(1, "PA", b"HTTP/1.1 204 No Content\r\n\r\n")
    first, second = matrix(wire, 2).set_index("field"), matrix(wire, 3).set_index("field")
    assert first.loc["http.target", FOUR].tolist() == ["/one"] * 4
    assert second.loc["http.target", ["alice", "lb:front", "lb:back", "api2"]].tolist() == ["/two"] * 4


def test_from_the_middle_of_a_connection_a_request_is_known_by_its_name_only() -> None:
    wire = l7_wire(1)
    wire.seen = [one for one in wire.seen if one[4] > 3]  # no handshake in front
    assert matrix(wire).set_index("field").loc["http.target", "alice"] == "/api/users"
    wire = l7_wire(1, received=get("/other"))
    wire.seen = [one for one in wire.seen if one[4] > 3]
    assert matrix(wire).set_index("field").loc["http.target", "alice"] is None


def test_an_answer_by_the_balancer_has_only_a_front() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    Talk(wire, front).open().ask(get("/none"))
    wire.events += [TOPOLOGY, mode("l7"), request(wire.now, wire.now, wire.now, front, None, target="/none")]
    assert list(matrix(wire).columns) == ["layer", "field", "alice", "lb:front", "state", "rewritten"]


def test_of_a_request_captured_behind_the_balancer_alone_the_record_says_what_it_read() -> None:
    wire = l7_wire(1, forwarded=get("/api/users", "X-Via: lb"), headers_received=[["Host", "lb"]])
    wire.seen = [one for one in wire.seen if one[1] == "lb:back"]
    study = Study(wire.recording())
    found = table(study, Routes(study), full=True).set_index("field")
    assert list(found.columns) == ["layer", "lb:back", "state", "rewritten"]
    assert found.loc["http.target", "state"] == "read and used"
    assert found.loc["http.host", ["lb:back", "state", "rewritten"]].tolist() == ["lb", "read", False]
    assert found.loc["http.header.x-via", "rewritten"] == "(none) → lb"
    assert table(study, Routes(study), 1, full=True).equals(table(study, Routes(study), full=True))


def test_a_connection_without_payload_and_a_recording_without_connections() -> None:
    wire = Wire()
    Talk(wire, Nat()).send(0, "S")
    assert matrix(wire).iloc[-1][["field", "alice"]].tolist() == ["payload", None]
    assert (len(matrix(Wire())), list(matrix(Wire()).columns)) == (0, ["layer", "field", "state", "rewritten"])
