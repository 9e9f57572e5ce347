"""What Envoy writes: read in whole lines, the last ones kept, and found again by their serial numbers."""

import os
from pathlib import Path

from labkit.balancer.envoy import pipes


def test_the_oldest_lines_go_and_serial_numbers_stay() -> None:
    kept = pipes.Kept(3)
    kept.add(1, [b"0", b"1"])
    assert kept.since(0, 10) == (0, [(1, b"0"), (1, b"1")])
    kept.add(2, [b"2", b"3", b"4"])
    assert (kept.total, kept.since(0, 2)) == (5, (2, [(2, b"2"), (2, b"3")]))
    assert kept.since(4, 10) == (4, [(2, b"4")])
    kept.drop(4)
    assert kept.since(0, 10) == (4, [(2, b"4")])
    assert kept.since(5, 10) == (5, [])


def test_lines_come_whole_however_they_were_written_and_none_is_lost_at_the_end(tmp_path: Path) -> None:
    fd = pipes.make(str(tmp_path / "pipe"))
    other, end = os.pipe()
    found: list[bytes] = []
    complaints: list[bytes] = []
    reader = pipes.Reader({fd: found.extend, other: complaints.extend})
    with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
        for piece in (b"one\ntw", b"o\n", b"three\nfour\nfi"):
            pipe.write(piece)
        os.write(end, b"oh\n")
        os.close(end)
        pipe.write(b"ve\n")
    reader.finish()
    assert (found, complaints) == ([b"one", b"two", b"three", b"four", b"five"], [b"oh"])
    os.close(fd)
    os.close(other)


def test_waiting_ends_when_it_is_there_or_after_a_time() -> None:
    kept = pipes.Kept(3)
    assert not kept.wait(lambda: kept._total > 0, 0.01)
    kept.add(1, [b"x"])
    assert kept.wait(lambda: kept._total > 0, 0.01)
