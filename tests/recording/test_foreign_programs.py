"""What tcpdump, dumpcap, editcap and mergecap write of live traffic, read as tshark reads it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.capture import Capture
from labkit.recording import Recording, read_pcapng
from tests.recording import foreign
from tests.recording.live_programs import LIVE, traffic

TOLD = ("frame.time_epoch", "frame.len", "frame.cap_len", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport",
        "udp.srcport")  # fmt: skip
MADE = {
    "pcapng of editcap": "editcap -F pcapng dumpcap {}",
    "nanoseconds of editcap": "editcap -F nsecpcap nanoseconds {}",
    "snapped by editcap": "editcap -s 30 dumpcap {}",
    "merged": "mergecap -w {} tcpdump dumpcap cooked.v2",
    "raw IP": "editcap -F pcapng -C 14 -T rawip tcpdump {}",
    "with a comment": "editcap -a 2:hello dumpcap {}",
}
pytestmark = pytest.mark.needs("tcpdump", "dumpcap", "editcap", "mergecap", "tshark", "unshare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all programs, by name with dots for spaces."""
    folder = tmp_path_factory.mktemp("foreign")
    command = ["unshare", "--user", "--map-user=1000", "--net", "--keep-caps"]
    command += [sys.executable, "-m", "tests.recording.live_programs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for name, command in MADE.items():
        target = name.replace(" ", ".")
        subprocess.run(command.format(target).split(), cwd=folder, check=True, capture_output=True)
    big = read_pcapng(folder / "nanoseconds")
    (folder / "big.pcap").write_bytes(foreign.as_pcap(big, ">"))
    (folder / "big.pcapng").write_bytes(foreign.as_pcapng(big, ">") + foreign.as_pcapng(big, "<"))
    return folder


def by_tshark(path: Path) -> list[list[str]]:
    options = [part for field in TOLD for part in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    answer = subprocess.run(
        [*command, "-T", "fields", "-E", "occurrence=f", *options], capture_output=True, text=True, check=True
    )
    return [(line.split("\t") + [""] * len(TOLD))[: len(TOLD)] for line in answer.stdout.splitlines()]


NAMES = [*LIVE, *MADE, "big.pcap", "big.pcapng"]


@pytest.mark.parametrize("name", NAMES)
def test_every_packet_as_tshark_reads_it(folder: Path, name: str) -> None:
    path = folder / name.replace(" ", ".")
    cap, expected = Capture.load(path), by_tshark(path)
    table = cap.packets()
    assert len(table) == len(expected) >= len(traffic())
    order = file_order(cap.recording)
    for at, (time_epoch, length, captured, *rest) in zip(order, expected, strict=True):
        packet, row = cap.recording.packets[at], table.iloc[at]
        seconds, _, fraction = time_epoch.partition(".")
        assert int(packet["time_ns"]) == int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        assert (packet["original"], packet["captured"]) == (int(length), int(captured))
        src4, dst4, src6, dst6, tcp, udp = rest
        if (src4 and dst4) or (src6 and dst6):
            assert (row.src, row.dst) == (src4 or src6, dst4 or dst6)
        if tcp or udp:
            assert str(row.sport) == (tcp or udp)


def file_order(recording: Recording) -> list[int]:
    """Rows in the order of the file (a recording is sorted by time)."""
    return np.argsort(recording.packets["offset"], kind="stable").tolist()


def test_what_each_says_and_lacks(folder: Path) -> None:
    loaded = {name: Capture.load(folder / name.replace(" ", ".")).recording for name in NAMES}
    kinds = {"cooked v1": 113, "cooked v2": 276, "raw IP": 101, "tcpdump": 1}
    assert {name: loaded[name].vantages[0].link_type for name in kinds} == kinds
    assert [each.filter for each in loaded["two interfaces"].vantages] == ["udp", ""]
    assert [each.name for each in loaded["two interfaces"].vantages] == ["lo", "any"]
    assert all(loss.dropped == 0 for loss in loaded["dumpcap"].loss.values())
    assert loaded["tcpdump"].loss["capture"].dropped is None
    assert loaded["with a comment"].comments == {2: "hello"}
    assert Capture(loaded["with a comment"]).packets()["comment"].tolist()[:3] == [None, "hello", None]
    assert any("microsecond" in lack for lack in loaded["tcpdump"].lacks)
    assert not any("microsecond" in lack for lack in loaded["nanoseconds"].lacks)
    snapped = loaded["snapped"].packets
    assert snapped["captured"].max() == 40 < snapped["original"].max()
    assert len(loaded["merged"].vantages) >= 3
