"""The same packet at several vantage points. `Wire.truth` knows which packet each observation really is."""

import random
from collections import Counter

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from labkit.analysis.connections.trajectories import Trajectories
from labkit.analysis.study import Study
from tests.analysis.wire import HOP, Link, Nat, Talk, Wire, frame6, get, l4_wire, l7_wire, udp

FOUR = ("alice", "lb:front", "lb:back", "api1")


def joined(wire: Wire) -> Trajectories:
    return Study(wire.recording()).trajectories


def paths(wire: Wire) -> list[tuple[str, ...]]:
    return list(Study(wire.recording()).trajectories_table()["path"])


def assert_as_it_was(wire: Wire) -> None:
    """Every trajectory is certain, and exactly one real packet, and every real packet is exactly one trajectory."""
    found = joined(wire)
    assert found.certain.all()
    pairs = set(zip(found.of_packet.tolist(), wire.truth, strict=True))
    assert len(pairs) == len({t for t, _ in pairs}) == len({truth for _, truth in pairs})


def assert_never_wrong_when_certain(wire: Wire) -> None:
    found, truth = joined(wire), wire.truth
    for number in range(len(found)):
        if found.certain[number]:
            assert len({truth[row] for row in found.packets(number).tolist()}) == 1


def test_at_l4_each_packet_is_one_trajectory_through_four_vantage_points() -> None:
    wire = l4_wire(3)
    assert_as_it_was(wire)
    table = Study(wire.recording()).trajectories_table()
    assert len(table) == 30
    assert set(table["path"]) == {FOUR, FOUR[::-1], ("bob", *FOUR[1:3], "api2"), ("api2", "lb:back", "lb:front", "bob")}
    first = table.iloc[0]
    assert (first["packets"], first["path"], first["certain"]) == ((1, 2, 3, 4), FOUR, True)
    assert first["seconds"] == (HOP / 1e9,) * 3
    assert set(table["connection"]) == {1, 2, 3}


def test_at_l7_no_packet_goes_further_than_its_link() -> None:
    wire = l7_wire(2)
    assert_as_it_was(wire)
    assert {frozenset(path) for path in paths(wire)} == {
        frozenset(("alice", "lb:front")), frozenset(("bob", "lb:front")),
        frozenset(("lb:back", "api1")), frozenset(("lb:back", "api2")),
    }  # fmt: skip


def test_full_nat_changes_both_addresses_and_the_packet_stays_the_same() -> None:
    wire = Wire()
    Talk(wire, Nat(full=True, dport=80, backend_port=8080)).open().ask(get()).close()
    assert_as_it_was(wire)
    assert set(paths(wire)) == {FOUR, FOUR[::-1]}


def test_a_retransmission_is_a_trajectory_of_its_own() -> None:
    wire = Wire()
    talk = Talk(wire, Nat()).open()
    talk.send(0, "PA", get())
    talk.send(0, "PA", get(), back=len(get()))
    assert_as_it_was(wire)


@pytest.mark.parametrize("number", [0, 7])
def test_identical_retransmissions_are_told_apart_by_order(number: int) -> None:
    """As raw sockets send them: nothing distinguishes the copies, not even the IP ID."""
    wire = Wire()
    talk = Talk(wire, Nat()).open()
    talk.send(0, "PA", get(), ip_id=number)
    for _ in range(3):
        talk.send(0, "PA", get(), back=len(get()), ip_id=number)
    assert_as_it_was(wire)


def test_identical_packets_under_way_at_once_are_in_doubt_and_still_one_connection() -> None:
    wire = Wire()
    hops = Nat().out(TCP(flags="PA", seq=5, ack=9) / Raw(b"same"), 1)
    for vantage, frame in hops:
        for sent in (1, 2):
            wire.sent = sent
            wire.wait()
            wire.see(vantage, frame)
    found = Study(wire.recording())
    assert found.trajectories.certain.tolist() == [False, False]
    assert paths(wire) == [FOUR, FOUR]
    assert len(found.connections) == 1


def test_a_lost_packet_ends_its_trajectory_and_its_copy_goes_on() -> None:
    wire = Wire()
    hops = Nat().out(TCP(flags="PA", seq=5, ack=9) / Raw(b"same"), 1)
    wire.carry(hops[:2])
    wire.carry(hops)
    found = joined(wire)
    assert [len(found.packets(number)) for number in range(2)] == [4, 2]  # which of the two arrived cannot be known,
    assert found.certain.tolist() == [False, False]  # and it says so


def test_crafted_syns_differ_only_by_port() -> None:
    """scapy's defaults: sequence number 0, IP ID 1, from every port."""
    wire = Wire()
    for port in range(1000, 1020):
        nat = Nat(sport=port, backend=("api1", "api2")[port % 2])
        wire.carry(nat.out(TCP(flags="S", seq=0, ack=0), 1))
    assert_as_it_was(wire)
    assert len(Study(wire.recording()).connections) == 20


def test_udp_there_and_back_with_the_same_payload_and_no_id() -> None:
    wire = Wire()
    for port in (5000, 5001, 5002):
        nat = Nat(sport=port, dport=53, backend_port=53, backend=("api1", "api2")[port % 2])
        wire.carry(nat.out(udp(b"echo"), 0))
        wire.carry(nat.back(udp(b"echo"), 0))
    assert_as_it_was(wire)
    study = Study(wire.recording())
    assert len(study.connections) == 3
    assert study.connections_table()["state"].tolist() == ["replied"] * 3


def test_datagrams_that_overtake_each_other_are_told_apart_by_their_bytes() -> None:
    wire = Wire()
    nat = Nat(sport=5000, dport=53, backend_port=53)
    for hop, order in enumerate(((1, 2), (2, 1), (1, 2), (2, 1))):
        for sent in order:
            wire.sent = sent
            wire.wait()
            wire.see(*nat.out(udp(b"echo %d" % sent), 0)[hop])
    assert_as_it_was(wire)


def test_udp_from_two_clients_at_once_is_told_apart_by_its_endpoints() -> None:
    wire = Wire()
    ways = [
        Nat(client, backend, 5000, 53, 53).out(udp(b"echo"), 0)
        for client, backend in (("alice", "api1"), ("bob", "api2"))
    ]
    for hop in range(4):
        for sent, way in enumerate(ways, 1):
            wire.sent = sent
            wire.wait()
            wire.see(*way[hop])
    assert_as_it_was(wire)
    assert len(Study(wire.recording()).connections) == 2


def test_without_any_id_a_change_of_both_endpoints_is_in_doubt() -> None:
    wire = Wire()
    wire.carry(Nat(full=True, sport=5000, dport=53, backend_port=5353).out(udp(b"echo"), 0))
    study = Study(wire.recording())
    assert study.trajectories.certain.tolist() == [False]
    assert len(study.connections) == 2  # what is in doubt makes nothing one connection
    wire = Wire()
    wire.carry(Nat(full=True, sport=5000, dport=53, backend_port=5353).out(udp(b"echo"), 9))
    study = Study(wire.recording())
    assert study.trajectories.certain.tolist() == [True]
    assert len(study.connections) == 1


def test_what_a_ttl_shows_to_be_another_packet_is_not_joined() -> None:
    wire = Wire()
    for vantage, ttl in (("alice", 60), ("lb:front", 64)):
        wire.wait()
        wire.see(
            vantage,
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:03")
            / IP(src="1.1.1.1", dst="2.2.2.2", ttl=ttl)
            / UDP()
            / Raw(b"x"),
        )
    assert paths(wire) == [("alice",), ("lb:front",)]


def test_ipv6_has_no_id_and_is_joined_all_the_same() -> None:
    wire = Wire()
    generator = random.Random(2)
    for flags in ("S", "A", "PA"):
        seq, sent = generator.getrandbits(32), b"x" if flags == "PA" else b""
        before = frame6(
            "fd00:10:0:1::11", "fd00:10:0:1::10", TCP(sport=4000, dport=80, flags=flags, seq=seq) / Raw(sent)
        )
        after = frame6(
            "fd00:10:0:1::11",
            "fd00:10:0:2::11",
            TCP(sport=4000, dport=80, flags=flags, seq=seq) / Raw(sent),
            hop_limit=63,
        )
        wire.carry(zip(FOUR, (before, before, after, after), strict=True))
    assert_as_it_was(wire)
    rewritten = Study(wire.recording()).trajectories_table()["rewritten"][0]
    assert rewritten[1]["ip6.dst"] == ("fd00:10:0:1::10", "fd00:10:0:2::11")
    assert set(rewritten[1]) == {"ip6.dst", "ip6.hlim", "tcp.checksum"}


def test_times_that_are_equal_do_not_turn_a_path_around() -> None:
    wire = Wire()
    hops = Nat().out(TCP(flags="S", seq=5), 1)
    for vantage, frame in (*hops[2:], *hops[:2]):  # as a capture in microseconds may have sorted them
        wire.see(vantage, frame)
    assert {frozenset(path[:2]) for path in paths(wire)} == {frozenset(("alice", "lb:front"))}


def test_what_is_not_ip_is_on_no_trajectory() -> None:
    wire = Wire()
    wire.see("alice", Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP())
    found = joined(wire)
    assert (len(found), found.of_packet.tolist()) == (0, [-1])


def test_a_flood_of_identical_packets_ends() -> None:
    """More of them in flight than are followed: none is lost, none is at a vantage point twice."""
    wire = Wire()
    hops = Nat().out(udp(b"flood"), 0)
    for vantage, frame in hops:
        for _ in range(150):
            wire.wait(1)
            wire.see(vantage, frame)
    found = joined(wire)
    vantage = [wire.recording().packets["vantage"][row] for row in range(600)]
    for number in range(len(found)):
        places = [vantage[row] for row in found.packets(number).tolist()]
        assert len(places) == len(set(places))
    assert sum(len(found.packets(number)) for number in range(len(found))) == 600


@pytest.mark.parametrize("seed", range(6))
def test_any_interleaving_of_conversations_is_joined_right(seed: int) -> None:
    """Many conversations with the same payloads, delays of their own at every hop, retransmissions, loss."""
    generator = random.Random(seed)
    wire = Wire()
    for turn in range(25):
        client, backend = generator.choice(("alice", "bob")), generator.choice(("api1", "api2"))
        through = Nat(client, backend, 30000 + turn, full=generator.random() < 0.3)
        way = generator.choice((through, Link(client, "lb:front", 31000 + turn)))
        talk = Talk(wire, way, seed=seed * 100 + turn).open()
        talk.ask(get())
        if generator.random() < 0.5:
            talk.send(0, "PA", b"again", back=0)
            talk.send(0, "PA", b"again", back=5)
        talk.close(generator.randrange(2))
    shift = {turn: generator.randrange(50) * HOP for turn in range(1 + max(one[4] for one in wire.seen))}
    wire.seen = [
        (time_ns + shift[sent], vantage, raw, length, sent)
        for time_ns, vantage, raw, length, sent in wire.seen
        if generator.random() > 0.02
    ]
    generator.shuffle(wire.seen)
    assert_never_wrong_when_certain(wire)
    found = joined(wire)
    assert found.certain.all()
    alike = Counter(zip(found.of_packet.tolist(), wire.truth, strict=True))
    assert len(alike) == len({truth for _, truth in alike})  # nothing that belongs together is left apart


@pytest.mark.parametrize("seed", range(6))
def test_identical_datagrams_in_any_order_are_never_certain_and_wrong(seed: int) -> None:
    generator = random.Random(seed)
    wire = Wire()
    for _ in range(40):
        nat = Nat(
            generator.choice(("alice", "bob")),
            generator.choice(("api1", "api2")),
            generator.choice((5000, 5001)),
            53,
            53,
        )
        wire.sent += 1
        at = wire.wait(generator.randrange(1, 4) * HOP)
        way = (nat.out, nat.back)[generator.randrange(2)](udp(b"echo"), 0)
        for vantage, frame in way:
            at += generator.randrange(1, 3 * HOP)
            wire.see(vantage, frame, at=at)
    found, truth = joined(wire), wire.truth
    for number in range(len(found)):
        rows = found.packets(number).tolist()
        if found.certain[number]:
            assert len({truth[row] for row in rows}) == 1


@pytest.mark.parametrize(
    ("labels", "certain"), [((0x12345, 0x12345), True), ((0x12345, 0x54321), False), ((0, 0), False)]
)
def test_a_flow_label_that_stayed_shows_that_it_is_the_same_packet(labels: tuple[int, int], certain: bool) -> None:
    """IPv6 has no ID; full NAT changes both ends, and leaves the label (RFC 6437 §3)."""
    wire = Wire()
    ways = (("lb:front", "fd00:1::11", "fd00:1::10", 64), ("lb:back", "fd00:2::10", "fd00:2::11", 63))
    frames = [
        (
            vantage,
            Ether() / IPv6(src=source, dst=target, hlim=limit, fl=label) / UDP(sport=5000, dport=7) / Raw(b"echo"),
        )
        for (vantage, source, target, limit), label in zip(ways, labels, strict=True)
    ]
    wire.carry(frames)
    study = Study(wire.recording())
    assert study.trajectories.certain.tolist() == [certain]
    assert len(study.connections) == (1 if certain else 2)
