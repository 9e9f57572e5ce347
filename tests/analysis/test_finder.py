"""Connections looked up by what events call them."""

import random

from labkit.analysis.study import Study

from .wire import ALICE, API1, HOP, VIP, Nat, Talk, Wire, get, l4_wire


def test_many_at_once_are_as_one_by_one() -> None:
    dice = random.Random(6)
    wire = Wire()
    for seed in range(30):  # tuples that are used again and again
        nat = Nat(dice.choice(("alice", "bob")), dice.choice(("api1", "api2")), 40000 + dice.randrange(4))
        Talk(wire, nat, seed=seed).open().ask(get()).close()
    study = Study(wire.recording())
    first, last = int(study.index.time_ns[0]), int(study.index.time_ns[-1])
    asked = []
    for _ in range(500):
        client, server = study.finder.ends(dice.randrange(len(study.sightings)))
        if dice.random() < 0.1:
            client = dice.choice((("9.9.9.9", 1), (ALICE, 2), server))
        if dice.random() < 0.5:
            client, server = server, client
        when = dice.randrange(first - 10**7, last + 10**7)
        asked.append((dice.choice(("TCP", "TCP", "TCP", "UDP", "SCTP")), client, server, when))
    found = study.finder.opened_each(asked)
    assert found == [study.finder.opened(*one) for one in asked]
    assert len(set(found)) > 10
    assert study.finder.opened_each([]) == []


def test_of_a_tuple_used_again_the_one_that_was_open_then() -> None:
    wire = Wire()
    times = []
    for seed in (1, 2, 3):
        times.append(wire.now)
        Talk(wire, Nat(), seed=seed).open().ask(get()).close()
        wire.wait(10**9)
    finder = Study(wire.recording()).finder
    ends = ((ALICE, 40000), (VIP, 80))
    assert [finder.opened("TCP", *ends, by_ns=time + HOP) for time in times] == [1, 2, 3]
    assert finder.opened("TCP", *ends, by_ns=times[0] - 10**9) is None
    assert finder.opened("UDP", *ends, by_ns=times[0]) is None
    assert finder.opened("TCP", (ALICE, 40000), (API1, 80), times[2] + HOP * 9) == 3  # behind the balancer
    assert finder.alive(*ends, times[1], times[1] + 5 * HOP) == 2
    assert finder.alive(*ends, times[0] + 5 * 10**8, times[0] + 6 * 10**8) is None  # between two of them


def test_without_packets_nothing_is_found() -> None:
    empty = Study(Wire().recording()).finder
    assert empty.opened("TCP", (ALICE, 1), (VIP, 80), 10**18) is None
    assert empty.opened_each([("TCP", (ALICE, 1), (VIP, 80), 10**18)]) == [None]
    assert Study(l4_wire(1).recording()).finder.opened("TCP", ("nowhere", 1), (VIP, 80), 2**63 - 1) is None
