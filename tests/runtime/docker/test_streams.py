"""The engine's frames: standard output is the agent's, standard error is told, however they are cut."""

import struct

import pytest

from labkit.runtime.docker.streams import Demultiplexer


def framed(stream: int, body: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(body)) + body


STREAM = framed(1, b"abc") + framed(2, b"oops") + framed(1, b"") + framed(1, b"d" * 70_000) + framed(2, b"!")


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4096, len(STREAM)])
def test_whatever_the_pieces_the_streams_are_the_same(size):
    errors: list[bytes] = []
    take = Demultiplexer(errors.append)
    output = b"".join(take(STREAM[start : start + size]) for start in range(0, len(STREAM), size))
    assert output == b"abc" + b"d" * 70_000
    assert b"".join(errors) == b"oops!"


def test_half_a_frame_is_kept_until_the_rest_comes():
    take = Demultiplexer(lambda _: None)
    assert take(framed(1, b"abcdef")[:10]) == b""
    assert take(framed(1, b"abcdef")[10:]) == b"abcdef"
