"""How fast a capture of a million packets is read, grouped and shown, beside other readers of the same file.

    .venv/bin/python benchmarks/analysis.py [--packets 1000000] [--runs 9] [--keep FILE]

The file is made here: an L4 lab's packets, and one decision of the balancer for each connection. Every figure is the
best of several runs, with the file in the page cache and what Python imports imported. "Columns and table": all header
columns, and the conversations by 5-tuple with packets and bytes each way, as `tshark -z conv,tcp` lists them, of a
file with the same packets and no decisions. Memory: what is held when a capture's columns, connections and
trajectories are there, beyond the mapped file; the table `packets()` is counted by itself. The exit status is 1 if a
target fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from million import recording

from labkit.analysis.connections.merged import counts
from labkit.analysis.connections.sightings import sight
from labkit.analysis.connections.tcp import tell
from labkit.analysis.packets.index import build
from labkit.analysis.study import Study
from labkit.capture import Capture
from labkit.recording import read_pcapng, write_pcapng
from labkit.recording.pcapng_format import OFFSETS

SLICE = 5_000  # packets that scapy gets: it would take minutes for all


@dataclass(frozen=True)
class Figure:
    """One line. target: at least (at_most: at most) this; None: only to be compared with."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False

    @property
    def failed(self) -> bool:
        return self.target is not None and (self.value > self.target if self.at_most else self.value < self.target)

    def __str__(self) -> str:
        value = f"{self.value:,.2f}" if self.value < 100 else f"{self.value:,.0f}"
        wanted = "" if self.target is None else f"{'at most' if self.at_most else 'at least'} {self.target:,g}"
        return f"{self.name:52} {value:>12} {self.unit:10} {wanted:20} {'FAILED' if self.failed else ''}".rstrip()


def best(runs: int, work: Callable[[], Any]) -> float:
    """Seconds of the fastest run."""
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        kept = work()
        took.append(time.perf_counter() - started)
        del kept
    return min(took)


def columns_and_table(path: Path) -> Any:
    read = read_pcapng(path)
    index = build(read)
    sightings = sight(index)
    return read, sightings, counts(index, sightings)


def first_display(path: Path) -> Any:
    return Capture.load(path)._repr_mimebundle_()


def without_offsets(path: Path, target: Path) -> None:
    """A copy in which the blocks of stored offsets have a type that nobody knows."""
    shutil.copyfile(path, target)
    words = np.memmap(target, "<u4", mode="r+")
    at, size, hidden = 0, len(words), 0
    while at < size:
        if words[at] == OFFSETS:
            words[at] = OFFSETS + 1
            hidden += 1
        at += int(words[at + 1]) // 4
    words.flush()
    if not hidden:
        raise SystemExit("the file has no stored offsets")


def held(value: Any, seen: set[int]) -> int:
    """Bytes of the arrays and tuples of numbers in *value*, those that share memory counted once."""
    if isinstance(value, np.ndarray):
        base = value if value.base is None else value.base
        if not isinstance(base, np.ndarray):
            base = value
        if id(base) in seen:
            return 0
        seen.add(id(base))
        return base.nbytes
    if isinstance(value, tuple):
        return sys.getsizeof(value) + sum(held(one, seen) for one in value)
    if hasattr(value, "__dataclass_fields__"):
        return sum(held(getattr(value, one.name), seen) for one in fields(value))
    return 0


def memory(path: Path) -> tuple[float, float]:
    """Bytes a packet: of what is held beyond the file, and of the table of packets."""
    read = read_pcapng(path)
    study = Study(read)
    kept = (study.index, study.sightings, study.trajectories, study.connections)
    seen: set[int] = set()
    total = held(read.packets, seen) + sum(held(one, seen) for one in kept)
    table = study.packets_table()
    return total / len(read), float(table.memory_usage(deep=False, index=True).sum()) / len(read)


def others(path: Path, packets: int) -> list[Figure]:
    """dpkt, scapy and tshark on the same file."""
    figures = []
    if find_spec("dpkt"):
        figures.append(Figure("dpkt: conversations by 5-tuple", packets / best(1, lambda: by_dpkt(path)), "packets/s"))
    else:
        print("dpkt is not installed (pip install 'labkit[bench]', or dpkt alone): left out")
    figures.append(Figure("scapy: conversations by 5-tuple", SLICE / best(1, lambda: by_scapy(path)), "packets/s"))
    if shutil.which("tshark"):
        ask = ["tshark", "-n", "-q", "-r", str(path), "-z", "conv,tcp"]
        seconds = best(1, lambda: subprocess.run(ask, check=True, capture_output=True))
        figures.append(Figure("tshark -z conv,tcp", packets / seconds, "packets/s"))
    else:
        print("tshark is not on PATH: left out, and with it the comparison that is demanded")
    return figures


def by_dpkt(path: Path) -> Any:
    import dpkt

    talks: dict[Any, int] = {}
    with path.open("rb") as file:
        for _, frame in dpkt.pcapng.Reader(file):
            ip = dpkt.ethernet.Ethernet(frame).data
            layer = ip.data
            key = (frozenset(((ip.src, layer.sport), (ip.dst, layer.dport))), type(layer))
            talks[key] = talks.get(key, 0) + 1
    return talks


def by_scapy(path: Path) -> Any:
    import scapy.layers.inet6
    from scapy.utils import PcapNgReader

    talks: dict[Any, int] = {}
    with PcapNgReader(str(path)) as reader:
        for packet in islice(reader, SLICE):
            ip, layer = packet.payload, packet.payload.payload
            key = (frozenset(((ip.src, layer.sport), (ip.dst, layer.dport))), type(layer))
            talks[key] = talks.get(key, 0) + 1
    assert scapy.layers.inet6
    return talks


def measure(path: Path, packets_alone: Path, bare: Path, runs: int) -> list[Figure]:
    read = read_pcapng(path)
    packets = len(read)
    first_display(path)  # imports what is imported late
    index = build(read)
    sightings = sight(index)
    stored = packets / best(runs, lambda: columns_and_table(packets_alone))
    evidence = packets / best(runs, lambda: columns_and_table(path))
    cold = packets / best(runs, lambda: columns_and_table(bare))
    states = packets / best(runs, lambda: tell(index, sightings))
    joined = packets / best(runs, lambda: Study(read).connections)
    whole = packets / best(runs, lambda: Capture.load(path).connections())
    shown = best(runs, lambda: first_display(path))
    columns, table = memory(path)
    figures = [
        Figure("columns and table, cold", cold, "packets/s", 1.5e6),
        Figure("columns and table, with stored offsets", stored, "packets/s", 3e6),
        Figure("columns and table, offsets and decisions", evidence, "packets/s"),
        Figure("TCP states and counts of all connections", states, "packets/s", 5e5),
        Figure("columns, trajectories, connections joined", joined, "packets/s"),
        Figure("Capture.load(...).connections(), states and all", whole, "packets/s"),
        Figure("Capture.load to the first rich display", shown, "s", 1.0, at_most=True),
        Figure("held beyond the file", columns, "B/packet", 150, at_most=True),
        Figure("the table packets()", table, "B/packet", 150, at_most=True),
    ]
    rivals = others(path, packets)
    figures += rivals
    figures += [
        Figure("columns and table, cold, against tshark's", cold / rival.value, "times", 10)
        for rival in rivals
        if rival.name.startswith("tshark")
    ]
    return figures


def main() -> int:
    """Print the figures; 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--keep", type=Path, help="write the capture here and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "million.pcapng"
        alone, bare = Path(folder) / "alone.pcapng", Path(folder) / "bare.pcapng"
        made = recording(options.packets)
        write_pcapng(made, path)
        write_pcapng(replace(made, events=[event for event in made.events if event["kind"] != "decision"]), alone)
        without_offsets(alone, bare)
        del made
        print(
            f"{path.stat().st_size / 1e6:,.0f} MB; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )
        figures = measure(path, alone, bare, options.runs)
    print(*figures, sep="\n")
    return int(any(figure.failed for figure in figures) or not shutil.which("tshark"))


if __name__ == "__main__":
    sys.exit(main())
