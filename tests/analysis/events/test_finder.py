"""Tuples used again and again: which connection an event means, against the times that are known here."""

import random
from typing import Any

import pytest

from labkit.analysis.events.finder import connection_of, endpoint_of
from labkit.analysis.study import Study
from tests.analysis.ladders import six
from tests.analysis.wire import ALICE, API1, HOP, VIP, Link, Nat, Talk, Wire, get, l4_wire, udp

PAUSE = 50_000_000  # ns; much longer than what the stamps of events may be off
CLIENT, SERVER = (ALICE, 40000), (VIP, 80)


@pytest.mark.parametrize(
    ("pair", "endpoint"),
    [
        (["10.0.1.11", 80], ("10.0.1.11", 80)),
        (("10.0.1.11", "80"), ("10.0.1.11", 80)),
        (["FD00:0::1", 443], ("fd00::1", 443)),
        (["::ffff:10.0.1.11", 80], ("10.0.1.11", 80)),  # RFC 4291 §2.5.5.2
        (["fe80::1%eth0", 80], ("fe80::1", 80)),
        (["lb", 80], ("lb", 80)),
    ],
)
def test_an_endpoint_is_written_as_in_the_index(pair: Any, endpoint: tuple[str, int]) -> None:
    assert endpoint_of(pair) == endpoint


def used_again(count: int, dice: random.Random, *, still_open: bool) -> tuple[Study, list[tuple[int, int]]]:
    """Connections on one tuple, one after the other, and when each began and ended."""
    wire, times = Wire(("alice", "lb:front")), []
    for number in range(count):
        wire.wait(PAUSE * dice.randrange(1, 4))
        began = wire.now
        talk = Talk(wire, Link(), seed=number).open().ask(get())
        wire.wait(PAUSE * dice.randrange(3))
        if number < count - 1 or not still_open:
            talk.close(dice.randrange(2))
        times.append((began, wire.now))
    wire.wait(PAUSE)
    return Study(wire.recording()), times


@pytest.mark.parametrize("still_open", [False, True])
def test_time_decides_between_connections_on_one_tuple(still_open: bool) -> None:
    dice = random.Random(11)
    study, times = used_again(12, dice, still_open=still_open)
    finder = study.finder
    assert len(study.connections) == 12
    last = times[-1][1] + 3 * PAUSE
    for _ in range(400):
        at = dice.randrange(times[0][0] - 2 * PAUSE, last)
        if any(abs(at - moment) < PAUSE // 4 for one in times for moment in one):
            continue  # within what stamps may be off
        begun = [number for number, (began, _) in enumerate(times, 1) if began <= at]
        assert finder.opened("TCP", CLIENT, SERVER, at) == (begun[-1] if begun else None)
        until = at + dice.choice((0, PAUSE // 8, 9 * PAUSE))
        if any(abs(until - moment) < PAUSE // 4 for one in times for moment in one):
            continue
        alive = [
            number for number, (began, ended) in enumerate(times, 1)
            if began <= until and (ended >= at or (still_open and number == 12))
        ]  # fmt: skip
        wanted = alive[0] if len(alive) == 1 else None
        assert finder.alive(CLIENT, SERVER, at, until) == wanted
        side = {"client": list(CLIENT), "server": list(SERVER)}
        assert connection_of(finder, side, at, until) == wanted


def test_a_stamp_a_moment_early_or_late_is_still_its_connections() -> None:
    study, times = used_again(3, random.Random(4), still_open=False)
    for number, (began, ended) in enumerate(times, 1):
        assert study.finder.opened("TCP", CLIENT, SERVER, began - 1_000_000) == number
        assert study.finder.alive(CLIENT, SERVER, began - 1_000_000, began - 1_000_000) == number
        assert study.finder.alive(CLIENT, SERVER, ended + 1_000_000, ended + 1_000_000) == number


@pytest.mark.parametrize(
    ("side", "times", "found"),
    [
        ({"client": [ALICE, 40000], "server": [VIP, 80]}, (0, 1 << 62), 1),
        ({"client": ["::ffff:10.0.1.11", "40000"], "server": [VIP, 80], "id": "x"}, (0, 1 << 62), 1),
        ({"client": ["10.0.1.11", 40000], "server": ["10.0.2.11", 80]}, (0, 1 << 62), 1),  # as it is called behind
        ({"client": [ALICE, 40002], "server": [VIP, 80]}, (0, 1 << 62), None),
        ({"client": [ALICE, 40000], "server": [VIP, 81]}, (0, 1 << 62), None),
        ({"client": ["10.9.9.9", 40000], "server": [VIP, 80]}, (0, 1 << 62), None),
        ({"client": [ALICE, 40000], "server": [VIP, 80]}, (None, 1), None),
        ({"client": [ALICE, 40000], "server": [VIP, 80]}, (1, None), None),
        ({"client": [ALICE, 40000], "server": [VIP, 80]}, (1, 2), None),  # long before
        ({"client": [ALICE, 40000], "server": None}, (0, 1 << 62), None),
        ({"client": [], "server": [VIP, 80]}, (0, 1 << 62), None),
        ({}, (0, 1 << 62), None),
        (None, (0, 1 << 62), None),
    ],
)
def test_the_connection_of_one_side(side: Any, times: tuple[Any, Any], found: int | None) -> None:
    assert connection_of(Study(l4_wire(2).recording()).finder, side, *times) == found


def test_protocols_have_tuples_of_their_own_and_addresses_any_version() -> None:
    wire = l4_wire(1)
    wire.carry(Nat(sport=40000, dport=80).out(udp(b"?"), 1))
    finder = Study(wire.recording()).finder
    assert finder.opened("TCP", CLIENT, SERVER, wire.now) == 1
    assert finder.opened("UDP", CLIENT, SERVER, wire.now) == 2
    assert finder.opened("SCTP", CLIENT, SERVER, wire.now) is None
    assert finder.alive(CLIENT, SERVER, 0, wire.now) == 1  # of TCP alone
    wire = six()
    side = {"client": ["FD00:10:0:1::11", 40000], "server": ["fd00:10:0:1::10", 80]}
    assert connection_of(Study(wire.recording()).finder, side, wire.now, wire.now) == 1
    assert Study(wire.recording()).finder.ends(0) == (("fd00:10:0:1::11", 40000), ("fd00:10:0:1::10", 80))


def event_of(proto: str, client: tuple[str, int], server: tuple[str, int], when: int) -> dict[str, object]:
    ends = {"client": client[0], "client_port": client[1], "server": server[0], "server_port": server[1]}
    return {"kind": "decision", "time_ns": when, "proto": proto, **ends}


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
    found = study.finder.opened_each([event_of(*one) for one in asked])
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
    assert empty.opened_each([event_of("TCP", (ALICE, 1), (VIP, 80), 10**18)]) == [None]
    assert Study(l4_wire(1).recording()).finder.opened("TCP", ("nowhere", 1), (VIP, 80), 2**63 - 1) is None
