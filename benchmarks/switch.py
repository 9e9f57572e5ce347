"""How long a switch between L4 and L7 takes while a client sends requests on new connections without pause.

    .venv/bin/python benchmarks/switch.py [--switches 200] [--load 1]

A switch is timed from the call to its return; the next connection is then in the new mode. The first one to L7
may wait for the proxy to warm up and is printed by itself.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from labkit import Lab


def timed(work: Callable[[], None]) -> float:
    """Milliseconds that *work* takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--load", type=int, default=1, help="clients that ask without pause")
    options = parser.parse_args()
    with Lab() as lab:
        first = timed(lab.balancer.l7)
        load = lab.bob.load("http://lb/api/x", connections=options.load, seconds=600, background=True)
        took: dict[str, list[float]] = {"L4": [], "L7": []}
        wrong = 0
        for number in range(options.switches):
            mode, switch = (("L4", lab.balancer.l4), ("L7", lab.balancer.l7))[number % 2]
            took[mode].append(timed(switch))
            peer = lab.alice.get("http://lb/api/x").received["peer"][0]
            wrong += (peer == lab.alice.address) != (mode == "L4")
        report = load.stop()
    print(f"first switch to L7: {first:.0f} ms")
    for mode, values in took.items():
        middle, most = statistics.median(values), max(values)
        print(f"to {mode}: median {middle:.1f} ms, at most {most:.1f} ms, {len(values)} switches")
    print(f"{report.requests} requests meanwhile, {report.failed} failed; {wrong} first requests in the wrong mode")


if __name__ == "__main__":
    main()
