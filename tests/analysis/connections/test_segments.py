"""What came again, late or not at all; TCP that goes wrong in every way."""

import random
from collections.abc import Callable

import pytest

from labkit.analysis.connections.segments import Troubles, overlaps
from labkit.analysis.study import Study
from tests.analysis.wire import Link, Talk, Wire


def troubles(play: Callable[[Talk], object]) -> dict[str, int]:
    wire = Wire(("alice",))
    play(Talk(wire, Link(), isn=(2**32 - 6, 2**32 - 9)))
    told: Troubles = Study(wire.recording()).story.troubles
    return {name: values.tolist()[0] for name, values in vars(told).items()}


def all_well(talk: Talk) -> None:
    talk.open().ask(b"question").close()


def overtaken(talk: Talk) -> None:
    talk.open()
    talk.seq[0] += 3  # "one" comes late
    talk.send(0, "PA", b"two")
    talk.send(0, "PA", b"one", back=6)


def lost_and_asked_for(talk: Talk) -> None:
    """Fast retransmit: three duplicate acknowledgements, then the missing segment (RFC 5681 §3.2)."""
    talk.open()
    talk.send(0, "PA", b"first")
    talk.send(1, "A")
    expected = talk.seq[0]
    talk.seq[0] = (expected + 5) % 2**32  # five bytes are lost
    for number in range(3):
        talk.send(0, "PA", b"more%d" % number)
        ahead, talk.seq[0] = talk.seq[0], expected
        talk.send(1, "A")
        talk.seq[0] = ahead
    talk.send(0, "PA", b"five!", back=(talk.seq[0] - expected) % 2**32)


def sent_again(talk: Talk) -> None:
    talk.open()
    talk.send(0, "PA", b"hello")
    talk.send(0, "PA", b"hello", back=5)


def acknowledged_twice_with_nothing_out(talk: Talk) -> None:
    talk.open()
    talk.send(0, "PA", b"hello")
    talk.send(1, "A")
    talk.send(1, "A")


@pytest.mark.parametrize(
    ("play", "retransmissions", "out_of_order", "duplicate_acks"),
    [
        (all_well, 0, 0, 0),
        (overtaken, 0, 1, 0),
        (lost_and_asked_for, 0, 1, 3),
        (sent_again, 1, 0, 0),
        (acknowledged_twice_with_nothing_out, 0, 0, 0),
    ],
)
def test_troubles(play: Callable[[Talk], None], retransmissions: int, out_of_order: int, duplicate_acks: int) -> None:
    assert troubles(play) == {
        "retransmissions": retransmissions, "out_of_order": out_of_order, "duplicate_acks": duplicate_acks,
        "zero_windows": 0,
    }  # fmt: skip


def test_a_full_receiver_says_so() -> None:
    wire = Wire(("alice",))
    talk = Talk(wire, Link()).open()
    talk.send(0, "PA", b"hello")
    talk.send(1, "A")
    talk.send(1, "R")  # a reset's window means nothing
    at = 14 + 20 + 14
    closed = [
        (time_ns, vantage, raw[:at] + b"\0\0" + raw[at + 2 :] if number >= 4 else raw, length, sent)
        for number, (time_ns, vantage, raw, length, sent) in enumerate(wire.seen)
    ]
    wire.seen = closed
    assert Study(wire.recording()).story.troubles.zero_windows.tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_those_of_sets_of_numbers(seed: int) -> None:
    dice = random.Random(seed)
    begins = [dice.randrange(60) for _ in range(80)]
    ends = [begin + dice.randrange(1, 9) for begin in begins]
    seen: set[int] = set()
    wanted = []
    for begin, end in zip(begins, ends, strict=True):
        wanted.append(bool(seen & set(range(begin, end))))
        seen |= set(range(begin, end))
    assert overlaps(begins, ends) == wanted


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_segments_is_counted_as_byte_by_byte(seed: int) -> None:
    """Segments of one stream in any order, some twice: against a set of the bytes seen."""
    dice = random.Random(seed)
    pieces = [(at, dice.randrange(1, 30)) for at in range(0, 600, 30)]
    order = sorted(pieces, key=lambda piece: piece[0] + dice.randrange(90)) + dice.sample(pieces, 3)
    wire = Wire(("alice",))
    talk = Talk(wire, Link(), isn=(2**32 - 100, 5)).open()
    base, seen, highest = talk.seq[0], set[int](), 0
    again = late = 0
    for at, size in order:
        talk.seq[0] = (base + at) % 2**32
        talk.send(0, "PA", b"x" * size)
        bytes_ = set(range(at, at + size))
        repeated = bool(bytes_ & seen)
        again += repeated
        late += at < highest and not repeated
        seen |= bytes_
        highest = max(highest, at + size)
    told = Study(wire.recording()).story.troubles
    assert (told.retransmissions.tolist(), told.out_of_order.tolist()) == ([again], [late])
