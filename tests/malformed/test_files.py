"""What is cut off, claims too much, or is no capture at all."""

import gzip
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.capture import Capture
from labkit.errors import CaptureError, NotACapture
from labkit.recording import read_pcapng
from tests.malformed.answers import ask
from tests.recording import foreign


def frames(path: Path) -> list[bytes]:
    recording = read_pcapng(path)
    return [recording.frame(number) for number in range(1, len(recording) + 1)]


EVERY, SOME = pytest.param(1, id="every byte", marks=pytest.mark.long), pytest.param(13, id="every 13th byte")


@pytest.mark.parametrize("step", [EVERY, SOME])
@pytest.mark.parametrize("name", ["l4-little.pcap", "l4.pcapng", "l7-big.pcapng", "l7-big.pcap"])
def test_what_came_before_the_cut_is_kept(tmp_path: Path, originals: list[Path], name: str, step: int) -> None:
    original = next(path for path in originals if path.name == name)
    whole, content = frames(original), original.read_bytes()
    path = tmp_path / name
    kept = -1
    for end in range(0, len(content), step):
        path.write_bytes(content[:end])
        try:
            recording = read_pcapng(path)
        except NotACapture:
            assert kept < 0, "once it is a capture it stays one"
            continue
        found = [recording.frame(number) for number in range(1, len(recording) + 1)]
        assert found == whole[: len(found)]
        assert len(found) >= kept
        grew, kept = len(found) > kept, len(found)
        told = f"the rest: the file is cut short at packet {kept + 1}" in recording.lacks
        assert told or grew or _is_whole(content, end), f"{end} bytes, and nothing is said"
    assert kept == len(whole) - (name != "l4.pcapng"), "only there something stands behind the last packet"


def _is_whole(content: bytes, end: int) -> bool:
    """Whether a file ends just there between two blocks, so that nothing can tell that more was to come."""
    if content[:4] != b"\x0a\x0d\x0d\x0a":
        return False
    order = "<" if content[8:12] == struct.pack("<I", 0x1A2B3C4D) else ">"
    at = 0
    while at < end:
        at += struct.unpack_from(order + "I", content, at + 4)[0]
    return at == end


@pytest.mark.parametrize("name", ["l4.pcapng", "l7.pcapng", "l4-big.pcap"])
def test_cut_off_in_many_places_every_question_is_answered(tmp_path: Path, originals: list[Path], name: str) -> None:
    content = next(path for path in originals if path.name == name).read_bytes()
    path = tmp_path / name
    answered = 0
    for end in range(0, len(content), max(1, len(content) // 8)):
        path.write_bytes(content[:end])
        answered += ask(str(path)) is not None
    assert answered > 5


@pytest.mark.parametrize("claim", [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFC])
@pytest.mark.parametrize("order", "<>")
def test_a_packet_that_claims_four_gibibytes(tmp_path: Path, order: str, claim: int) -> None:
    good = foreign.packet(order, 1, b"x" * 60)
    head = foreign.section(order) + foreign.interface(order)
    files = {
        "captured length": head + good + foreign.packet(order, 2, b"y" * 60, claimed=claim) + good,
        "block length": head + good + struct.pack(order + "II", 6, claim) + b"y" * 100,
        "record length": foreign.classic(order, [(1, 1, b"x" * 60)]) + struct.pack(order + "IIII", 1, 1, claim, claim),
        "section length": struct.pack(order + "IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, claim, 28) + head + good,
        "option length": head + foreign.packet(order, 1, b"x" * 60, options=struct.pack(order + "HH", 1, 0xFFFF)),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in files.items():
        (tmp_path / "claims").write_bytes(content)
        cap = ask(str(tmp_path / "claims"))
        assert cap is not None, name
        assert cap.recording.frame(1) == b"x" * 60, name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_a_sparse_file_of_many_gibibytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.pcapng"
    content = foreign.section("<") + foreign.interface("<") + foreign.packet("<", 1, b"x" * 60)
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(16 << 30)
    recording = read_pcapng(path)
    assert len(recording) == 1
    assert "the rest: the file is cut short at packet 2" in recording.lacks
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert ask(str(path)) is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 << 10


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pcapng.gz"
    with gzip.open(path, "wb", compresslevel=9) as bomb:
        bomb.write(foreign.section("<") + foreign.interface("<"))
        for _ in range(200):
            bomb.write(bytes(1 << 20))
    with pytest.raises(NotACapture, match="packed with gzip; unpack it first"):
        Capture.load(path)


@pytest.mark.parametrize("kind", ["empty", "text", "program", "zeros", "header of pcap", "header of pcapng"])
def test_what_holds_no_packet(tmp_path: Path, kind: str) -> None:
    content = {
        "empty": b"",
        "text": b"GET / HTTP/1.1\r\n",
        "program": Path(sys.executable).read_bytes()[:100_000],
        "zeros": bytes(10_000),
        "header of pcap": foreign.classic("<", []),
        "header of pcapng": foreign.section(">"),
    }[kind]
    path = tmp_path / "file"
    path.write_bytes(content)
    if kind.startswith("header"):
        cap = ask(str(path))
        assert cap is not None
        assert len(cap.packets()) == 0
        assert cap.finding == "No connections"
    else:
        with pytest.raises(NotACapture, match="is not a capture labkit reads"):
            Capture.load(path)


def test_a_limit_on_packets(originals: list[Path]) -> None:
    for path in originals:
        cap = Capture.load(path, packets=7)
        assert len(cap.packets()) == 7
        assert "everything after its first 7 packets" in cap.recording.lacks[-1]
        assert "cut short" not in repr(cap)
        assert frames(path)[:7] == [cap.recording.frame(number) for number in range(1, 8)]
        assert "everything after" not in repr(Capture.load(path, packets=30))
    for wrong in (0, -1, 1.5, "7", True):
        with pytest.raises(CaptureError, match="packets says how many are read at most"):
            Capture.load(originals[0], packets=wrong)  # type: ignore[arg-type]


def test_evidence_that_would_fill_the_memory_is_left_out(tmp_path: Path) -> None:
    pen = struct.pack("<I", 32473)
    bomb = b'{"labkit":1,"event":{"kind":"x","time_ns":1,"list":[' + b"[]," * 6_000_000 + b"[]]}}"
    path = tmp_path / "bomb.pcapng"
    content = foreign.section("<") + foreign.interface("<") + foreign.block("<", 0x80007ED9, pen + bomb) * 3
    path.write_bytes(content + foreign.packet("<", 1, b"x" * 60))
    code = (
        "import resource, sys; from labkit.capture import Capture; cap = Capture.load(sys.argv[1])\n"
        "print(len(cap.recording), cap.recording.lacks[-1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    said, memory = done.stdout.splitlines()
    assert said.startswith("1 ")
    assert "pieces of evidence that are more than labkit keeps in memory" in done.stdout
    assert int(memory) < 2 << 20
