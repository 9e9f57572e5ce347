"""What a capture at four vantage points takes and costs: packets/s, drops, and requests/s with and without it.

    .venv/bin/python benchmarks/capture.py [--rounds 5] [--seconds 3] [--connections 16]

At L4, towards one backend. Three kinds of traffic, each with and without a capture in turn, round by round: requests
on a connection each, requests on kept connections, and datagrams as fast as a client sends them. Packets are summed
over alice, lb:front, lb:back and api1, and compared with what the kernel counted on those interfaces meanwhile. Exit
status 1 if a packet is neither recorded nor reported as dropped, if any was dropped, if no traffic reached 100,000
packets/s, or if requests/s with the capture are below half of those without.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit import Lab

VANTAGES = ("alice", "lb:front", "lb:back", "api1")
PLACES = (("alice", "front"), ("lb", "front"), ("lb", "back"), ("api1", "back"))
QUIET_SECONDS = 0.1
MOST_READINGS = 50
PACKETS_PER_SECOND = 100_000


@dataclass(frozen=True)
class Run:
    """One run: how often per second its work was done; with a capture, packets/s, drops and packets unaccounted for."""

    rate: float
    packets: float = 0.0
    dropped: int = 0
    missing: int = 0


def counters(lab: Lab) -> tuple[list[int], int]:
    """Packets in and out of each vantage point's interface by the kernel, and a time at which they stood still so."""
    for _ in range(MOST_READINGS):
        first = reading(lab)
        time.sleep(QUIET_SECONDS)
        still_ns = time.time_ns()
        time.sleep(QUIET_SECONDS)
        if reading(lab) == first:
            return first, still_ns
    raise SystemExit("the lab's interfaces do not come to rest")


def reading(lab: Lab) -> list[int]:
    """The kernel's counters now."""
    found = []
    for node, interface in PLACES:
        lines = lab.nodes[node].call(Path("/proc/net/dev").read_text).splitlines()
        fields = next(line.split(":")[1].split() for line in lines if line.strip().startswith(f"{interface}:"))
        found.append(int(fields[1]) + int(fields[9]))
    return found


def blast(address: str, seconds: float) -> float:
    """Datagrams/s that one Python loop sends to the echo listener; nobody waits for the echoes."""
    import socket
    import time

    sent, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while time.monotonic() < end:
            for _ in range(100):
                sender.sendto(b"x" * 64, (address, 7))
            sent += 100
    return sent / seconds


def captured(lab: Lab, work: Callable[[], float]) -> Run:
    """*work* under a capture at all four vantage points."""
    recorder = lab.capture(*VANTAGES).start()
    before, since_ns = counters(lab)
    started = time.monotonic()
    rate = work()
    seconds = time.monotonic() - started
    after, until_ns = counters(lab)
    recorder.stop()
    rows = recorder.recording.packets
    rows = rows[(rows["time_ns"] > since_ns) & (rows["time_ns"] < until_ns)]
    recorded = np.bincount(rows["vantage"], minlength=len(VANTAGES)).tolist()
    dropped = [recorder.recording.loss[name].dropped or 0 for name in VANTAGES]
    counted = [late - early for early, late in zip(before, after, strict=True)]
    missing = sum(abs(n - r - d) for n, r, d in zip(counted, recorded, dropped, strict=True))
    return Run(rate, sum(recorded) / seconds, sum(dropped), missing)


def main() -> int:
    """Print the figures; 1 if they are not good enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before {os.getloadavg()[0]:.1f}")
    failures: list[str] = []
    with Lab() as lab:
        lab.balancer.health.off()  # its packets are on the interfaces' counters, and left out of captures
        lab.balancer.l4(backends=["api1"])

        def requests(new: bool) -> Callable[[], float]:
            def ask() -> float:
                report = lab.alice.load(
                    "http://lb/api/x", connections=options.connections, seconds=options.seconds, new_connections=new
                )
                return report.requests / report.seconds

            return ask

        kinds: dict[str, tuple[str, Callable[[], float]]] = {
            "new connections": ("requests/s", requests(True)),
            "kept connections": ("requests/s", requests(False)),
            "datagrams": ("datagrams/s", lambda: lab.alice.call(blast, lab.vip, options.seconds)),
        }
        fastest = 0.0
        for name, (unit, work) in kinds.items():
            without, runs = [], []
            for _ in range(options.rounds):
                without.append(work())
                runs.append(captured(lab, work))
            plain, slowed = statistics.median(without), statistics.median(run.rate for run in runs)
            packets = statistics.median(run.packets for run in runs)
            dropped, missing = sum(run.dropped for run in runs), sum(run.missing for run in runs)
            fastest = max(fastest, packets)
            print(
                f"{name + ':':18} {plain:8,.0f} {unit} without, {slowed:8,.0f} with a capture ({slowed / plain:4.0%}); "
                f"{packets:9,.0f} packets/s recorded (rounds: {', '.join(f'{run.packets:,.0f}' for run in runs)}), "
                f"{dropped} dropped, {missing} unaccounted for"
            )
            if missing or dropped:
                failures.append(f"{name}: {dropped} packets were dropped, {missing} are unaccounted for")
            if unit == "requests/s" and slowed < plain / 2:
                failures.append(f"{name}: a capture leaves {slowed / plain:.0%} of the requests/s")
        if fastest < PACKETS_PER_SECOND:
            failures.append(f"at most {fastest:,.0f} packets/s were recorded")
    print(f"load after {os.getloadavg()[0]:.1f}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
