from collections.abc import Callable

import pytest

from labkit.analysis.messages.streams import Stream, sent
from labkit.analysis.study import Study
from tests.analysis.wire import Link, Talk, Wire, udp


def stream(play: Callable[[Talk], object], *, by_client: bool = True, cut: int | None = None) -> Stream:
    wire = Wire(("alice",))
    play(Talk(wire, Link(), isn=(2**32 - 4, 77)))
    if cut:
        wire.seen = [
            (time_ns, vantage, raw[:cut], length, number) for time_ns, vantage, raw, length, number in wire.seen
        ]
    study = Study(wire.recording())
    return sent(study.index, study.sightings, 0, by_client=by_client)


def test_segments_in_any_order_repeated_and_wrapping_are_one_stream() -> None:
    def play(talk: Talk) -> None:
        talk.open()
        talk.send(0, "PA", b"abc")
        talk.seq[0] = (talk.seq[0] + 3) % 2**32
        talk.send(0, "PA", b"ghi")
        talk.send(0, "PA", b"cdef", back=7)  # fills the gap, and repeats a byte before it
        talk.send(0, "PA", b"abc", back=9)
        talk.send(1, "PA", b"answer")

    assert stream(play) == Stream(b"abcdefghi", True)
    assert (stream(play).number, stream(play, by_client=False).number) == (2**32 - 3, 78)
    assert stream(play, by_client=False) == Stream(b"answer", True)


def test_a_gap_ends_the_stream() -> None:
    def play(talk: Talk) -> None:
        talk.open().send(0, "PA", b"abc")
        talk.seq[0] += 5
        talk.send(0, "PA", b"xyz")

    assert stream(play) == Stream(b"abc", True)


def test_and_so_does_a_packet_that_was_cut_short() -> None:
    def play(talk: Talk) -> None:
        talk.open()
        talk.send(0, "PA", b"abcdef")
        talk.send(0, "PA", b"ghi")

    assert stream(play, cut=14 + 20 + 20 + 4) == Stream(b"abcd", True)


def test_from_the_middle_it_says_so() -> None:
    assert stream(lambda talk: talk.send(0, "PA", b"rest")) == Stream(b"rest", False)
    assert stream(lambda talk: talk.send(0, "PA", b"rest")).number == 2**32 - 4
    assert stream(lambda talk: talk.send(0, "A")) == Stream(b"", False)
    assert stream(lambda talk: talk.send(0, "A")).number == -1
    assert stream(lambda talk: talk.send(0, "S")) == Stream(b"", True)


def test_data_on_the_syn_comes_first() -> None:
    def play(talk: Talk) -> None:
        talk.send(0, "S", b"early")
        talk.send(0, "PA", b"late")

    assert stream(play).data == b"earlylate"


@pytest.mark.parametrize("payloads", [(b"one", b"two"), (b"",)])
def test_of_datagrams_the_first_stands_for_all(payloads: tuple[bytes, ...]) -> None:
    wire = Wire(("alice",))
    for turn, payload in enumerate(payloads):
        wire.carry(Link().out(udp(payload), turn))
    study = Study(wire.recording())
    assert sent(study.index, study.sightings, 0).data == payloads[0]
