"""What the owner of a lab does, to be run by `not_linux`: ``tests.runtime.portable file | agent | lab``.

The nodes run elsewhere, as they do in containers; what is left of their stream here is a socket. Prints what it saw.
"""

import json
import selectors
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP

from labkit import Capture, Lab, LabError
from labkit import runtime as runtimes
from labkit.runtime.loop import StreamLoop
from labkit.runtime.stream import StreamNode
from labkit.topology import Topology

ROOT = Path(__file__).resolve().parents[2]


def file() -> dict[str, Any]:
    """A recorded capture, as far as it is shown."""
    cap = Capture.load(ROOT / "captures/l4.pcapng")
    return {
        "packets": len(cap.packets()),
        "connections": len(cap.connections()),
        "ladder": "alice" in str(cap.ladder()),
        "graph": sorted(cap.graph().nodes),
    }


def agent() -> dict[str, Any]:
    """Tasks and calls in one node that is an agent alone."""
    near, far = socket.socketpair()
    with (
        far,
        subprocess.Popen([sys.executable, "-m", "tests.runtime.lone", str(far.fileno())], pass_fds=[far.fileno()]),
    ):
        far.close()
        loop = StreamLoop("portable")
        node = StreamNode("n1", near, loop)
        task = node.start("tests.runtime.jobs:burst", count=50, size=100_000)
        said = [task.receive(10) for _ in range(50)]
        node.call("tests.runtime.jobs:keep", "word", "kept")
        kept = node.call("tests.runtime.jobs:kept", "word")
        loop.close()
    return {"numbers": [number for number, _ in said], "bytes": sum(len(body) for _, body in said), "kept": kept}


class Rented:
    """`Runtime` on nodes that another process has booted."""

    name = "rented"
    cause = ""

    def __init__(self) -> None:
        self.nodes: Mapping[str, StreamNode] = {}
        self.running = False

    def start(self, topology: Topology, preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> Topology:
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.runtime.let", str(theirs.fileno()), *preload, *at_balancer]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        _, streams, _, _ = socket.recv_fds(self._socket, 4, len(topology.nodes))
        self._loop = StreamLoop(topology.name)
        ends = zip(topology.nodes, streams, strict=True)
        self.nodes = {
            node.name: StreamNode(node.name, socket.socket(fileno=stream), self._loop) for node, stream in ends
        }
        self.running = True
        return topology

    def know(self, names: Mapping[str, str]) -> None:
        lines = "".join(f"{address} {name}\n" for name, address in names.items())
        self.nodes["alice"].call("labkit.runtime.network.hosts:append", "/run/labkit/hosts", lines)

    def stop(self) -> None:
        if self.running:
            self.running = False
            self._loop.close()
            self._socket.close()
            self._process.wait(20)


def lab() -> dict[str, Any]:
    """A whole lab: both modes, captures, what is read out of them, and what is shown."""
    seen: dict[str, Any] = {}
    seen["runtimes"] = [runtime.name for runtime in runtimes.candidates("auto")]
    runtimes.candidates = lambda *_: [Rented()]
    with Lab() as lab:
        with lab.capture(filter="tcp port 80") as cap:
            seen["l4"] = lab.alice.get("http://lb/api/users").status
        seen["l4 connections"] = len(cap.connections())
        seen["l4 states"] = sorted(set(cap.visibility().state))
        seen["rules"] = "dnat" in lab.balancer.rules
        lab.balancer.l7(tls=True)
        with lab.capture() as cap:
            seen["l7"] = lab.alice.get("https://lb/api/users", http2=True).status
        seen["l7 connections"] = len(cap.connections())
        seen["exchanges"] = list(cap.exchanges().target)
        seen["flows"] = [flow.request.path for flow in cap.flows()]
        seen["followed"] = "/api/users" in str(cap.follow(1))
        with lab.alice.websocket("ws://lb/ws/chat") as chat:
            chat.send("hi")
            seen["chat"] = "hi" in str(chat.recv())
        lab.balancer.l7(engine="envoy")
        seen["envoy"] = lab.bob.get("http://lb/images/1.png").status
        lab.balancer.l4()
        with lab.faults.backend_killed("api1") as fault:
            seen["fault"] = "api1" in str(fault)
        seen["load"] = lab.alice.load("http://lb/", connections=4, seconds=0.5).requests > 0
        syn = IP(dst=lab.vip) / TCP(sport=20001, dport=80, flags="S")
        seen["crafted"] = str(lab.alice.sr1(syn)[TCP].flags)
        seen["called"] = lab.alice.call(sum, [1, 2])
        seen["shown"] = sorted(lab._repr_mimebundle_())
        lab.panel()
    return seen


def main(part: str) -> int:
    from labkit.runtime.doctor import report
    from labkit.runtime.netns.leftovers import end_orphans
    from labkit.runtime.netns.runtime import NetnsRuntime
    from labkit.topology import default

    seen = {"file": file, "agent": agent, "lab": lab}[part]()
    seen["selector"] = selectors.DefaultSelector.__name__
    seen["imported"] = sorted({"pyroute2", "uvloop"} & set(sys.modules))
    sys.platform = "darwin"  # now that everything is imported that would look for its own files by it
    try:
        NetnsRuntime().start(default())
    except LabError as refusal:
        seen["netns"] = str(refusal)
    seen["doctor"] = [finding.detail for finding in report() if finding.name == "netns runtime"]
    seen["ended"] = end_orphans()
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
