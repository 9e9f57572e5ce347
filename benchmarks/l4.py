"""What L4 forwarding costs: requests a second through NAT beside plain routing, between the same network namespaces.

    .venv/bin/python benchmarks/l4.py [--runs 5] [--seconds 2] [--style dnat]

One client, one backend, one balancer between them. *routed*: the client asks the backend at its own address, and lb
is a plain router; with nft at hand it does not even track these connections. *forwarded*: the client asks the VIP.
Both are measured with kept connections and with a new connection for each request, in turns, and the medians compared.

The load comes from wrk and the answers from nginx where these are installed (apt install wrk nginx-light); otherwise
labkit's own client and server are measured, which says so and is slower by far, so that forwarding costs it little.

The exit status is 1 if forwarding reaches less than 80 % of plain routing with kept connections, or less than 70 % with
new ones.
"""

import argparse
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from labkit import Lab, Listener
from labkit.errors import TrafficError
from labkit.topology import default, direct_return

FORWARDED, ROUTED, CONNECTIONS = 8080, 8081, 64  # two ports of one server: what is not forwarded is not tracked
LIMITS = {"kept": 0.80, "new": 0.70}
SERVER = f"""
user root; daemon off; worker_processes 1; error_log /dev/null; pid /tmp/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path /tmp/n1; proxy_temp_path /tmp/n2;
  fastcgi_temp_path /tmp/n3; uwsgi_temp_path /tmp/n4; scgi_temp_path /tmp/n5;
  server {{
    listen {FORWARDED} backlog=16384; listen {ROUTED} backlog=16384;
    location / {{ return 200 "{"x" * 1024}"; }}
  }}
}}
"""


def wrk(lab: Lab, seconds: float) -> Callable[[str, bool], float]:
    """Requests a second by wrk, of one thread."""

    def measure(way: str, kept: bool) -> float:
        where = {"routed": f"{lab.api1.address}:{ROUTED}", "forwarded": f"{lab.vip}:{FORWARDED}"}[way]
        close = [] if kept else ["-H", "Connection: close"]
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", *close, f"http://{where}/"]
        done = lab.alice.run(command, timeout=seconds + 30)
        found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        if not found or "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
            sys.exit(f"wrk failed: {done.stdout}{done.stderr}")
        return float(found[1])

    return measure


def own(lab: Lab, seconds: float) -> Callable[[str, bool], float]:
    """The same by labkit's own load, whose server listens on port 80."""

    def measure(way: str, kept: bool) -> float:
        address = {"routed": lab.api1.address, "forwarded": lab.vip}[way]
        done = lab.alice.load(f"http://{address}/", connections=CONNECTIONS, seconds=seconds, new_connections=not kept)
        return done.rate

    return measure


def compiled(lab: Lab) -> bool:
    """Start nginx in the backend; whether it and wrk are there."""
    if not shutil.which("wrk") or not shutil.which("nginx"):
        return False
    lab.api1.run(f"cat > /tmp/nginx.conf <<'END'\n{SERVER}\nEND")
    server = lab.api1.run("exec nginx -c /tmp/nginx.conf", background=True)
    for port in (FORWARDED, ROUTED):
        deadline = time.monotonic() + 10
        while not _listens(lab, port):
            if time.monotonic() > deadline or not server.running:
                sys.exit("nginx does not start")
    return True


def _listens(lab: Lab, port: int) -> bool:
    try:
        with lab.api1.tcp("127.0.0.1", port):
            return True
    except TrafficError:
        return False


def untracked(lab: Lab) -> bool:
    """Keep the routed connections out of connection tracking; whether that could be done."""
    if not shutil.which("nft"):
        return False
    rules = (
        "table ip benchmark { chain untracked { type filter hook prerouting priority raw; "
        f"tcp dport {ROUTED} notrack; tcp sport {ROUTED} notrack; "
        "}; };"
    )
    return lab.lb.run(f"echo '{rules}' | nft -f -").returncode == 0


def main() -> int:
    """Print the figures; 1 if forwarding costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each kind; the medians are compared")
    parser.add_argument("--seconds", type=float, default=2.0, help="a run")
    parser.add_argument("--style", default="dnat", help="dnat, full or dsr")
    options = parser.parse_args()
    topology = direct_return() if options.style == "dsr" else default()
    listeners = (*topology.listeners, Listener(FORWARDED, "tcp", "bench"))
    with Lab(replace(topology, listeners=listeners)) as lab:
        lab.balancer.l4(style=options.style, backends=["api1"])
        fast = compiled(lab)
        plain = fast and untracked(lab)
        measure = (wrk if fast else own)(lab, options.seconds)
        print(
            "load: wrk and nginx" if fast else "load: labkit's own client and server (wrk and nginx are not installed)"
        )
        print(f"routed connections are {'not ' if plain else ''}tracked by lb; forwarded: {options.style}")
        rates: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.runs):
            for kind in ("kept", "new"):
                for way in ("routed", "forwarded"):
                    rates.setdefault((kind, way), []).append(measure(way, kind == "kept"))
    return report(rates, options.runs)


def report(rates: dict[tuple[str, str], list[float]], runs: int) -> int:
    """Print medians, ranges and ratios; 1 if a ratio is below its limit."""
    short = 0
    print(f"medians of {runs} interleaved runs, requests/s:")
    for kind, limit in LIMITS.items():
        routed, forwarded = rates[kind, "routed"], rates[kind, "forwarded"]
        ratio = statistics.median(forwarded) / statistics.median(routed)
        short += ratio < limit
        words = f"{kind} connections:" if kind == "kept" else "new connection each:"
        figures = " ".join(
            f"{way} {statistics.median(values):9,.0f} ({min(values):,.0f}-{max(values):,.0f})"
            for way, values in (("routed", routed), ("forwarded", forwarded))
        )
        print(f"{words:21} {figures}; {ratio:.0%} of plain routing, at least {limit:.0%} wanted")
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
