"""All common header fields against tshark: no mismatch in 100,000 frames of every kind, nor in foreign files."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit import Lab
from labkit.recording import PACKET_DTYPE, Recording, Vantage, write_pcapng
from tests.conftest import missing
from tests.recording import foreign

from . import tshark
from .anyframe import any_frame

pytestmark = pytest.mark.needs("tshark")


def recorded(frames: list[bytes]) -> Recording:
    rows = np.zeros(len(frames), PACKET_DTYPE)
    lengths = np.array([len(frame) for frame in frames])
    rows["time_ns"] = 1_700_000_000_000_000_000 + np.arange(len(frames)) * 1_001
    rows["offset"] = np.cumsum(lengths) - lengths
    rows["captured"] = rows["original"] = lengths
    return Recording((Vantage("wire"),), rows, b"".join(frames))


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_frames_of_every_kind(tmp_path: Path, count: int) -> None:
    dice = random.Random(count)
    path = write_pcapng(recorded([any_frame(dice) for _ in range(count)]), tmp_path / "any.pcapng")
    found, compared = tshark.mismatches(path)
    assert found == []
    assert compared > 12 * count
    inside, errors = tshark.carried(path)
    assert inside == []
    assert errors > count // 30


COMMANDS = {
    "tcpdump, ethernet": ["tcpdump", "--immediate-mode", "-i", "lo", "-U", "-w"],
    "tcpdump, cooked": ["tcpdump", "--immediate-mode", "-i", "any", "-y", "LINUX_SLL", "-U", "-w"],
    "tcpdump, cooked v2": ["tcpdump", "--immediate-mode", "-i", "any", "-y", "LINUX_SLL2", "-U", "-w"],
    "tcpdump, nanoseconds": ["tcpdump", "--immediate-mode", "-i", "lo", "--time-stamp-precision=nano", "-U", "-w"],
    "tcpdump, 60 bytes": ["tcpdump", "--immediate-mode", "-i", "lo", "-s", "60", "-U", "-w"],
    "dumpcap, pcapng": ["dumpcap", "-i", "lo", "-w"],
    "dumpcap, pcap": ["dumpcap", "-P", "-i", "lo", "-w"],
}


@pytest.mark.needs("netns")
@pytest.mark.parametrize("kind", COMMANDS)
def test_files_of_other_programs(kind: str, tmp_path: Path) -> None:
    command = COMMANDS[kind]
    if why := missing(command[0]):
        pytest.skip(f"needs {command[0]}: {why}")
    path = tmp_path / "foreign"
    script = Path(__file__).with_name("loopback.py")
    root = os.geteuid() == 0
    if command[0] == "tcpdump" and not root:
        pytest.skip("needs root: tcpdump cannot change its user in a user namespace")
    apart = ["unshare", "--net"] if root else ["unshare", "--user", "--map-root-user", "--net"]
    stay = ["-Z", "root", "-B", "65536"] if command[0] == "tcpdump" else []  # room (KiB) for all packets at once
    subprocess.run([*apart, sys.executable, str(script), *command[:1], *stay, *command[1:], str(path)], check=True)
    found, compared = tshark.mismatches(path, cut=kind.endswith("60 bytes"))
    assert found == []
    assert compared > 500


EDITS = {
    "classic pcap": ["-F", "pcap"],
    "nanosecond pcap": ["-F", "nsecpcap"],
    "cut at 70 bytes": ["-s", "70"],
    "cut at 40 bytes": ["-s", "40"],
    "raw IP": ["-C", "14", "-T", "rawip", "-F", "pcap"],
}


@pytest.mark.parametrize("kind", EDITS)
def test_files_that_editcap_made(kind: str, tmp_path: Path) -> None:
    if why := missing("editcap"):
        pytest.skip(f"needs editcap: {why}")
    source, path = tmp_path / "source.pcapng", tmp_path / "edited"
    dice = random.Random(7)
    frames = [any_frame(dice) for _ in range(1_000)]
    if kind == "raw IP":
        frames = [frame for frame in frames if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]
    write_pcapng(recorded(frames), source)
    subprocess.run(["editcap", *EDITS[kind], str(source), str(path)], check=True, capture_output=True)
    found, compared = tshark.mismatches(path, cut="cut" in kind)
    assert found == []
    assert compared > 8 * len(frames)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D], ids=["microseconds", "nanoseconds"])
def test_both_byte_orders(order: str, magic: int, tmp_path: Path) -> None:
    dice = random.Random(magic)
    frames = [any_frame(dice) for _ in range(300)]
    pcap, pcapng = tmp_path / "x.pcap", tmp_path / "x.pcapng"
    most = 10**6 if magic == 0xA1B2C3D4 else 10**9
    pcap.write_bytes(foreign.classic(order, [(n, dice.randrange(most), one) for n, one in enumerate(frames)], magic))
    blocks = [foreign.packet(order, 10**15 + n, frame) for n, frame in enumerate(frames)]
    pcapng.write_bytes(foreign.section(order) + foreign.interface(order) + b"".join(blocks))
    for path in (pcap, pcapng):
        found, compared = tshark.mismatches(path)
        assert found == []
        assert compared > 10 * len(frames)


@pytest.mark.needs("netns")
def test_a_real_lab(tmp_path: Path) -> None:
    with Lab() as lab:
        with lab.capture() as cap:
            lab.alice.get("http://lb/api/users")
            lab.balancer.l7()
            lab.bob.post("http://lb/bytes/20000", body=b"x" * 9_000)
            with lab.alice.udp("lb", 7) as echo:
                echo.send(b"hello")
                echo.recv()
        path = cap.save(tmp_path / "lab.pcapng")
    found, compared = tshark.mismatches(path)
    assert found == []
    assert compared > 1_000
