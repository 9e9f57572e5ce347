from collections.abc import Callable

import pytest

from labkit.analysis.connections.states import TRANSITIONS, WORDS
from labkit.analysis.connections.tcp import Story
from labkit.analysis.study import Study
from tests.analysis.wire import HOP, Link, Talk, Wire, get, udp


def story(play: Callable[[Talk], object], **more: object) -> Story:
    wire = Wire(("alice",))
    play(Talk(wire, Link(), **more))  # type: ignore[arg-type]
    return Study(wire.recording()).story


def _steps(*steps: tuple[int, str]) -> Callable[[Talk], None]:
    def play(talk: Talk) -> None:
        for by, flags in steps:
            talk.send(by, flags)

    return play


@pytest.mark.parametrize(
    ("play", "state", "closed_by"),
    [
        (_steps((0, "S")), "syn_sent", None),
        (_steps((0, "S"), (1, "RA")), "reset", "server"),
        (_steps((0, "S"), (1, "SA")), "syn_received", None),
        (_steps((0, "S"), (1, "SA"), (0, "R")), "reset", "client"),
        (lambda talk: talk.open(), "established", None),
        (lambda talk: talk.open().ask(get()), "established", None),
        (lambda talk: talk.open().send(0, "FA"), "half_closed", "client"),
        (lambda talk: talk.open().send(1, "FA"), "half_closed", "server"),
        (_steps((0, "S"), (1, "SA"), (0, "A"), (0, "FA"), (1, "A")), "half_closed", "client"),
        (_steps((0, "S"), (1, "SA"), (0, "A"), (0, "FA"), (1, "A"), (1, "FA")), "closing", "client"),
        (_steps((0, "S"), (1, "SA"), (0, "A"), (0, "FA"), (1, "A"), (1, "FA"), (0, "A")), "closed", "client"),
        (_steps((0, "S"), (1, "SA"), (0, "A"), (1, "FA"), (0, "A"), (0, "FA"), (1, "A")), "closed", "server"),
        (lambda talk: talk.open().close(0), "closed", "client"),
        (lambda talk: talk.open().close(1), "closed", "server"),
        (lambda talk: talk.open().send(1, "R"), "reset", "server"),
        (lambda talk: talk.open().close(0).send(0, "R"), "closed", "client"),
        (_steps((0, "PA"), (1, "A")), "established", None),
        (_steps((0, "FA"), (1, "FA"), (0, "A")), "closed", "client"),
        (_steps((1, "SA"), (0, "A")), "established", None),
        (_steps((0, "S"), (0, "A")), "established", None),  # answers go another way
        (_steps((1, "R")), "reset", "server"),
    ],
)
def test_the_state_is_where_the_packets_lead(play: Callable[[Talk], object], state: str, closed_by: str | None) -> None:
    told = story(play)
    assert (told.state, told.closed_by) == ([state], [closed_by])


def test_closing_at_the_same_time() -> None:
    """Both FINs pass each other: closed when both are acknowledged, in whichever order (RFC 9293 §3.6)."""

    def cross(talk: Talk, acks: tuple[int, ...]) -> None:
        talk.open()
        before = talk.seq[0]
        talk.send(0, "FA")
        after, talk.seq[0] = talk.seq[0], before
        talk.send(1, "FA")  # acknowledges nothing new
        talk.seq[0] = after
        for by in acks:
            talk.send(by, "A")

    states = [story(lambda talk, acks=acks: cross(talk, acks)).state[0] for acks in ((), (0,), (1,), (0, 1), (1, 0))]
    assert states == ["closing", "closing", "closing", "closed", "closed"]


def test_the_table_leads_nowhere_unknown_and_out_of_closed_and_reset_never() -> None:
    states = {state for state, _ in TRANSITIONS}
    ends = set(TRANSITIONS.values()) - states
    assert ends == {"closed", "reset"}
    assert set(WORDS) < states | ends
    assert {state for state in states if (state, "rst") not in TRANSITIONS} == set()


def test_the_handshake_takes_from_the_first_syn_to_the_clients_ack() -> None:
    assert story(lambda talk: talk.open()).handshake_ns.tolist() == [4 * HOP]

    def twice(talk: Talk) -> None:
        talk.send(0, "S")
        talk.send(0, "S", back=1)
        talk.send(1, "SA")
        talk.send(0, "A")

    assert story(twice).handshake_ns.tolist() == [6 * HOP]
    assert story(_steps((0, "S"), (1, "SA"))).handshake_ns.tolist() == [-1]
    assert story(_steps((1, "SA"), (0, "A"))).handshake_ns.tolist() == [-1]


@pytest.mark.parametrize("isn", [(1, 1), (2**32 - 3, 2**32 - 2), (2**31 - 2, 2**31)])
def test_retransmissions_are_bytes_seen_before(isn: tuple[int, int]) -> None:
    def play(talk: Talk) -> None:
        talk.send(0, "S")
        talk.send(0, "S", back=1)  # 1
        talk.send(1, "SA")
        talk.send(1, "SA", back=1)  # 2
        talk.send(0, "A")
        talk.send(0, "A")
        talk.send(0, "PA", b"abcdef")
        talk.send(0, "PA", b"def", back=3)  # 3
        talk.send(0, "PA", b"abcdefghi", back=6)  # 4: partly new
        talk.seq[0] = (talk.seq[0] + 3) % 2**32
        talk.send(1, "PA", b"x")
        talk.send(0, "FA")
        talk.send(0, "FA", back=1)  # 5

    assert story(play, isn=isn).retransmissions.tolist() == [5]


def test_what_fills_a_gap_is_no_retransmission_but_its_second_copy_is() -> None:
    def play(talk: Talk) -> None:
        talk.open()
        talk.send(0, "PA", b"one")
        talk.seq[0] += 3  # "two" was lost on its way here
        talk.send(0, "PA", b"three")
        talk.send(0, "PA", b"two", back=8)
        talk.send(0, "PA", b"two", back=8)

    assert story(play).retransmissions.tolist() == [1]


def test_long_transfers_wrap_around() -> None:
    def play(talk: Talk) -> None:
        talk.open()
        for _ in range(6):  # 6 GiB further
            talk.seq[0] = (talk.seq[0] + 2**30) % 2**32
            talk.send(0, "PA", b"x")

    assert story(play).retransmissions.tolist() == [0]


def test_udp_has_no_handshake_and_no_end() -> None:
    wire = Wire(("alice",))
    wire.carry(Link(sport=1).out(udp(b"a"), 1))
    wire.carry(Link(sport=2).out(udp(b"a"), 2))
    wire.carry(Link(sport=2).back(udp(b"a"), 3))
    told = Study(wire.recording()).story
    assert told.state == ["unreplied", "replied"]
    assert (told.handshake_ns.tolist(), told.closed_by, told.retransmissions.tolist()) == ([-1, -1], [None] * 2, [0, 0])


def test_a_header_cut_short_tells_no_state() -> None:
    wire = Wire(("alice",))
    Talk(wire, Link()).send(0, "S")
    wire.seen = [
        (time_ns, vantage, raw[: 14 + 20 + 8], length, sent) for time_ns, vantage, raw, length, sent in wire.seen
    ]
    assert Study(wire.recording()).story.state == [None]
