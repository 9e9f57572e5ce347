"""What L7 costs: requests a second through each engine beside bare proxies, and how long a change of policy takes.

    .venv/bin/python benchmarks/l7.py [--runs 5] [--seconds 2]

One client, two backends, and in lb, in turns: labkit's Envoy engine beside a minimal Envoy configuration written by
hand; labkit's inspecting engine beside a bare mitmdump in reverse mode; HAProxy and nginx, where they are installed
(apt install haproxy nginx-light wrk). Connections are kept, 64 of them. The backends are nginx where that is there, and
the load is wrk's; otherwise both are labkit's own, which says so and is slower by far. Then, under load, the policy of
each engine is changed 20 times.

The exit status is 1 if labkit's Envoy reaches less than 60 % of the minimal one, the inspecting engine less than 80 %
of mitmdump, a change of policy takes more than 200 ms, or a request fails meanwhile.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from labkit import Lab, Listener, Route
from labkit.balancer.envoy.binary import binary
from labkit.balancer.envoy.process import threads
from labkit.errors import TrafficError
from labkit.topology import default

PORT, CONNECTIONS = 8080, 64
ENVOY, MITMDUMP, HAPROXY, NGINX = 9001, 9002, 9003, 9004  # ports of the bare ones at lb
LIMITS = {("envoy", "minimal envoy"): 0.60, ("mitmproxy", "mitmdump"): 0.80}
MOST_SECONDS = 0.2  # for a change of policy
CHANGES = 20
BACKEND = f"""
user root; daemon off; worker_processes 1; error_log /dev/null; pid /tmp/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path /tmp/n1; proxy_temp_path /tmp/n2;
  fastcgi_temp_path /tmp/n3; uwsgi_temp_path /tmp/n4; scgi_temp_path /tmp/n5;
  server {{ listen {PORT} backlog=16384; location / {{ return 200 "{"x" * 1024}"; }} }}
}}
"""


def main() -> int:
    """Print the figures; 1 if one of them is not what it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each; the medians are compared")
    parser.add_argument("--seconds", type=float, default=2.0, help="a run")
    options = parser.parse_args()
    topology = default()
    with Lab(replace(topology, listeners=(*topology.listeners, Listener(PORT, "http", "bench")))) as lab:
        fast = bool(shutil.which("wrk") and shutil.which("nginx"))
        port = PORT if fast else 80
        if fast:
            for backend in (lab.api1, lab.api2):
                backend.run(f"cat > /tmp/nginx.conf <<'END'\n{BACKEND}\nEND")
                begin(lab, backend, "exec nginx -c /tmp/nginx.conf", PORT)
        measure = (wrk if fast else own)(lab, options.seconds)
        print("load: wrk, backends: nginx" if fast else "load and backends: labkit's own (no wrk, no nginx)")
        contestants = bare(lab, port)
        rates: dict[str, list[float]] = {}
        for _ in range(options.runs):
            for engine in ("envoy", "mitmproxy"):
                pool = "api" if engine == "envoy" else "api1"
                lab.balancer.l7(routes=routes(lab, pool), engine=engine)
                rates.setdefault(engine, []).append(measure(port))
            for name, where in contestants.items():
                rates.setdefault(name, []).append(measure(where))
        short = report(rates, options.runs)
        for engine in ("envoy", "mitmproxy"):
            short += changes(lab, engine, port)
    return int(short > 0)


def routes(lab: Lab, pool: str) -> list[Route]:
    """One pool for all; mitmdump has one upstream, so there it is one backend."""
    if pool == "api1":
        for name in ("api2", "images1", "images2"):
            lab.balancer.drain(name)
        return [Route("*", pool="all")]
    for name in ("api2", "images1", "images2"):
        lab.balancer.add(name)
    return [Route("*", pool=pool)]


def bare(lab: Lab, port: int) -> dict[str, int]:
    """Start what labkit's engines are compared with; name -> port at the VIP."""
    backends = [lab.api1.address, lab.api2.address]
    put(lab, "envoy.json", json.dumps(minimal(backends, port)))
    command = (
        f"exec {quote(binary())} -c /tmp/envoy.json --disable-hot-restart --concurrency {threads()} --log-level error"
    )
    begin(lab, lab.lb, command, ENVOY)
    dump = Path(sys.executable).with_name("mitmdump")
    options = "--set confdir=/tmp/mitm --set termlog_verbosity=error --set flow_detail=0 --set keep_host_header=true"
    mode = f"--mode reverse:http://{backends[0]}:{port} --listen-port {MITMDUMP} --set connection_strategy=lazy"
    begin(lab, lab.lb, f"exec {quote(str(dump))} {mode} {options}", MITMDUMP)
    found = {"minimal envoy": ENVOY, "mitmdump": MITMDUMP}
    servers = "".join(f" server s{number} {address}:{port}\n" for number, address in enumerate(backends))
    if shutil.which("haproxy"):
        text = f"""global\n nbthread {threads()}\n maxconn 4000\ndefaults\n mode http\n timeout client 60s
 timeout server 60s\n timeout connect 5s\nlisten bench\n bind :{HAPROXY}\n{servers}"""
        put(lab, "haproxy.cfg", text)
        begin(lab, lab.lb, "exec haproxy -f /tmp/haproxy.cfg", HAPROXY)
        found["haproxy"] = HAPROXY
    if shutil.which("nginx"):
        upstream = "".join(f"server {address}:{port}; " for address in backends)
        text = BACKEND.replace("worker_processes 1", f"worker_processes {threads()}").replace("/tmp/n", "/tmp/lb-n")
        text = re.sub(r"server \{.*", "", text, flags=re.DOTALL)
        text += f"""upstream bench {{ {upstream} keepalive 256; }} server {{ listen {NGINX}; location / {{
            proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}"""
        put(lab, "nginx.conf", text)
        begin(lab, lab.lb, "exec nginx -c /tmp/nginx.conf", NGINX)
        found["nginx"] = NGINX
    return found


def minimal(backends: list[str], port: int) -> dict[str, Any]:
    """The least that makes Envoy spread requests over backends: no log, no filters but the router."""
    types = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "bench"}}
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    ends = [{"endpoint": {"address": {"socket_address": {"address": one, "port_value": port}}}} for one in backends]
    cluster = {
        "name": "bench",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "bench", "endpoints": [{"lb_endpoints": ends}]},
    }
    listener = {
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": ENVOY}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def wrk(lab: Lab, seconds: float) -> Callable[[int], float]:
    """Requests a second by wrk, of one thread."""

    def measure(port: int) -> float:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", f"http://{lab.vip}:{port}/"]
        done = lab.alice.run(command, timeout=seconds + 30)
        found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        if not found or "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
            sys.exit(f"wrk failed at port {port}: {done.stdout}{done.stderr}")
        return float(found[1])

    return measure


def own(lab: Lab, seconds: float) -> Callable[[int], float]:
    """The same by labkit's own load."""

    def measure(port: int) -> float:
        return lab.alice.load(f"http://{lab.vip}:{port}/", connections=CONNECTIONS, seconds=seconds).rate

    return measure


def changes(lab: Lab, engine: str, port: int) -> int:
    """Change the policy again and again while requests run; how many of the claims fail."""
    for name in ("api2", "images1", "images2"):
        lab.balancer.add(name)
    lab.balancer.l7(routes=[Route("*", pool="api")], engine=engine)
    load = lab.alice.load(f"http://{lab.vip}:{port}/", connections=16, seconds=120, background=True)
    took, wrong = [], 0
    for number in range(CHANGES):
        status = 200 + number % 2
        begun = time.monotonic()
        lab.balancer.l7(routes=[Route("/new", respond=status), Route("*", pool="api")], engine=engine)
        took.append(time.monotonic() - begun)
        wrong += lab.bob.get(f"http://{lab.vip}:{port}/new").status != status
    done = load.stop()
    failed = done.failed + sum(count for status, count in done.by_status.items() if status != 200)
    print(
        f"{engine}: {CHANGES} changes of policy under load: median {statistics.median(took) * 1000:.0f} ms, longest "
        f"{max(took) * 1000:.0f} ms (at most {MOST_SECONDS * 1000:.0f} wanted); {wrong} not in force at once; "
        f"{done.requests} requests meanwhile, {failed} failed"
    )
    return (max(took) > MOST_SECONDS) + (wrong > 0) + (failed > 0)


def report(rates: dict[str, list[float]], runs: int) -> int:
    """Print medians, ranges and ratios; how many are below their limits."""
    print(f"medians of {runs} interleaved runs, kept connections, requests/s:")
    for name, values in sorted(rates.items(), key=lambda pair: -statistics.median(pair[1])):
        print(f"  {name:14} {statistics.median(values):9,.0f} ({min(values):,.0f}-{max(values):,.0f})")
    short = 0
    for (ours, theirs), limit in LIMITS.items():
        ratio = statistics.median(rates[ours]) / statistics.median(rates[theirs])
        short += ratio < limit
        print(f"{ours}: {ratio:.0%} of {theirs}, at least {limit:.0%} wanted")
    return short


def put(lab: Lab, name: str, text: str) -> None:
    lab.lb.run(f"cat > /tmp/{name} <<'END'\n{text}\nEND")


def begin(lab: Lab, host: Any, command: str, port: int) -> None:
    """Run a server in the background until it listens."""
    server = host.run(command, background=True)
    deadline = time.monotonic() + 20
    while True:
        try:
            with host.tcp("127.0.0.1", port):
                return
        except TrafficError:
            if time.monotonic() > deadline or not server.running:
                sys.exit(f"this does not start: {command}")
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
