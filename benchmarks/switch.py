"""How long a switch between L4 and L7 takes while a client sends requests on new connections without pause.

    .venv/bin/python benchmarks/switch.py [--switches 200] [--load 1] [--algorithm maglev]

A switch is timed from the call to its return; the next connection is then in the new mode. The first one to L7
may wait for the proxy to warm up, and the first to an algorithm at L4 reads its rules back; they are printed by
themselves. The exit status is 1 if, with one client, any other took
longer than 50 ms.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from labkit import Lab

LIMIT_MS = 50.0


def timed(work: Callable[[], None]) -> float:
    """Milliseconds that *work* takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def figures(values: list[float]) -> str:
    """Median, 95th percentile, most, and how many are over the limit."""
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    over = sum(value > LIMIT_MS for value in values)
    return (
        f"median {statistics.median(values):5.1f} ms, p95 {p95:5.1f} ms, max {max(values):5.1f} ms, "
        f"{over} of {len(values)} over {LIMIT_MS:.0f} ms"
    )


def main() -> int:
    """Print the figures; 1 if a switch took too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=200, help="at least 4")
    parser.add_argument("--load", type=int, default=1, help="clients that ask without pause")
    parser.add_argument("--algorithm", default="round_robin", help="at L4")
    options = parser.parse_args()
    with Lab() as lab:
        first = timed(lab.balancer.l7), timed(lambda: lab.balancer.l4(options.algorithm))
        load = lab.bob.load("http://lb/api/x", connections=options.load, seconds=600, background=True)
        took: dict[str, list[float]] = {"L4": [], "L7": []}
        wrong = 0
        for number in range(options.switches):
            mode, switch = (("L4", lambda: lab.balancer.l4(options.algorithm)), ("L7", lab.balancer.l7))[number % 2]
            took[mode].append(timed(switch))
            peer = lab.alice.get("http://lb/api/x").received["peer"][0]
            wrong += (peer == lab.alice.address) != (mode == "L4")
        report = load.stop()
    print(f"first switch to L7: {first[0]:.0f} ms, to L4: {first[1]:.0f} ms")
    every = [value for values in took.values() for value in values]
    for name, values in (("to L4", took["L4"]), ("to L7", took["L7"]), ("all", every)):
        print(f"{name + ':':6} {figures(values)}")
    print(f"{report.requests} requests meanwhile, {report.failed} failed; {wrong} first requests in the wrong mode")
    if options.load == 1 and max(every) > LIMIT_MS:
        print(f"a switch took {max(every):.1f} ms; the limit is {LIMIT_MS:.0f} ms", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
