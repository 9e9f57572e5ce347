import random
from collections.abc import Iterator

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from labkit.analysis.connections.sightings import Sightings, sight, sightings_about
from labkit.analysis.packets import icmp
from labkit.analysis.packets.index import build
from labkit.analysis.study import Study
from tests.analysis.wire import ALICE, MACS, VIP, Link, Talk, Wire, get, udp


def seen(wire: Wire) -> Sightings:
    return Study(wire.recording()).sightings


def only_alice() -> Wire:
    return Wire(("alice",))


def test_a_new_syn_on_a_closed_tuple_is_another_connection() -> None:
    wire = only_alice()
    for seed in (1, 2, 3):
        Talk(wire, Link(), seed=seed).open().ask(get()).close(by=seed % 2)
    found = seen(wire)
    assert len(found) == 3
    assert [len(found.packets(n)) for n in range(3)] == [10, 10, 10]


def test_after_a_reset_too() -> None:
    wire = only_alice()
    Talk(wire, Link(), seed=1).open().send(1, "R")
    Talk(wire, Link(), seed=2).open()
    assert len(seen(wire)) == 2


def test_and_when_the_first_was_never_answered() -> None:
    wire = only_alice()
    Talk(wire, Link(), seed=1).send(0, "S")
    Talk(wire, Link(), seed=2).open()
    assert len(seen(wire)) == 2


def test_and_when_the_new_one_was_accepted() -> None:
    """The end of the first was not captured; the answer to the second says that there is a second."""
    wire = only_alice()
    Talk(wire, Link(), seed=1).open().ask(get())
    Talk(wire, Link(), seed=2).open().ask(get()).close()
    assert len(seen(wire)) == 2


def test_an_accepted_number_may_be_the_last_before_zero() -> None:
    wire = only_alice()
    Talk(wire, Link(), seed=1).open().ask(get())
    Talk(wire, Link(), isn=(2**32 - 1, 5)).open()
    assert len(seen(wire)) == 2


def test_a_retransmitted_syn_is_the_same_attempt() -> None:
    wire = only_alice()
    talk = Talk(wire, Link())
    talk.send(0, "S")
    talk.send(0, "S", back=1)
    assert len(seen(wire)) == 1


def test_a_stray_syn_on_a_live_connection_changes_nothing() -> None:
    wire = only_alice()
    talk = Talk(wire, Link(), seed=1).open()
    Talk(wire, Link(), seed=9).send(0, "S")
    talk.ask(get()).close()
    found = seen(wire)
    assert (len(found), len(found.packets(0))) == (1, 11)


def test_simultaneous_open_is_one_connection() -> None:
    wire = only_alice()
    talk = Talk(wire, Link())
    talk.send(0, "S")
    talk.send(1, "S")
    talk.send(0, "SA", back=1)
    talk.send(1, "SA", back=1)
    assert len(seen(wire)) == 1


def test_what_began_before_the_capture_ends_at_the_new_syn() -> None:
    wire = only_alice()
    Talk(wire, Link(), seed=1).close()
    Talk(wire, Link(), seed=2).open()
    assert len(seen(wire)) == 2


def test_the_client_is_who_sent_the_syn() -> None:
    wire = only_alice()
    Talk(wire, Link(sport=80, dport=40000)).open()
    found = seen(wire)
    assert (found.client_port[0], found.server_port[0]) == (80, 40000)
    assert found.from_client.tolist() == [True, False, True]


def test_or_who_got_the_answer_to_one() -> None:
    wire = only_alice()
    talk = Talk(wire, Link(sport=80, dport=40000))
    talk.send(1, "SA")
    talk.send(0, "A")
    assert seen(wire).client_port.tolist() == [80]


def test_or_whose_port_is_a_clients() -> None:
    wire = only_alice()
    Talk(wire, Link()).send(1, "PA", b"from the middle")
    study = Study(wire.recording())
    assert (study.index.addresses[study.sightings.client[0]], study.sightings.client_port[0]) == (ALICE, 40000)


def test_or_who_spoke_first() -> None:
    wire = only_alice()
    wire.carry(Link(sport=5353, dport=40053).back(udp(b"?"), 1))
    study = Study(wire.recording())
    assert study.index.addresses[study.sightings.client[0]] == VIP


def test_packets_without_ports_belong_to_none() -> None:
    wire = only_alice()
    wire.see(
        "alice", Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=ALICE, dst=VIP, proto=200) / Raw(b"x")
    )
    wire.see("alice", Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=ALICE, dst=VIP) / UDP(), cut=36)
    found = seen(wire)
    assert (len(found), found.of_packet.tolist()) == (0, [-1, -1])


def test_a_conversation_with_oneself_is_one() -> None:
    wire = only_alice()
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=ALICE, dst=ALICE) / UDP(sport=9, dport=9)
    wire.see("alice", frame)
    assert len(seen(wire)) == 1


def talking(wire: Wire, dice: random.Random, link: Link, seed: int) -> Iterator[None]:
    """A TCP conversation, a segment at a time; by whom it is closed, and how, is chance."""
    talk = Talk(wire, link, seed=seed)
    steps = [(0, "S", b""), (1, "SA", b""), (0, "A", b"")]
    steps += [(dice.randrange(2), "PA", b"x" * dice.randrange(1, 90)) for _ in range(dice.randrange(6))]
    closer = dice.randrange(2)
    ways = [[(closer, "FA", b""), (1 - closer, "FA", b""), (closer, "A", b"")], [(closer, "RA", b"")]]
    for by, flags, payload in [*steps, *dice.choice(ways)]:
        talk.send(by, flags, payload)
        yield


def test_conversations_mixed_at_random_are_told_apart_at_every_vantage_point() -> None:
    """Ports used again and again, clients and servers of both names, several at once."""
    dice = random.Random(53)
    for _ in range(8):
        wire, begun, running = Wire(("alice", "lb:front")), 0, {}
        packets: list[tuple[int, bool]] = []  # of each packet sent: its conversation, and whether the client sent it
        while begun < 25 or running:
            port = dice.choice((80, 9000, 40000, 40001))
            if port not in running and begun < 25:
                names = dice.choice((("alice", "lb:front"), ("lb:front", "alice")))
                link = Link(*names, sport=port, dport=8080)
                running[port] = begun, talking(wire, dice, link, seed=dice.getrandbits(30)), link
                begun += 1
            elif port in running:
                number, steps, link = running[port]
                if next(steps, "over") == "over":
                    del running[port]
                else:
                    packets.append((number, wire.seen[-1][2][34:36] == link.sport.to_bytes(2)))
        index = build(wire.recording())
        found = sight(index)
        truth = [packets[number - 1] for number in wire.truth]
        pairs = {(int(found.of_packet[row]), number, int(index.vantage[row])) for row, (number, _) in enumerate(truth)}
        assert len(pairs) == len(found) == 2 * begun
        assert len({sighting for sighting, *_ in pairs}) == len({one[1:] for one in pairs}) == 2 * begun
        assert found.from_client.tolist() == [by_client for _, by_client in truth]
        for number in range(len(found)):
            rows = found.packets(number)
            assert (found.first[number], found.last[number]) == (rows[0], rows[-1])
            assert (found.of_packet[rows] == number).all()
            assert (found.vantage[number], found.proto[number]) == (index.vantage[rows[0]], 6)
        assert found.first.tolist() == sorted(found.first.tolist())


def about(sport: int, dport: int = 53, proto: int = 17, *, back: bool = False) -> Packet:
    """An ICMP error about a packet from alice to the VIP, or (back) about one from the VIP to her."""
    ends = (VIP, ALICE) if back else (ALICE, VIP)
    quoted = bytearray(bytes(IP(src=ends[0], dst=ends[1]) / UDP(sport=sport, dport=dport)))
    quoted[9] = proto
    head = Ether(src=MACS["lb:front"], dst=MACS["alice"]) / IP(src=VIP, dst=ALICE)
    return head / ICMP(type=3, code=3) / Raw(bytes(quoted))


def test_an_error_is_about_the_conversation_it_quotes_at_its_own_vantage_point() -> None:
    wire = Wire(("alice", "lb:front"))
    wire.carry([("alice", about(5000))])  # nothing was said yet
    for port in (5000, 5001):
        wire.carry(Link(sport=port, dport=53).out(udp(b"question"), 1))
    errors = [
        ("lb:front", about(5001)), ("alice", about(5001)), ("alice", about(5000)),
        ("alice", about(53, 5000, back=True)),  # about an answer: the other way, the same conversation
        ("alice", about(53, 5000)), ("alice", about(5000, 54)), ("alice", about(5000, proto=6)),
        ("alice", about(5000, proto=132)),
    ]  # fmt: skip
    wire.carry(errors)
    index = build(wire.recording())
    found = sight(index)
    known = {(wire.vantages[found.vantage[n]], int(found.client_port[n])): n for n in range(len(found))}
    assert len(known) == 4
    first = [known["lb:front", 5001], known["alice", 5001], known["alice", 5000], known["alice", 5000]]
    assert sightings_about(index, found, icmp.embedded(index)).tolist() == [-1, *first, -1, -1, -1, -1]


def test_of_a_tuple_used_again_it_is_the_last_that_had_begun() -> None:
    wire = only_alice()
    for seed in (1, 2, 3):
        Talk(wire, Link(sport=40000, dport=80), seed=seed).open().close()
        wire.carry([("alice", about(40000, 80, proto=6))])
    index = build(wire.recording())
    assert sightings_about(index, sight(index), icmp.embedded(index)).tolist() == [0, 1, 2]


def test_answers_that_go_another_way_are_answers_there_too() -> None:
    """Direct server return: the router sees one direction alone, and what it saw first was not the question."""
    wire = Wire(("alice", "lb:front", "gw:back", "api1"))
    for seen_at, source, target, ports in (
        ("alice", ALICE, VIP, (40000, 7)),
        ("lb:front", ALICE, VIP, (40000, 7)),
        ("api1", ALICE, VIP, (40000, 7)),
        ("api1", VIP, ALICE, (7, 40000)),
        ("gw:back", VIP, ALICE, (7, 40000)),
        ("alice", VIP, ALICE, (7, 40000)),
    ):
        wire.see(seen_at, Ether() / IP(src=source, dst=target) / UDP(sport=ports[0], dport=ports[1]) / Raw(b"x"))
    found = seen(wire)
    assert len(found) == 4
    assert set(found.client_port.tolist()) == {40000}
    assert set(found.server_port.tolist()) == {7}
