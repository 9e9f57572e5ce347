"""Conversations against tshark's, for recorded captures and for files with everything in them."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from labkit import Capture
from labkit.errors import CaptureError
from tests.analysis import ladders as made
from tests.analysis import wire as w

RECORDED = Path(__file__).parents[3] / "captures"
LINE = re.compile(
    r"^(\S+)\s+<-> (\S+)\s+(\d+) ([\d.]+ \w+)\s+(\d+) ([\d.]+ \w+)\s+(\d+) ([\d.]+ \w+)\s+[\d.,]+\s+([\d.,]+)$"
)


def file_of(name: str, folder: Path) -> Path:
    if name in ("l4", "l7"):
        return RECORDED / f"{name}.pcapng"
    recording = {
        "udp": made.datagrams, "ipv6": made.six, "troubled": made.troubled, "download": made.download
    }[name]().recording()  # fmt: skip
    return Path(Capture(recording).save(folder / f"{name}.pcapng"))


def tshark(path: Path, kind: str) -> dict[frozenset[str], tuple[int, int, float]]:
    """Pair of endpoints -> (frames in all, and per direction; seconds) as tshark counts them."""
    command = ["tshark", "-n", "-r", str(path), "-q", "-z", f"conv,{kind}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [LINE.match(line.rstrip()) for line in done.stdout.splitlines() if "<->" in line]
    assert rows
    assert all(rows)
    return {
        frozenset(row.groups()[:2]): (int(row[7]), tuple(sorted((int(row[3]), int(row[5])))), float(row[9]))
        for row in rows if row
    }  # fmt: skip


@pytest.mark.needs("tshark")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("l4", "tcp"), ("l7", "tcp"), ("udp", "udp"), ("ipv6", "tcp"), ("troubled", "tcp"), ("download", "tcp"),
     ("l4", "ip"), ("l4", "ipv6"), ("ipv6", "ipv6")],
)  # fmt: skip
def test_the_same_as_tshark(tmp_path: Path, name: str, kind: str) -> None:
    path = file_of(name, tmp_path)
    by_port = kind in ("tcp", "udp")
    frame = Capture.load(path).conversations("port" if by_port else "address")
    frame = frame[frame["proto"] == {"tcp": "TCP", "udp": "UDP", "ip": "IPv4", "ipv6": "IPv6"}[kind]]
    packets: Counter[frozenset[str]] = Counter()
    ways: dict[frozenset[str], Counter[str]] = {}
    times: dict[frozenset[str], list[int]] = {}
    for row in frame.to_dict("records"):
        ends = [f"{row[f'address_{x}']}:{row[f'port_{x}']}" if by_port else row[f"address_{x}"] for x in "ab"]
        pair = frozenset(ends)
        packets[pair] += row["packets"]
        ways.setdefault(pair, Counter()).update({ends[0]: row["packets_a_to_b"], ends[1]: row["packets_b_to_a"]})
        start = row["start"].value
        times.setdefault(pair, []).extend([start, start + round(row["seconds"] * 1e9)])
    ours = {
        pair: (packets[pair], tuple(sorted(ways[pair].values())), (max(times[pair]) - min(times[pair])) / 1e9)
        for pair in packets
    }
    theirs = tshark(path, kind)
    assert ours.keys() == theirs.keys()
    for pair, (total, directed, seconds) in ours.items():
        assert (total, directed) == theirs[pair][:2]
        assert seconds == pytest.approx(theirs[pair][2], abs=6e-5)


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", ["l4", "download"])
def test_bytes_are_those_of_the_frames(tmp_path: Path, name: str) -> None:
    path = file_of(name, tmp_path)
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "ip.src", "-e", "tcp.srcport", "-e", "frame.len"]
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp", *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs: Counter[tuple[str, str, int]] = Counter()
    for line in done.stdout.splitlines():
        vantage, source, port, length = line.split("\t")
        theirs[vantage, source, int(port)] += int(length)
    ours: Counter[tuple[str, str, int]] = Counter()
    for row in Capture.load(path).conversations().to_dict("records"):
        ours[row["vantage"], row["address_a"], row["port_a"]] += row["bytes_a_to_b"]
        ours[row["vantage"], row["address_b"], row["port_b"]] += row["bytes_b_to_a"]
        assert row["bytes"] == row["bytes_a_to_b"] + row["bytes_b_to_a"]
    assert {key: value for key, value in ours.items() if value} == theirs


def test_one_vantage_point_alone() -> None:
    cap = Capture(w.l4_wire(3).recording())
    at = cap.conversations(at="api1")
    assert set(at["vantage"]) == {"api1"}
    assert at["packets"].tolist() == [10, 10]
    assert list(at["address_a"]) == [w.ALICE, w.ALICE]
    assert cap.conversations("address", at="api1")["packets"].tolist() == [20]
    assert len(Capture(w.Wire().recording()).conversations()) == 0


def test_what_is_not_there() -> None:
    cap = Capture(w.l4_wire().recording())
    with pytest.raises(CaptureError, match=r"no vantage point 'api9'[.] Did you mean 'api"):
        cap.conversations(at="api9")
    with pytest.raises(CaptureError, match="not 'mac'"):
        cap.conversations("mac")  # type: ignore[arg-type]
