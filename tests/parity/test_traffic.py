"""What hosts can be asked to do: programs, functions, applications, crafted packets, load, many connections."""

import socket
import threading
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

from labkit import Lab

from . import inside, seeing
from .conftest import Pair
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")

MANY = 500


def test_a_program(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> list[object]:
        ran = lab.alice.run("echo out; echo err >&2; exit 3")
        asked = lab.alice.run(["python3", "-c", "import socket; print(socket.gethostname())"])
        return [ran.stdout, ran.stderr, ran.returncode, asked.stdout]

    assert pair.same(scenario) == ["out\n", "err\n", 3, "alice\n"]


def test_a_function(pair: Pair) -> None:
    """It travels with the values that it uses, and uses what a host has."""
    factor = 7

    def times(number: int) -> dict[str, object]:
        return {"product": number * factor, "host": socket.gethostname()}

    assert pair.same(lambda lab, _: lab.bob.call(times, 6)) == {"product": 42, "host": "bob"}


def test_an_application(pair: Pair) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-mine", b"yes")]})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def scenario(lab: Lab, names: Names) -> list[object]:
        lab.balancer.l4(backends=["api1"])
        lab.api1.serve(app)
        try:
            reply = lab.alice.get("http://lb/mine")
        finally:
            lab.api1.serve(None)
        return [reply.status, reply.text, reply.headers["x-mine"], lab.alice.get("http://lb/").backend]

    assert pair.same(scenario) == [201, "/mine", "yes", "api1"]


def test_a_crafted_syn(pair: Pair) -> None:
    """It is answered, and the kernel that knows nothing of it does not reset what it began."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        lab.alice.get("http://lb/")  # from here on neighbours are known
        with lab.capture() as cap:
            answer = lab.alice.sr1(IP(dst=lab.vip) / TCP(sport=20_001, dport=80, flags="S"))
        seen = seeing.flags(cap, "alice")
        return {"flags": str(answer[TCP].flags), "from": names.end(answer[IP].src, answer[TCP].sport),
                "ttl": answer[IP].ttl, "seen": set(seen), "sent": seen["S"],
                "ways": set(seeing.trajectories(cap, names)["ways"])}  # fmt: skip

    seen = pair.same(scenario)
    assert (seen["flags"], seen["from"], seen["ttl"]) == ("SA", "vip:80", 63)
    assert seen["seen"] == {"S", "SA"}
    assert seen["sent"] == 1


def test_many_connections(pair: Pair) -> None:
    """They are open at the same time, the kernel's table has each, and each still answers."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4()
        held: list[int] = []
        holding = threading.Thread(target=lambda: held.append(lab.alice.call(inside.hold, lab.vip, 7, MANY, 2.0)))
        holding.start()
        most = 0
        while holding.is_alive():
            table = lab.balancer.connections()
            most = max(most, sum("established" in str(row).lower() for row in table.to_dict("records")))
            holding.join(0.2)
        return {"answered": held, "tracked": most >= MANY}

    assert pair.same(scenario) == {"answered": [MANY], "tracked": True}


def test_a_load(pair: Pair) -> None:
    """Its shape alone: how fast it was says something about the machine."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4()
        report = lab.alice.load("http://lb/bytes/100", connections=8, seconds=1)
        shares = [report.by_backend.get(backend.name, 0) for backend in lab.backends]
        return {"failed": report.failed, "statuses": set(report.by_status), "even": max(shares) - min(shares) <= 8,
                "some": report.requests > 50, "about a second": 0.8 < report.seconds < 2.5}  # fmt: skip

    assert pair.same(scenario) == {
        "failed": 0, "statuses": {200}, "even": True, "some": True, "about a second": True,
    }  # fmt: skip


def test_settings_of_the_kernel(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, str]:
        return {line.split()[0]: " ".join(line.split()[1:]) for line in str(lab.balancer.settings).splitlines()
                if not line.startswith("nf_conntrack_count")}  # fmt: skip

    seen = pair.same(scenario)
    assert seen["tcp_max_tw_buckets"].startswith("500 ")
    assert seen["ip_local_port_range"].startswith("10000 65000 ")
    assert seen["nf_conntrack_tcp_timeout_time_wait"].startswith("2 s ")


def test_settings_of_hosts(pair: Pair) -> None:
    """What a lab sets in every host, or in hosts that route."""
    names = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.tcp_max_tw_buckets",
             "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.core.somaxconn",
             "net.ipv4.tcp_max_syn_backlog", "net.ipv6.conf.all.disable_ipv6", "net.ipv4.conf.all.send_redirects",
             "net.ipv6.conf.all.accept_dad", "net.ipv6.conf.default.accept_ra",
             "net.ipv4.conf.all.rp_filter")  # fmt: skip

    def scenario(lab: Lab, _: Names) -> dict[str, dict[str, str]]:
        return {host: {name: " ".join(lab.nodes[host].call(inside.text, f"/proc/sys/{name.replace('.', '/')}").split())
                       for name in names} for host in ("alice", "lb", "api1")}  # fmt: skip

    seen = pair.same(scenario)
    assert (seen["lb"]["net.ipv4.ip_forward"], seen["lb"]["net.ipv6.conf.all.forwarding"]) == ("1", "1")
    assert seen["api1"]["net.ipv4.tcp_max_tw_buckets"] == "500"
