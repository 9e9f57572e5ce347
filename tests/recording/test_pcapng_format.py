"""Times of every resolution, and options that do not fit."""

from fractions import Fraction

import numpy as np
import pytest

from labkit.recording import pcapng_format as pcapng

SAMPLES = [0, 1, 999_999_999, 1_700_000_000_123_456_789, 2**32, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("resolution", [*range(25), 29, 127, 0x80, 0x81, 0x80 + 30, 0x80 + 63, 0x80 + 64, 0xFF])
def test_ticks_of_any_resolution_become_nanoseconds(resolution: int) -> None:
    per_second = Fraction(2 if resolution & 0x80 else 10) ** (resolution & 0x7F)
    times = pcapng.nanoseconds(np.array(SAMPLES, np.uint64), resolution)
    for ticks, time_ns in zip(SAMPLES, times.tolist(), strict=True):
        exact = min(ticks * 10**9 / per_second, 2**63 - 1)
        assert abs(time_ns - exact) <= 1, (ticks, time_ns)


def test_decimal_resolutions_up_to_nanoseconds_are_exact() -> None:
    ticks = np.array([1_700_000_000_123_456], np.uint64)
    assert pcapng.nanoseconds(ticks, 6).tolist() == [1_700_000_000_123_456_000]
    assert pcapng.nanoseconds(ticks * np.uint64(1000), 9).tolist() == [1_700_000_000_123_456_000]


def test_options_end_where_they_stop_making_sense() -> None:
    body = pcapng.options((2, b"abc"), (9, b"\x09"))
    assert list(pcapng.read_options(body, "<")) == [(2, b"abc"), (9, b"\x09")]
    assert list(pcapng.read_options(body[:10], "<")) == [(2, b"abc")]
    assert list(pcapng.read_options(b"\x02\x00\xff\xff" + b"x" * 20, "<")) == []
    assert list(pcapng.read_options(b"", "<")) == []


def test_numbers_and_text_of_options() -> None:
    assert pcapng.number(b"\xff\xfe", ">") == 0xFFFE
    assert pcapng.number(b"\xff\xff\xff\xff\xff\xff\xff\xfe", ">", signed=True) == -2
    assert pcapng.text(b"lb\xff\0\0") == "lb\ufffd"
