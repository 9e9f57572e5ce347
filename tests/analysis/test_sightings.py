from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labkit.analysis.sightings import Sightings
from labkit.analysis.study import Study

from .wire import ALICE, VIP, Link, Talk, Wire, get, udp


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
