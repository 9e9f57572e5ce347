"""`expect`: each check passes on a capture that shows it and fails on one that does not, naming the packets."""

from dataclasses import replace

import pytest

from labkit import Capture, Lab, LabError, expect
from labkit.errors import CaptureError, NotAsExpected
from labkit.recording import Loss
from tests.analysis.wire import (
    TOPOLOGY,
    Link,
    Nat,
    Talk,
    Wire,
    decision,
    get,
    l7_wire,
    mode,
    request,
    rules,
    udp,
)  # fmt: skip

COOKIE = get("/api/users", "Cookie: a=1")
COUNTED = {name: Loss(1, 0) for name in Wire().vantages}


def nat(*talks, wire=None):
    """Connections through NAT: ("alice", "api1"), …; one request with a cookie on each."""
    wire = wire or Wire()
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst", "tcp.dport")]
    for turn, (client, backend) in enumerate(talks):
        way = Nat(client, backend, sport=40000 + turn)
        talk = Talk(wire, way, seed=turn)
        talk.send(0, "S")
        wire.events.append(decision(wire.now - 20_000, way))
        talk.send(1, "SA")
        talk.send(0, "A")
        talk.ask(COOKIE).close()
    return wire


def held(*fields):
    return {"held": ["ip.src", "tcp.sport", "http.method", "http.target", "http.host", *fields]}


def l4():
    return nat(("alice", "api1"))


def two():
    return nat(("alice", "api1"), ("bob", "api2"))


def l7(**more):
    pairs = [["Host", "lb"], ["Cookie", "a=1"]]
    more = {"headers_received": pairs, "headers_forwarded": [*pairs, ["X-Forwarded-For", "10.0.1.11"]], **more}
    return l7_wire(received=COOKIE, forwarded=COOKIE, **held("http.cookie"), **more)


def keep_alive():
    """Two requests on one client connection, each on a back connection of its own."""
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l7"), rules("ct.state")]
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front, seed=9).open()
    for turn in range(2):
        back = Link("lb:back", ("api1", "api2")[turn], 51000 + turn)
        outer.send(0, "PA", get())
        started, decided = wire.wait(), wire.wait()
        Talk(wire, back, seed=turn).open().ask(get()).close()
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        wire.events.append(request(started, decided, wire.wait(), front, back, backend=("api1", "api2")[turn]))
    return wire


def resent():
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l4")]
    talk = Talk(wire, Nat()).open()
    talk.send(0, "PA", b"hello")
    talk.send(0, "PA", b"hello", back=5)
    return wire


def reset():
    wire = l4()
    Talk(wire, Nat(sport=45000)).send(1, "R")
    return wire


def datagram():
    wire = Wire()
    way = Nat(dport=7, backend_port=7)
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst")]
    wire.carry(way.out(udp(b"hi"), 5))
    wire.events.append(decision(wire.now - 20_000, way, proto="UDP"))
    wire.carry(way.back(udp(b"hi"), 6))
    return wire


def doubtful():
    """Two equal datagrams without an IP ID, over a router that changes both ends: nobody can say which is which."""
    wire = Wire(("alice", "lb:front", "lb:back", "api1"))
    wire.events += [TOPOLOGY, mode("l4")]
    way = Nat(dport=7, backend_port=7, full=True)
    for _ in range(2):
        wire.carry(way.out(udp(b"same"), 0))
    return wire


def capture(wire, loss=COUNTED, **more):
    return Capture(replace(wire.recording(loss=loss), **more))


PASSES = [
    (l4, lambda e: e.one_connection("alice", "api1"), "one connection alice → api1 (#1…#40)"),
    (l4, lambda e: e.one_connection(), "one connection (#1…#40)"),
    (l4, lambda e: e.connections(1), "1 TCP connection (#1)"),
    (two, lambda e: e.one_connection("bob", "api2"), "one connection bob → api2 (#41…#80)"),
    (two, lambda e: e.one_connection("bob"), "one connection bob → (any backend) (#41…#80)"),
    (l7, lambda e: e.two_connections("alice", "api1"), "two connections alice → api1 (#1…#38)"),
    (l7, lambda e: e.two_connections(), "two connections (#1…#38)"),
    (l7, lambda e: e.connections(2), "2 TCP connections (#1…#9)"),
    (l4, lambda e: e.rewritten("ip.dst", at="lb"), "ip.dst rewritten at lb (#2…#39)"),
    (l4, lambda e: e.rewritten("ip.src", at="lb"), "ip.src rewritten at lb (#6…#35)"),
    (l4, lambda e: e.rewritten("ip.ttl"), None),
    (l4, lambda e: e.not_rewritten("tcp.seq", at="lb"), "tcp.seq not rewritten at lb (#2…#39)"),
    (l4, lambda e: e.not_rewritten("http.cookie", at="lb"), None),
    (l7, lambda e: e.rewritten("http.header.X-Forwarded-For", at="lb"), None),
    (l7, lambda e: e.not_rewritten("http.cookie"), "http.cookie not rewritten (#1…#38)"),
    (l4, lambda e: e.never_seen("http.cookie", by="l4"), "http.cookie never seen by l4 (#1…#40)"),
    (l4, lambda e: e.never_seen("http.target", by="lb"), None),
    (l7, lambda e: e.never_seen("tcp.window", by="l7"), None),
    (l4, lambda e: e.answered_by("api1"), None),
    (two, lambda e: e.answered_by("api2", "api1"), None),
    (l7, lambda e: e.answered_by("api1"), "answered by api1 (#9…#38)"),
    (l4, lambda e: e.decided_on("SYN"), "decided on the SYN (#2)"),
    (l7, lambda e: e.decided_on("request"), "decided on the request (#8)"),
    (datagram, lambda e: e.decided_on("datagram"), "decided on the datagram (#2)"),
    (l4, lambda e: e.joined(), "every packet recognised wherever it was seen (#1…#40)"),
    (l4, lambda e: e.retransmissions(0), "0 retransmissions (#1)"),
    (resent, lambda e: e.retransmissions(1), None),
    (l4, lambda e: e.no_reset(), "no reset (#1…#40)"),
    (l4, lambda e: e.no_loss(), "no packet lost"),
]

FAILS = [
    (two, lambda e: e.one_connection(), "there are 2: connection 1 alice → api1, connection 2 bob → api2", (41,)),
    (two, lambda e: e.one_connection("alice", "api2"), "connection 1 alice → api1, connection 2 bob → api2", (1, 41)),
    (l7, lambda e: e.one_connection("alice", "api1"), "connection 1 alice → lb, connection 2 lb → api1", (1, 9)),
    (l7, lambda e: e.one_connection(), "none runs through: connection 1 alice → lb, connection 2 lb → api1", (1, 9)),
    (datagram, lambda e: e.one_connection(), "there is none", ()),
    (l4, lambda e: e.two_connections("alice", "api1"), "one connection runs through: connection 1 alice → api1", (1,)),
    (l7, lambda e: e.two_connections("bob"), "no request pairs two: there is none", ()),
    (keep_alive, lambda e: e.two_connections("alice"), "there are 1 of clients and 2 to backends", None),
    (l7, lambda e: e.connections(1), "there are 2", (9,)),
    (l4, lambda e: e.rewritten("tcp.seq", at="lb"), "it came out as it went in", None),
    (l7, lambda e: e.rewritten("ip.dst", at="lb"), "no packet ran over lb", (1, 9)),
    (l7, lambda e: e.not_rewritten("ip.dst", at="lb"), "no packet ran over lb", (1, 9)),
    (l4, lambda e: e.not_rewritten("ip.dst", at="lb"), "10.0.1.10 became 10.0.2.11", (2, 3, 10, 11)),
    (l4, lambda e: e.rewritten("http.cookie", at="lb"), "every packet came out with the content", None),
    (l7, lambda e: e.rewritten("http.cookie"), "it went on as it came", None),
    (l7, lambda e: e.not_rewritten("http.header.x-forwarded-for"), "(none) became 10.0.1.11", None),
    (l7, lambda e: e.not_rewritten("http.header.x-nobody"), "no request went on that had http.header.x-nobody", ()),
    (l7, lambda e: e.never_seen("http.cookie", by="l7"), "it was read on 1 of 1 connections", (8,)),
    (l4, lambda e: e.never_seen("ip.dst", by="l4"), "it was read on 1 of 1 connections", (2,)),
    (l7, lambda e: e.never_seen("http.cookie", by="l4"), "no connection was handled by l4, but by l7", (1, 9)),
    (l4, lambda e: e.never_seen("http.cokie", by="l4"), "nothing is shown (did you mean 'http.cookie'?)", (1,)),
    (two, lambda e: e.answered_by("api1"), "api2 (1) answered too", (41,)),
    (l4, lambda e: e.answered_by("api1", "api2"), "api2 did not answer, api1 (1) did", (1,)),
    (l7, lambda e: e.decided_on("SYN"), "it fell on request (1)", (8,)),
    (l4, lambda e: e.decided_on("request"), "it fell on SYN (1)", (2,)),
    (resent, lambda e: e.decided_on("SYN"), "this capture holds no decision", ()),
    (doubtful, lambda e: e.joined(), "some look like others", None),
    (resent, lambda e: e.retransmissions(0), "there are 1", (17,)),
    (reset, lambda e: e.no_reset(), "reset by api1, lb", (41, 42, 43, 44)),
    (datagram, lambda e: e.no_reset(), "there is no TCP packet", ()),
]  # fmt: skip


@pytest.mark.parametrize(("make", "check", "sentence"), PASSES, ids=lambda value: getattr(value, "__name__", None))
def test_what_a_capture_shows_passes(make, check, sentence):
    chain = expect(capture(make()))
    assert check(chain) is chain
    assert len(chain.passed) == 1
    if sentence is not None:
        assert chain.passed == (sentence,)


@pytest.mark.parametrize(
    ("make", "check", "words", "packets"), FAILS, ids=lambda value: getattr(value, "__name__", None)
)
def test_what_it_does_not_show_fails_and_names_the_packets(make, check, words, packets):
    cap = capture(make())
    with pytest.raises(NotAsExpected) as failed:
        check(expect(cap))
    text = str(failed.value)
    assert text.startswith("Expected ")
    assert words in text
    assert isinstance(failed.value, AssertionError)
    assert isinstance(failed.value, LabError)
    if packets is not None:
        assert failed.value.packets[: len(packets)] == packets
        assert len(failed.value.packets) == len(packets) or len(packets) >= 4
    assert set(failed.value.packets) <= set(cap.packets()["number"])
    for number in failed.value.packets[:12]:
        assert f"#{number}" in text


def test_the_packets_of_a_retransmission_are_its_second_sending():
    cap = capture(resent())
    with pytest.raises(NotAsExpected) as failed:
        expect(cap).retransmissions(0)
    (number,) = failed.value.packets
    row = cap.packets().set_index("number").loc[number]
    assert (row["vantage"], row["payload_length"], row["flags"]) == ("alice", 5, "PA")


@pytest.mark.parametrize(
    ("loss", "more", "words"),
    [
        ({**COUNTED, "lb:back": Loss(1, 3)}, {}, "3 at lb:back were dropped"),
        ({**COUNTED, "api1": Loss(1, None)}, {}, "nobody counted at api1"),
        ({}, {}, "nobody counted at alice, bob, lb:front"),
        (COUNTED, {"lacks": ("everything after its first 7 packets: the limit was reached",)}, "after its first 7"),
        (COUNTED, {"lacks": ("the rest: the file is cut short at packet 8",)}, "cut short at packet 8"),
        (COUNTED, {"lacks": ("the last packets at api1: its tap ended early (killed)",)}, "its tap ended early"),
    ],
)
def test_loss_is_no_loss_only_where_somebody_counted_none(loss, more, words):
    with pytest.raises(NotAsExpected, match=words):
        expect(capture(l4(), loss, **more)).no_loss()


def test_a_capture_without_any_record_proves_nothing():
    wire = l4()
    wire.events = [TOPOLOGY, mode("l4")]
    with pytest.raises(NotAsExpected, match="does not say what the balancer read"):
        expect(capture(wire)).never_seen("http.cookie", by="l4")
    empty = capture(Wire())
    for check in (
        lambda e: e.one_connection(),
        lambda e: e.two_connections(),
        lambda e: e.rewritten("ip.dst"),
        lambda e: e.not_rewritten("ip.dst"),
        lambda e: e.never_seen("http.cookie", by="l4"),
        lambda e: e.decided_on("SYN"),
        lambda e: e.joined(),
        lambda e: e.no_reset(),
        lambda e: e.retransmissions(0),
    ):
        with pytest.raises(NotAsExpected):
            check(expect(empty))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda e: e.one_connection("alise"), r"no host 'alise' \(did you mean 'alice'\?\)"),
        (lambda e: e.one_connection(5), "no host 5: it has alice"),
        (lambda e: e.answered_by("api3"), "did you mean 'api"),
        (lambda e: e.answered_by(), "takes the names of backends"),
        (lambda e: e.rewritten("ip.dts", at="lb"), r"no field 'ip.dts' \(did you mean 'ip.dst'\?\)"),
        (lambda e: e.rewritten("ip.dst", at="lb1"), "did you mean 'lb'"),
        (lambda e: e.not_rewritten(None), "no field None"),
        (lambda e: e.never_seen("cookie", by="l4"), "A field is named as in"),
        (lambda e: e.never_seen("http.cookie", by="l5"), "by l4, l7 or the balancer, not by 'l5'"),
        (lambda e: e.decided_on("syn"), "one of SYN, request, datagram, not 'syn'"),
        (lambda e: e.decided_on(["SYN"]), r"one of SYN, request, datagram, not \['SYN'\]"),
        (lambda e: e.connections("2"), r"connections\(\) takes a number from 0"),
        (lambda e: e.retransmissions(-1), r"retransmissions\(\) takes a number from 0"),
        (lambda e: e.retransmissions(True), r"retransmissions\(\) takes a number from 0"),
    ],
)
def test_wrong_names_are_lessons_not_failures(check, words):
    with pytest.raises(CaptureError, match=words):
        check(expect(capture(l4())))


def test_behind_the_balancer_alone_nothing_is_said_of_what_it_never_saw():
    wire = l7()
    wire.seen = [one for one in wire.seen if one[1] in ("lb:back", "api1")]
    with pytest.raises(NotAsExpected, match="no connection to the balancer was captured that l7 handled"):
        expect(capture(wire)).never_seen("http.cookie", by="l7")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lacks": ("everything after its first 9 packets: no more were asked for",)}, "everything after its first 9"),
        ({"filter": "tcp[tcpflags] & tcp-rst == 0"}, r"the capture's filter .* may have left some out"),
        ({"filter": "src host 10.0.1.11"}, r"the capture's filter .* may have left some out"),
        ({"filter": "len < 200"}, r"the capture's filter .* may have left some out"),
        ({"loss": Loss(9, 2)}, "2 packets were dropped at alice"),
    ],
)
def test_what_may_be_missing_is_not_said_not_to_be_there(change, reason):
    recording = capture(l4()).recording
    if "filter" in change:
        change = {"vantages": tuple(replace(one, filter=change["filter"]) for one in recording.vantages)}
    if "loss" in change:
        change = {"loss": {**recording.loss, "alice": change["loss"]}}
    for check in (lambda chain: chain.no_reset(), lambda chain: chain.retransmissions(0)):
        with pytest.raises(NotAsExpected, match=reason):
            check(expect(Capture(replace(recording, **change))))


def test_a_filter_that_takes_whole_conversations_hides_nothing_of_them():
    recording = capture(l4()).recording
    filtered = tuple(replace(one, filter="host 10.0.1.11 and tcp port 80") for one in recording.vantages)
    expect(Capture(replace(recording, vantages=filtered))).no_reset().retransmissions(0)


def test_only_a_capture_that_has_ended_is_judged():
    with pytest.raises(CaptureError, match=r"expect\(\) takes a capture"):
        expect("l4.pcapng")
    with pytest.raises(CaptureError, match="has not ended yet"):
        expect(Capture())
    with pytest.raises(AttributeError, match=r"no check 'no_lost' \(did you mean 'no_loss'\?\)"):
        expect(capture(l4())).no_lost  # noqa: B018


def test_a_chain_says_what_it_passed():
    chain = expect(capture(l4())).one_connection("alice", "api1").rewritten("ip.dst", at="lb").no_loss()
    assert repr(chain).splitlines() == [
        "✓ one connection alice → api1 (#1…#40)",
        "✓ ip.dst rewritten at lb (#2…#39)",
        "✓ no packet lost",
    ]
    assert chain._repr_html_().count("<br>") == 2
    assert repr(expect(capture(l4()))) == "nothing was expected yet"


@pytest.mark.parametrize("name", ["l4", "l7"])
def test_the_recorded_captures_hold_to_their_claims(name):
    chain = expect(Capture.load(f"captures/{name}.pcapng")).no_loss().no_reset().joined().retransmissions(0)
    everybody = ("api1", "api2", "images1", "images2")
    if name == "l4":
        chain.connections(40).decided_on("SYN").rewritten("ip.dst", at="lb").not_rewritten("tcp.seq", at="lb")
        chain.never_seen("http.target", by="l4").answered_by(*everybody)
        with pytest.raises(NotAsExpected) as failed:
            chain.one_connection("alice", "api1")
        assert len(failed.value.packets) == 4
    else:
        chain.connections(80).decided_on("request").answered_by(*everybody)
        with pytest.raises(NotAsExpected, match="it was read on 40 of 40"):
            chain.never_seen("http.target", by="l7")


@pytest.mark.needs("netns")
def test_a_real_lab_at_l4_and_at_l7():
    with Lab() as lab:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as at_l4:
            lab.alice.get("http://lb/api/users", cookies={"session": "1"})
        lab.balancer.l7()
        with lab.capture() as at_l7:
            reply = lab.alice.get("http://lb/api/users", cookies={"session": "1"})
    expect(at_l4).one_connection("alice", "api1").connections(1).rewritten("ip.dst", at="lb").rewritten(
        "ip.src", at="lb"
    ).not_rewritten("tcp.seq", at="lb").never_seen("http.cookie", by="l4").answered_by("api1").decided_on(
        "SYN"
    ).joined().no_loss().no_reset()
    expect(at_l7).two_connections("alice", reply.backend).connections(2).answered_by(reply.backend).decided_on(
        "request"
    ).no_loss()
    for chain, wrong in (
        (expect(at_l4), lambda e: e.two_connections("alice", "api1")),
        (expect(at_l7), lambda e: e.one_connection("alice", reply.backend)),
        (expect(at_l7), lambda e: e.rewritten("ip.dst", at="lb")),
        (expect(at_l7), lambda e: e.never_seen("http.cookie", by="l7")),
        (expect(at_l4), lambda e: e.decided_on("request")),
    ):
        with pytest.raises(NotAsExpected) as failed:
            wrong(chain)
        assert failed.value.packets
