"""Recordings made by hand: frames crafted with scapy, carried over the default lab's network at L4 and L7.

`Wire` collects observations; `forwarded` is a TCP conversation that passes through NAT, `direct` one on a single link.
Addresses, MACs and events are those of the lab that DESIGN's picture shows.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from labkit.recording import PACKET_DTYPE, Loss, Recording, Vantage

ALICE, BOB, VIP, LB_BACK = "10.0.1.11", "10.0.1.12", "10.0.1.10", "10.0.2.10"
API1, API2, IMAGES1 = "10.0.2.11", "10.0.2.12", "10.0.2.21"
MACS = {
    name: f"02:00:00:00:00:{i:02x}" for i, name in enumerate(("alice", "bob", "lb:front", "lb:back", "api1", "api2"), 1)
}
HOSTS = {"alice": ALICE, "bob": BOB, "lb:front": VIP, "lb:back": LB_BACK, "api1": API1, "api2": API2}
START = 1_700_000_000_000_000_000
HOP = 10_000  # nanoseconds from one vantage point to the next

TOPOLOGY: dict[str, Any] = {
    "kind": "topology", "time_ns": START - 10, "runtime": "fake", "vip": [VIP], "pools": {"api": ["api1", "api2"]},
    "nodes": [
        {"name": "alice", "role": "client", "addresses": [ALICE, "fd00:10:0:1::11"], "interfaces": ["front"]},
        {"name": "bob", "role": "client", "addresses": [BOB], "interfaces": ["front"]},
        {"name": "lb", "role": "balancer", "addresses": [VIP, LB_BACK], "interfaces": ["front", "back"]},
        {"name": "api1", "role": "backend", "addresses": [API1, "fd00:10:0:2::11"], "interfaces": ["back"]},
        {"name": "api2", "role": "backend", "addresses": [API2], "interfaces": ["back"]},
    ],
}  # fmt: skip


@dataclass
class Wire:
    """What was seen, in any order; `recording` sorts it by time."""

    vantages: tuple[str, ...] = ("alice", "bob", "lb:front", "lb:back", "api1", "api2")
    seen: list[tuple[int, str, bytes, int, int]] = field(default_factory=list)  # last: which packet it really is
    events: list[Mapping[str, Any]] = field(default_factory=list)
    now: int = START
    sent: int = 0
    lacking: Callable[[str, Packet], bool] = lambda vantage, packet: False

    def see(self, vantage: str, frame: Packet | bytes, *, at: int | None = None, cut: int | None = None) -> None:
        """One observation, now or at a given time; cut: bytes kept of it."""
        if vantage not in self.vantages or (isinstance(frame, Packet) and self.lacking(vantage, frame)):
            return
        raw = bytes(frame)
        self.seen.append((self.now if at is None else at, vantage, raw[:cut], len(raw), self.sent))

    def wait(self, nanoseconds: int = HOP) -> int:
        self.now += nanoseconds
        return self.now

    def carry(self, hops: Iterable[tuple[str, Packet]]) -> None:
        """One packet along its way, a `HOP` apart."""
        self.sent += 1
        for vantage, frame in hops:
            self.see(vantage, frame, at=self.wait())

    @property
    def truth(self) -> list[int]:
        """For each packet of the recording which packet it really is."""
        return [one[-1] for one in sorted(self.seen, key=lambda one: one[0])]

    def recording(
        self, *, link_types: Mapping[str, int] | None = None, loss: Mapping[str, Loss] | None = None
    ) -> Recording:
        ordered = sorted(self.seen, key=lambda one: one[0])
        packets = np.zeros(len(ordered), dtype=PACKET_DTYPE)
        data = b""
        for row, (time_ns, vantage, raw, original, _) in enumerate(ordered):
            packets[row] = (time_ns, self.vantages.index(vantage), len(data), len(raw), original, 0)
            data += raw
        return Recording(
            tuple(
                Vantage(name, name.partition(":")[0], link_type=(link_types or {}).get(name, 1))
                for name in self.vantages
            ),
            packets,
            data,
            loss=loss or {},
            events=sorted(self.events, key=lambda event: event["time_ns"]),
        )


@dataclass
class Nat:
    """How the balancer forwards one conversation: from whom to whom, on which ports; full: the source changes too."""

    client: str = "alice"
    backend: str = "api1"
    sport: int = 40000
    dport: int = 80
    backend_port: int = 80
    full: bool = False

    def out(self, payload: Packet, ip_id: int) -> list[tuple[str, Packet]]:
        """A packet of the client's at all four vantage points. payload: a TCP or UDP layer without ports."""
        before = payload.copy()
        before.sport, before.dport = self.sport, self.dport
        after = payload.copy()
        after.sport, after.dport = self.sport, self.backend_port
        source = LB_BACK if self.full else HOSTS[self.client]
        sent = (
            Ether(src=MACS[self.client], dst=MACS["lb:front"]) / IP(src=HOSTS[self.client], dst=VIP, id=ip_id) / before
        )
        passed = (
            Ether(src=MACS["lb:back"], dst=MACS[self.backend])
            / IP(src=source, dst=HOSTS[self.backend], id=ip_id, ttl=63)
            / after
        )
        return _along((self.client, "lb:front"), sent) + _along(("lb:back", self.backend), passed)

    def back(self, payload: Packet, ip_id: int) -> list[tuple[str, Packet]]:
        """A packet of the backend's at all four vantage points."""
        before = payload.copy()
        before.sport, before.dport = self.backend_port, self.sport
        after = payload.copy()
        after.sport, after.dport = self.dport, self.sport
        target = LB_BACK if self.full else HOSTS[self.client]
        sent = (
            Ether(src=MACS[self.backend], dst=MACS["lb:back"])
            / IP(src=HOSTS[self.backend], dst=target, id=ip_id)
            / before
        )
        passed = (
            Ether(src=MACS["lb:front"], dst=MACS[self.client])
            / IP(src=VIP, dst=HOSTS[self.client], id=ip_id, ttl=63)
            / after
        )
        return _along((self.backend, "lb:back"), sent) + _along(("lb:front", self.client), passed)


@dataclass
class Link:
    """A conversation on one link between two vantage points."""

    client: str = "alice"
    server: str = "lb:front"
    sport: int = 40000
    dport: int = 80

    def out(self, payload: Packet, ip_id: int) -> list[tuple[str, Packet]]:
        return self._packet(self.client, self.server, self.sport, self.dport, payload, ip_id)

    def back(self, payload: Packet, ip_id: int) -> list[tuple[str, Packet]]:
        return self._packet(self.server, self.client, self.dport, self.sport, payload, ip_id)

    def _packet(
        self, source: str, target: str, sport: int, dport: int, payload: Packet, ip_id: int
    ) -> list[tuple[str, Packet]]:
        payload = payload.copy()
        payload.sport, payload.dport = sport, dport
        frame = Ether(src=MACS[source], dst=MACS[target]) / IP(src=HOSTS[source], dst=HOSTS[target], id=ip_id) / payload
        return _along((source, target), frame)


def _along(vantages: Sequence[str], frame: Packet) -> list[tuple[str, Packet]]:
    built = Ether(bytes(frame))  # with lengths and checksums, so that copies are equal byte for byte
    return [(vantage, built) for vantage in vantages]


class Talk:
    """A TCP conversation over a `Nat` or a `Link`, numbered as real stacks do; each method puts packets on the wire."""

    def __init__(self, wire: Wire, way: Nat | Link, *, seed: int = 1, isn: tuple[int, int] | None = None) -> None:
        generator = random.Random(seed)
        self.wire, self.way = wire, way
        self.seq = list(isn or (generator.getrandbits(32), generator.getrandbits(32)))
        self.ids = [generator.getrandbits(16) or 1, generator.getrandbits(16) or 1]

    def send(self, by: int, flags: str, payload: bytes = b"", *, back: int = 0, ip_id: int | None = None) -> None:
        """A segment by the client (0) or the server (1). back: bytes before its next number, for a retransmission."""
        seq = (self.seq[by] - back) % 2**32
        layer = TCP(flags=flags, seq=seq, ack=self.seq[1 - by] if "A" in flags else 0, window=502)
        if payload:
            layer = layer / Raw(payload)
        self.ids[by] = self.ids[by] % 65535 + 1
        number = self.ids[by] if ip_id is None else ip_id
        self.wire.carry(self.way.out(layer, number) if by == 0 else self.way.back(layer, number))
        self.seq[by] = (self.seq[by] + (0 if back else len(payload) + ("S" in flags) + ("F" in flags))) % 2**32

    def open(self) -> "Talk":
        self.send(0, "S")
        self.send(1, "SA")
        self.send(0, "A")
        return self

    def ask(self, request: bytes, answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") -> "Talk":
        self.send(0, "PA", request)
        self.send(1, "A")
        self.send(1, "PA", answer)
        self.send(0, "A")
        return self

    def close(self, by: int = 0) -> "Talk":
        self.send(by, "FA")
        self.send(1 - by, "FA")
        self.send(by, "A")
        return self


def get(target: str = "/api/users", *headers: str) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "Host: lb", *headers, "", ""]
    return "\r\n".join(lines).encode()


def mode(name: str, at: int = START - 5) -> dict[str, Any]:
    return {"kind": "mode", "time_ns": at, "mode": name, "engine": "nftables" if name == "l4" else "mitmproxy"}


def rules(*reads: str, at: int = START - 4) -> dict[str, Any]:
    return {"kind": "rules", "time_ns": at, "text": "table inet labkit { }", "reads": list(reads)}


def decision(at: int, nat: Nat, read: Sequence[str] = ("ip.dst", "tcp.dport"), proto: str = "TCP") -> dict[str, Any]:
    return {
        "kind": "decision", "time_ns": at, "mode": "l4", "proto": proto, "client": HOSTS[nat.client],
        "client_port": nat.sport, "server": VIP, "server_port": nat.dport, "backend": nat.backend,
        "backend_address": HOSTS[nat.backend], "backend_port": nat.backend_port, "rule": "http-80", "read": list(read),
    }  # fmt: skip


def request(started: int, decided: int, ended: int, front: Link, back: Link | None, **more: Any) -> dict[str, Any]:
    def side(link: Link | None) -> dict[str, Any] | None:
        return link and {
            "id": f"{link.client}-{link.sport}",
            "client": [HOSTS[link.client], link.sport],
            "server": [HOSTS[link.server], link.dport],
        }

    return {
        "kind": "request", "time_ns": ended, "request": f"r{started}", "method": "GET", "target": "/api/users",
        "host": "lb", "version": "HTTP/1.1", "status": 200, "rule": "/api/*", "backend": "api1",
        "read": ["http.target"], "held": ["ip.src", "tcp.sport", "http.method", "http.target", "http.host"],
        "started_ns": started, "decided_ns": decided, "ended_ns": ended, "front": side(front), "back": side(back),
        "headers_received": [["Host", "lb"]], "headers_forwarded": [["Host", "lb"]], "websocket": False, "error": None,
        **more,
    }  # fmt: skip


def l4_wire(requests: int = 1, vantages: Sequence[str] | None = None) -> Wire:
    """Requests through NAT, alternately from alice to api1 and bob to api2, each on a connection of its own."""
    wire = Wire(tuple(vantages)) if vantages else Wire()
    wire.events += [TOPOLOGY, mode("l4"), rules("ip.dst", "tcp.dport", "ct.state")]
    for turn in range(requests):
        nat = Nat(("alice", "bob")[turn % 2], ("api1", "api2")[turn % 2], sport=40000 + turn)
        talk = Talk(wire, nat, seed=turn)
        talk.send(0, "S")
        wire.events.append(decision(wire.now - HOP, nat))
        talk.send(1, "SA")
        talk.send(0, "A")
        talk.ask(get()).close()
    return wire


def l7_wire(requests: int = 1, *, received: bytes = b"", forwarded: bytes = b"", **more: Any) -> Wire:
    """Requests through a terminating proxy, each on a client connection and a back connection of its own."""
    wire = Wire()
    wire.events += [TOPOLOGY, mode("l7"), rules("ct.state")]
    for turn in range(requests):
        client, server = ("alice", "bob")[turn % 2], ("api1", "api2")[turn % 2]
        front, back = Link(client, "lb:front", 41000 + turn), Link("lb:back", server, 51000 + turn)
        outer, inner = Talk(wire, front, seed=2 * turn), Talk(wire, back, seed=2 * turn + 1)
        outer.open().send(0, "PA", received or get())
        started = wire.wait()
        decided = wire.wait()
        inner.open().ask(forwarded or get())
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        wire.events.append(request(started, decided, wire.wait(), front, back, **{"backend": server, **more}))
        outer.send(0, "A")
        outer.close()
        inner.close(by=0)
    return wire


def relayed_wire(requests: int = 2, **more: Any) -> Wire:
    """What `l7_wire` carries, by the record of a TCP proxy."""
    wire = l7_wire(requests)
    wire.events = [_relay(event, more) if event["kind"] == "request" else event for event in wire.events]
    wire.events = [{**event, "mode": "l4"} if event["kind"] == "mode" else event for event in wire.events]
    return wire


def _relay(event: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    kept = ("time_ns", "backend", "started_ns", "decided_ns", "ended_ns", "front", "back", "error")
    told = {name: event[name] for name in kept}
    read = ["ip.dst", "tcp.dport"]
    return {"kind": "relay", "relay": event["request"], "rule": "http", "read": read, "held": read, **told, **more}


def udp(payload: bytes) -> Packet:
    return UDP() / Raw(payload)


def frame6(
    source: str, target: str, layer: Packet, *, hop_limit: int = 64, macs: tuple[str, str] = ("alice", "lb:front")
) -> Packet:
    return Ether(
        bytes(Ether(src=MACS[macs[0]], dst=MACS[macs[1]]) / IPv6(src=source, dst=target, hlim=hop_limit) / layer)
    )
