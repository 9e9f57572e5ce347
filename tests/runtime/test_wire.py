"""Frames survive any cutting up, and what is not plain data is refused before it travels."""

import random

import pytest

from labkit.runtime.wire import FRAME_LIMIT, HEADER, Decoder, Kind, NotOurs, frame, pack, unpack


def test_frames_come_out_whole_however_the_stream_is_cut():
    chance = random.Random(7)
    sent = [(n, Kind(chance.randint(1, 6)), chance.randbytes(chance.randint(0, 300))) for n in range(200)]
    stream = b"".join(frame(*one) for one in sent)
    decoder, got, at = Decoder(), [], 0
    while at < len(stream):
        step = chance.randint(1, 97)
        got += list(decoder.feed(stream[at : at + step]))
        at += step
    assert got == sent


def test_plain_data_comes_back_and_tuples_arrive_as_lists():
    value = {"a": [None, True, -1, 2**63, 1.5, "ü", b"\x00\xff"], 3: {"b": []}}
    assert unpack(pack(value)) == value
    assert unpack(pack((1, (2,)))) == [1, [2]]


def test_what_is_not_plain_data_is_named():
    with pytest.raises(TypeError, match="only plain data"):
        pack({"set": {1, 2}})


def test_a_body_over_the_limit_is_refused_on_both_sides():
    with pytest.raises(ValueError, match="send it in parts"):
        frame(1, Kind.DATA, bytes(FRAME_LIMIT + 1))
    with pytest.raises(NotOurs, match="announces"):
        list(Decoder().feed(HEADER.pack(FRAME_LIMIT + 1, 1, Kind.DATA)))


def test_what_is_not_of_the_protocol_says_why():
    with pytest.raises(NotOurs, match="of an unknown kind, 99"):
        list(Decoder().feed(HEADER.pack(0, 1, 99)))
    for body in (b"", b"\xc1", b"\x00\x00", b"\xa5abc", b"\xa1\xff"):  # none, reserved, two, cut short, no UTF-8
        with pytest.raises(NotOurs, match=r"a body is no message: ."):
            unpack(body)
