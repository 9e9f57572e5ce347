"""Files from elsewhere, damaged files, and what is no capture at all."""

import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from labkit.errors import CaptureError, NotACapture
from labkit.recording import Loss, Recording, pcapng_blocks, read_pcapng, write_pcapng
from labkit.recording import pcapng_reader as reader
from tests.recording import foreign
from tests.recording.recordings import make

FRAMES = [bytes([number]) * size for number, size in enumerate((60, 61, 1514, 0, 3))]


def read(folder: Path, content: bytes) -> Recording:
    path = folder / "foreign.pcapng"
    path.write_bytes(content)
    return read_pcapng(path)


def assert_sound(recording: Recording) -> None:
    """Whatever was in the file: every packet that is claimed is there."""
    assert len(recording.packets) == 0 or recording.packets["vantage"].max() < len(recording.vantages)
    assert len({vantage.name for vantage in recording.vantages}) == len(recording.vantages)
    times = recording.packets["time_ns"].tolist()
    assert times == sorted(times)
    assert not times or times[0] >= 0
    for number, row in enumerate(recording.packets, start=1):
        assert len(recording.frame(number)) == row["captured"]


@pytest.mark.parametrize("order", "<>")
def test_foreign_pcapng(tmp_path: Path, order: str) -> None:
    named = foreign.option(order, 2, b"eth0") + foreign.option(order, 9, b"\x09") + foreign.option(order, 0, b"")
    offset = foreign.option(order, 14, struct.pack(order + "q", -5))
    comment = foreign.option(order, 1, b"hello")
    outbound = comment + foreign.option(order, 2, struct.pack(order + "I", 2))
    drops = foreign.option(order, 4, struct.pack(order + "Q", 10)) + foreign.option(
        order, 7, struct.pack(order + "Q", 3)
    )
    content = [
        foreign.section(order),
        foreign.interface(order, named),
        foreign.packet(order, 10_000_000_001, FRAMES[0], options=outbound),
        foreign.block(order, 0x0000000A, b"TLSK\x04\0\0\0abcd"),
        foreign.interface(order, offset, link_type=113),
        foreign.packet(order, 16_000_000, FRAMES[1], index=1, options=comment),
        foreign.block(order, 5, struct.pack(order + "III", 0, 0, 0) + drops),
        foreign.section(order),
        foreign.interface(order, named),
        foreign.old_packet(order, 12_000_000_000, FRAMES[2]),
    ]
    recording = read(tmp_path, b"".join(content))
    assert [vantage.name for vantage in recording.vantages] == ["eth0", "interface 1", "eth0 (2)"]
    assert [vantage.link_type for vantage in recording.vantages] == [1, 113, 1]
    assert recording.packets["time_ns"].tolist() == [10_000_000_001, 11_000_000_000, 12_000_000_000]
    assert recording.packets["vantage"].tolist() == [0, 1, 2]
    assert recording.packets["direction"].tolist() == [2, 0, 0]
    assert [recording.frame(number) for number in (1, 2, 3)] == FRAMES[:3]
    assert recording.loss == {"eth0": Loss(7, 3), "interface 1": Loss(1, None), "eth0 (2)": Loss(1, None)}
    told = (reader.FOREIGN, reader.NO_NAMES, reader.NO_DIRECTIONS, reader.NO_DROPS, reader.COARSE)
    assert recording.lacks == told


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_pcap(tmp_path: Path, order: str, magic: int, unit: int) -> None:
    records = [(2**32 - 9 + number, number * 7, frame) for number, frame in enumerate(FRAMES)]
    recording = read(tmp_path, foreign.classic(order, records, magic, link_type=0xF0000001))
    expected = [seconds * 10**9 + fraction * unit for seconds, fraction, _ in records]
    assert recording.packets["time_ns"].tolist() == expected
    assert [recording.frame(number) for number in range(1, 6)] == FRAMES
    assert (recording.packets["original"] - recording.packets["captured"]).tolist() == [2] * 5
    assert recording.vantages[0].link_type == 1
    assert recording.loss == {"capture": Loss(5, None)}
    assert (reader.COARSE in recording.lacks) == (unit == 1000)
    assert {reader.FOREIGN, reader.NO_NAMES, reader.NO_DIRECTIONS, reader.NO_DROPS} <= set(recording.lacks)


def test_simple_packets_borrow_the_time_before_them(tmp_path: Path) -> None:
    content = [
        foreign.section("<"),
        foreign.simple_packet("<", 4, b"lost"),
        foreign.interface("<", snap=50),
        foreign.simple_packet("<", 60, b"a" * 50),
        foreign.packet("<", 7, b"b" * 8),
        foreign.simple_packet("<", 5, b"c" * 5),
    ]
    recording = read(tmp_path, b"".join(content))
    assert recording.packets["time_ns"].tolist() == [0, 7000, 7000]
    assert [recording.frame(number) for number in (1, 2, 3)] == [b"a" * 50, b"b" * 8, b"c" * 5]
    assert recording.packets["original"].tolist() == [60, 8, 5]
    assert any("2 packets: they were given the time" in lack for lack in recording.lacks)
    assert "1 packets whose blocks are damaged" in recording.lacks


def test_packets_are_sorted_by_time_and_the_difference_is_told(tmp_path: Path) -> None:
    packets = [foreign.packet("<", ticks, bytes([ticks])) for ticks in (5, 3, 4, 3)]
    recording = read(tmp_path, b"".join([foreign.section("<"), foreign.interface("<"), *packets]))
    assert [recording.frame(number)[0] for number in range(1, 5)] == [3, 3, 4, 5]
    assert reader.UNSORTED in recording.lacks


@pytest.mark.parametrize("claimed", [61, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_captured_length_beyond_its_block(tmp_path: Path, claimed: int) -> None:
    bad = foreign.packet("<", 2, b"y" * 60, claimed=claimed)
    good = foreign.packet("<", 3, b"z" * 60)
    recording = read(tmp_path, foreign.section("<") + foreign.interface("<") + bad + good)
    assert [recording.frame(1)] == [b"z" * 60]
    assert "1 packets whose blocks are damaged" in recording.lacks


@pytest.mark.parametrize(("length", "packets"), [(0, 1), (8, 1), (11, 1), (33, 1), (0xFFFFFFFC, 1), (0xFFFFFFFF, 1)])
def test_block_lengths_that_cannot_be(tmp_path: Path, length: int, packets: int) -> None:
    good = foreign.section("<") + foreign.interface("<") + foreign.packet("<", 1, b"x" * 60)
    recording = read(tmp_path, good + struct.pack("<II", 6, length) + b"\0" * 100)
    assert len(recording) == packets
    assert "the rest: the file is cut short at packet 2" in recording.lacks


def test_packets_before_their_interface_or_of_none(tmp_path: Path) -> None:
    content = [
        foreign.section(">"),
        foreign.packet(">", 1, b"too early"),
        foreign.interface(">"),
        foreign.packet(">", 2, b"good"),
        foreign.packet(">", 3, b"of none", index=7),
        foreign.packet(">", 3, b"of none", index=0xFFFFFFFF),
        foreign.block(">", 6, b"short"),
    ]
    recording = read(tmp_path, b"".join(content))
    assert [recording.frame(1)] == [b"good"]
    assert "4 packets whose blocks are damaged" in recording.lacks
    assert len(read(tmp_path, foreign.section("<") + foreign.packet("<", 1, b"x"))) == 0


def test_many_options_are_not_followed_for_ever(tmp_path: Path) -> None:
    options = foreign.option("<", 1, b"") * 5000 + foreign.option("<", 2, b"\2\0\0\0")
    recording = read(tmp_path, foreign.section("<") + foreign.interface("<") + foreign.packet("<", 1, b"x", 0, options))
    assert recording.packets["direction"].tolist() == [0]


@pytest.mark.parametrize("seed", [2, *(pytest.param(n, marks=pytest.mark.long) for n in (0, 1))])
def test_every_truncation_keeps_what_came_before(tmp_path: Path, seed: int) -> None:
    whole = make(seed, packets=6, vantages=2)
    content = write_pcapng(whole, tmp_path / "whole.pcapng").read_bytes()
    frames = [whole.frame(number) for number in range(1, 7)]
    blocks = foreign.block_kinds(content)
    first_block = min(end for end in blocks if end)
    for end in range(1, len(content)):
        if end < first_block:
            with pytest.raises(NotACapture):
                read(tmp_path, content[:end])
            continue
        recording = read(tmp_path, content[:end])
        whole_packets = sum(kind == 6 for at, kind in blocks.items() if at <= end)
        assert [recording.frame(number) for number in range(1, len(recording) + 1)] == frames[:whole_packets]
        told = f"the rest: the file is cut short at packet {whole_packets + 1}" in recording.lacks
        assert told == (end not in blocks)


def test_a_truncated_classic_file(tmp_path: Path) -> None:
    content = foreign.classic(">", [(1, 1, b"abc"), (2, 2, b"defg")])
    for end in range(24, len(content)):
        recording = read(tmp_path, content[:end])
        whole = (end >= 24 + 19) + 0
        assert len(recording) == whole
        at_a_border = end in (24, 24 + 19)
        assert (f"the rest: the file is cut short at packet {whole + 1}" in recording.lacks) != at_a_border


@pytest.mark.parametrize("seed", range(8))
def test_mutants_never_crash(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    ours = write_pcapng(make(seed, packets=6, vantages=2), tmp_path / "whole.pcapng").read_bytes()
    theirs = foreign.classic(dice.choice("<>"), [(1, 2, frame) for frame in FRAMES])
    for _ in range(250):
        content = bytearray(dice.choice([ours, theirs]))
        for _ in range(dice.choice([1, 1, 2, 8])):
            at = dice.randrange(len(content))
            match dice.randrange(3):
                case 0:
                    content[at] = dice.randrange(256)
                case 1:
                    at -= at % 4
                    content[at : at + 4] = dice.choice([b"\xff" * 4, b"\0" * 4, b"\0\0\0\x80", b"\x0c\0\0\0"])
                case _:
                    del content[at : at + dice.choice([1, 4, 40])]
        try:
            recording = read(tmp_path, bytes(content))
        except CaptureError:
            continue
        assert_sound(recording)


@pytest.mark.parametrize(
    ("body", "damaged"),
    [
        (b"not json", 0),
        (b"[" * 100_000, 0),
        (b"[1]", 0),
        (b'{"labkit":2,"event":{"kind":"x","time_ns":1}}', 0),
        (b'{"labkit":1,"event":{"kind":1,"time_ns":1}}', 1),
        (b'{"labkit":1,"event":{"kind":"x","time_ns":"late"}}', 1),
        (b'{"labkit":1,"event":{"kind":"x","time_ns":1e400}}', 1),
        (b'{"labkit":1,"event":[]}', 1),
        (b'{"labkit":1}', 1),
        (b'{"labkit":1,"vantages":7}', 1),
        (b'{"labkit":1,"event":{"kind":"x","ti', 1),
        (b"\xff\xfe", 0),
    ],
)
def test_evidence_that_is_none(tmp_path: Path, body: bytes, damaged: int) -> None:
    pen = struct.pack("<I", 32473)
    content = foreign.section("<") + foreign.block("<", 0x80007ED9, pen + body)
    content += foreign.block("<", 0x80007ED9, b"\1\0\0\0" + json.dumps({"labkit": 1, "vantages": {}}).encode())
    content += foreign.block("<", 0x80007ED9, b"")
    recording = read(tmp_path, content)
    assert recording.events == ()
    assert recording.lacks == (reader.FOREIGN, *["1 pieces of evidence that are damaged"] * damaged)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\0rest", "packed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfdrest", "packed with zstd"),
        (b"hello, world", "neither pcapng's nor pcap's magic number"),
        (b"\n", "neither"),
        (struct.pack("<I", 0x0A0D0D0A), "its first block is damaged or cut off"),
        (struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0xDEADBEEF, 1, 0, -1, 28), "its first block is damaged"),
        (struct.pack("<I", 0xA1B2C3D4) + b"\0" * 9, "within its header"),
    ],
)
def test_what_is_no_capture(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(NotACapture, match=words):
        read(tmp_path, content)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="There is no file"):
        read_pcapng(tmp_path / "missing.pcapng")
    with pytest.raises(CaptureError, match="it is a folder"):
        read_pcapng(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotACapture, match="a device or a pipe"):
        read_pcapng(tmp_path / "pipe")
    with pytest.raises(CaptureError, match="null"):
        read_pcapng("a\0b")
    with pytest.raises(CaptureError, match="cannot be read"):
        read_pcapng(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = write_pcapng(make(1), tmp_path / "a.pcapng")
    path.chmod(0)
    with pytest.raises(CaptureError, match="may not be read by you"):
        read_pcapng(path)


@pytest.mark.parametrize("part", ["interfaces", "sections"])
def test_more_than_can_be_numbered(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcapng_blocks, "MOST", 100)
    once = {"interfaces": foreign.interface("<"), "sections": foreign.section("<")}[part]
    assert len(read(tmp_path, foreign.section("<") + once * 99).vantages) == (99 if part == "interfaces" else 0)
    with pytest.raises(CaptureError, match=f"more than 100 {part}"):
        read(tmp_path, foreign.section("<") + once * 101)


@pytest.mark.skipif(not shutil.which("editcap"), reason="editcap is not installed; it is only a cross-check")
@pytest.mark.parametrize(("kind", "unit"), [("pcap", 1000), ("nsecpcap", 1), ("pcapng", 1)])
def test_what_wireshark_writes(tmp_path: Path, kind: str, unit: int) -> None:
    packets = [
        foreign.packet("<", 1_700_000_000_000_000_123 + 10**6 * index, frame) for index, frame in enumerate(FRAMES)
    ]
    nanoseconds = foreign.option("<", 9, b"\x09") + foreign.option("<", 0, b"")
    source = tmp_path / "source.pcapng"
    source.write_bytes(foreign.section("<") + foreign.interface("<", nanoseconds) + b"".join(packets))
    subprocess.run(["editcap", "-F", kind, str(source), str(tmp_path / "out")], check=True, capture_output=True)
    recording = read_pcapng(tmp_path / "out")
    assert [recording.frame(number) for number in range(1, 6)] == FRAMES
    expected = read_pcapng(source).packets["time_ns"] // unit * unit
    assert recording.packets["time_ns"].tolist() == expected.tolist()
