"""Recordings for ladders: what can happen to a connection on its way, made by hand on the lab of `wire`."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6MLReport2, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from labkit.recording import Recording

from . import wire as w
from .wire import HOP, Link, Nat, Talk, Wire, get


def only(wire: Wire, *vantages: str) -> Recording:
    """The recording as it would be if nothing had been captured but at these vantage points."""
    wire.seen = [one for one in wire.seen if one[1] in vantages]
    wire.vantages = vantages
    return wire.recording()


def without_events(wire: Wire, *vantages: str) -> Recording:
    """A file from elsewhere: packets alone."""
    wire.events = []
    return only(wire, *vantages)


def opened(port: int = 40000, **nat: object) -> tuple[Wire, Talk]:
    """An L4 connection from alice to api1, decided and open."""
    wire = Wire()
    way = Nat(sport=port, **nat)  # type: ignore[arg-type]
    wire.events += [w.TOPOLOGY, w.mode("l4"), w.rules("ip.dst", "tcp.dport")]
    talk = Talk(wire, way, seed=7)
    talk.send(0, "S")
    wire.events.append(w.decision(wire.now - HOP, way))
    talk.send(1, "SA")
    talk.send(0, "A")
    return wire, talk


def download(segments: int = 40, size: int = 1448) -> Wire:
    """One request with a long answer, acknowledged every second segment."""
    wire, talk = opened()
    talk.send(0, "PA", get("/api/big"))
    talk.send(1, "PA", b"HTTP/1.1 200 OK\r\n\r\n")
    for turn in range(segments):
        talk.send(1, "A", bytes([turn % 251]) * size)
        if turn % 2:
            talk.send(0, "A")
    talk.close()
    return wire


def troubled() -> Wire:
    """A request lost behind the balancer and sent again, an answer out of order, a zero window, a reset."""
    wire, talk = opened()
    everywhere = wire.vantages
    wire.vantages = ("alice", "lb:front", "lb:back")
    talk.send(0, "PA", get())
    wire.vantages = everywhere
    talk.send(0, "PA", get(), back=len(get()))
    talk.seq[1] += 100
    talk.send(1, "PA", b"b" * 50)
    talk.seq[1] -= 150
    talk.send(1, "PA", b"a" * 100)
    talk.seq[1] += 50
    wire.carry(talk.way.out(TCP(flags="A", seq=talk.seq[0], ack=talk.seq[1], window=0), 9999))
    talk.send(1, "RA")
    return wire


def keep_alive(requests: int = 3) -> Wire:
    """Several requests on one client connection at L7, each over a back connection of its own, to two backends."""
    wire = Wire()
    wire.events += [w.TOPOLOGY, w.mode("l7"), w.rules("ct.state")]
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front, seed=1).open()
    for turn in range(requests):
        backend = ("api1", "api2")[turn % 2]
        back = Link("lb:back", backend, 51000 + turn)
        inner = Talk(wire, back, seed=10 + turn)
        outer.send(0, "PA", get(f"/api/{turn}"))
        started, decided = wire.wait(), wire.wait()
        inner.open().ask(get(f"/api/{turn}"))
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        event = w.request(started, decided, wire.wait(), front, back, target=f"/api/{turn}", backend=backend)
        wire.events.append({**event, "request": f"r{turn}"})
        outer.send(0, "A")
        inner.close()
    outer.close()
    return wire


def at_once() -> Wire:
    """Three requests on one client connection, sent one after another and answered together; the last ends first."""
    wire = Wire()
    wire.events += [w.TOPOLOGY, w.mode("l7"), w.rules("ct.state")]
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front, seed=1).open()
    started = []
    for turn in range(3):
        outer.send(0, "PA", get(f"/api/{turn}"))
        started.append(wire.wait())
    for turn in range(3):
        back = Link("lb:back", "api1", 51000 + turn)
        Talk(wire, back, seed=10 + turn).open().ask(get(f"/api/{turn}"))
        event = w.request(
            started[turn], started[turn] + 1, w.START + (20 - turn) * 10**9, front, back, target=f"/api/{turn}"
        )
        wire.events.append({**event, "request": f"r{turn}"})
    for _ in range(3):
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    return wire


def refused() -> Wire:
    """A request that the balancer answered by itself: there is no back connection."""
    wire = Wire()
    wire.events += [w.TOPOLOGY, w.mode("l7"), w.rules("ct.state")]
    front = Link("alice", "lb:front", 41000)
    outer = Talk(wire, front, seed=1).open()
    outer.send(0, "PA", get("/nowhere"))
    started = wire.wait()
    outer.send(1, "PA", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    wire.events.append(
        w.request(
            started, started + 1, wire.wait(), front, None, target="/nowhere", backend=None, rule=None, status=404
        )
    )
    outer.send(0, "A")
    outer.close()
    return wire


def datagrams() -> Wire:
    """A question and its answer over UDP through NAT, with another port behind."""
    wire = Wire()
    nat = Nat(dport=53, backend_port=5353)
    wire.events += [w.TOPOLOGY, w.mode("l4"), w.rules("ip.dst", "udp.dport")]
    wire.carry(nat.out(w.udp(b"\x12\x34question"), 100))
    wire.events.append(w.decision(wire.now - HOP, nat, read=("ip.dst", "udp.dport"), proto="UDP"))
    wire.carry(nat.back(w.udp(b"\x12\x34answer"), 200))
    return wire


BRIDGE, BRIDGES_ADDRESS = "02:42:a8:ad:9c:82", "fe80::42:a8ff:fead:9c82"


def telling_macs(runtime: str = "docker") -> dict[str, object]:
    """The topology event as a lab writes it, with the MAC addresses of all interfaces."""
    of = {"lb": ("lb:front", "lb:back")}
    nodes = [
        {**node, "macs": [w.MACS[place] for place in of.get(node["name"], (node["name"],))]}
        for node in w.TOPOLOGY["nodes"]
    ]
    return {**w.TOPOLOGY, "runtime": runtime, "nodes": nodes}


def beside_a_bridge(runtime: str = "docker", *, tells_macs: bool = True) -> Wire:
    """A request at L4, while the bridge of a container engine announces its groups: IGMP, MLD; and asks mDNS."""
    wire = w.l4_wire()
    wire.events[0] = telling_macs(runtime) if tells_macs else {**w.TOPOLOGY, "runtime": runtime}
    igmp = IP(src="0.0.0.0", dst="224.0.0.22", ttl=1, proto=2) / Raw(bytes.fromhex("2200f9010000000104000000e00000fb"))
    mld = IPv6(src=BRIDGES_ADDRESS, dst="ff02::16", hlim=1) / ICMPv6MLReport2()
    mdns = IPv6(src=BRIDGES_ADDRESS, dst="ff02::fb") / UDP(sport=5353, dport=5353) / Raw(b"?")
    for packet in (igmp, mld, mld, mdns):
        frame = Ether(bytes(Ether(src=BRIDGE, dst="33:33:00:00:00:16") / packet))
        wire.carry([("alice", frame), ("lb:front", frame)])
    return wire


def six() -> Wire:
    """A handshake over IPv6 through NAT."""
    wire = Wire()
    alice, vip, api1 = "fd00:10:0:1::11", "fd00:10:0:1::10", "fd00:10:0:2::11"
    lab = {**w.TOPOLOGY, "vip": [w.VIP, vip]}
    wire.events += [lab, w.mode("l4"), w.rules("ip6.dst", "tcp.dport")]

    def along(names: Sequence[str], frame: Packet) -> list[tuple[str, Packet]]:
        return [(name, frame) for name in names]

    def both(sender: int, **fields: object) -> None:
        layer = TCP(sport=(40000, 80)[sender], dport=(80, 40000)[sender], **fields)
        front, back = ((alice, vip), (alice, api1)) if sender == 0 else ((vip, alice), (api1, alice))
        near, far = w.frame6(*front, layer.copy()), w.frame6(*back, layer.copy(), hop_limit=63)
        if sender:
            near, far = w.frame6(*front, layer.copy(), hop_limit=63), w.frame6(*back, layer.copy())
        hops = [*along(("alice", "lb:front"), near), *along(("lb:back", "api1"), far)]
        wire.carry(hops[::-1] if sender else hops)

    both(0, flags="S", seq=1000)
    wire.events.append({**w.decision(wire.now - HOP, Nat()), "client": alice, "server": vip, "backend_address": api1})
    both(1, flags="SA", seq=9000, ack=1001)
    both(0, flags="A", seq=1001, ack=9001)
    return wire


def self_signed(folder: Path) -> str:
    """A PEM file with a new key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lb.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + certificate)
    return str(folder / "both.pem")


def tls_stream(certificate: str) -> list[tuple[int, bytes]]:
    """A real TLS 1.3 handshake and a request: (sender, bytes) in order, from OpenSSL. certificate: a PEM of both."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    ends = (
        client.wrap_bio(pipes[0], pipes[1], server_hostname="lb.example"),
        server.wrap_bio(pipes[2], pipes[3], server_side=True),
    )
    flights: list[tuple[int, bytes]] = []

    def move() -> None:
        for sender, source, target in ((0, 1, 2), (1, 3, 0)):
            data = pipes[source].read()
            if data:
                flights.append((sender, data))
                pipes[target].write(data)

    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        move()
    ends[0].write(get())
    move()
    ends[1].read()
    ends[1].write(b"HTTP/1.1 200 OK\r\n\r\n")
    move()
    return flights


def encrypted(certificate: str) -> Wire:
    """TLS passed through at L4."""
    wire, talk = opened()
    for sender, data in tls_stream(certificate):
        talk.send(sender, "PA", data)
    talk.close()
    return wire
