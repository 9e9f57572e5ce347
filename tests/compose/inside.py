"""Run in the notebook's container: a lab that is there already, through its paces; what was seen, as JSON."""

import json
from collections import Counter

from labkit import Lab
from labkit.errors import LabError

seen: dict[str, object] = {}


def ask(times: int) -> list[tuple[str, int]]:
    return sorted(Counter(lab.alice.get("http://lb/api/users").backend for _ in range(times)).items())


lab = Lab.attach()
seen["lab"] = repr(lab)
seen["vip"] = lab.vip
with lab.capture() as cap:
    seen["l4"] = ask(4)
seen["l4 connections"] = cap.summary()["tcp_connections"]
seen["client seen"] = lab.alice.get("http://lb/api/users").received["peer"]
lab.balancer.l7(tls=True)
with lab.capture() as cap:
    seen["l7"] = ask(4)
    seen["https"] = lab.alice.get("https://lb/api/users", http2=True).status
seen["l7 connections"] = cap.summary()["tcp_connections"]
seen["exchanges"] = len(cap.exchanges())
lab.balancer.l7(engine="envoy")
seen["envoy"] = ask(4)
seen["ipv6"] = lab.bob.get("http://ip6-lb/api/users").status
seen["rights"] = {
    name: lab.nodes[name].run("grep -E 'Cap(Eff|Bnd)' /proc/self/status").stdout.split()[1::2]
    for name in ("alice", "lb", "api1")
}
seen["user"] = lab.alice.run("id -un").stdout.strip()
out = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
seen["ways out"] = [lab.nodes[name].run(["python", "-c", out]).returncode for name in ("alice", "lb", "api1")]
try:
    with lab.faults.small_mtu():
        pass
except LabError as error:
    seen["refused"] = str(error)
try:
    lab.balancer.settings["nf_conntrack_tcp_timeout_time_wait"] = 3
except LabError as error:
    seen["fixed"] = str(error)
lab.balancer.l4()
seen["l4 again"] = ask(4)
lab.stop()
print(json.dumps(seen))
