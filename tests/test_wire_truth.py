"""L4 and L7 on the wire, judged without labkit's analysis: scapy reads the file, packets pair by their IP ID.

The packets of a direction are put in order of the ID that their sender gave them, and the n-th at one vantage point is
held against the n-th at the next, byte for byte, the ID among them. Not in order of time: on the way one bare ACK may
overtake another. labkit's own trajectories find packets by much more; here nothing else about the contents is assumed.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import PcapNgReader

from labkit import Lab

TOWARDS, BACK = "towards the backend", "back to the client"
# First and last byte of what NAT and routing may rewrite, in an Ethernet frame with an IPv4 header of 20 bytes.
FIELDS = {
    "eth.dst": (0, 5),
    "eth.src": (6, 11),
    "ip.ttl": (22, 22),
    "ip.checksum": (24, 25),
    "ip.src": (26, 29),
    "ip.dst": (30, 33),
    "tcp.checksum": (50, 51),
}
ROUTED = {"eth.dst", "eth.src", "ip.ttl", "ip.checksum", "tcp.checksum"}

type Wire = dict[str, dict[str, list[Packet]]]
"""vantage point -> direction -> its TCP packets in order of time"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def on_the_wire(path: Path) -> Wire:
    """The TCP packets of a capture file, as scapy reads them."""
    wire: Wire = defaultdict(lambda: {TOWARDS: [], BACK: []})
    with PcapNgReader(str(path)) as packets:
        for packet in sorted((packet for packet in packets if TCP in packet), key=lambda packet: packet.time):
            assert (packet[IP].version, packet[IP].ihl) == (4, 5)
            wire[packet.sniffed_on][TOWARDS if packet[TCP].dport == 80 else BACK].append(packet)
    return wire


def differing(one: Packet, other: Packet) -> set[str]:
    """The fields in which two frames differ; a byte that no known field holds is named by its number."""
    first, second = one.original, other.original
    assert len(first) == len(second)
    changed = [at for at in range(len(first)) if first[at] != second[at]]
    return {next((name for name, (a, z) in FIELDS.items() if a <= at <= z), f"byte {at}") for at in changed}


def sums(packet: Packet) -> tuple[int, int]:
    """The checksums as numbers; 0xffff, which Linux may send, is also a 0 (one's complement, RFC 1624 §3)."""
    return packet[IP].chksum % 0xFFFF, packet[TCP].chksum % 0xFFFF


def computed_sums(packet: Packet) -> tuple[int, int]:
    """The checksums as scapy computes them from the rest of the frame."""
    blank = Ether(packet.original)
    del blank[IP].chksum, blank[TCP].chksum
    return sums(Ether(bytes(blank)))


def carried(packet: Packet) -> dict[str, object]:
    """What a forwarding balancer has no business to touch."""
    tcp = packet[TCP]
    names = ("seq", "ack", "flags", "window", "urgptr", "options", "sport", "dport")
    fields = {name: getattr(tcp, name) for name in names}
    return fields | {"ip.id": packet[IP].id, "payload": bytes(tcp.payload)}


def by_id(packets: list[Packet]) -> list[Packet]:
    """In order of IP ID, which is one count a direction; those with one ID (0: the kernel counts none) by time."""
    return sorted(packets, key=lambda packet: packet[IP].id)


def stream(packets: list[Packet]) -> bytes:
    """What was sent, in order of sequence number; the first of *packets* opens the connection."""
    start = packets[0][TCP].seq
    ordered = sorted(packets, key=lambda packet: (packet[TCP].seq - start) % 2**32)
    return b"".join(bytes(packet[TCP].payload) for packet in ordered)


def closed(port: int) -> bool:
    """Inside a client: wait until the other side has closed the connection from *port* too, 5 seconds at most."""
    waiting = {
        f"{state:02X}" for state in (1, 4, 5)
    }  # established, FIN-WAIT-1, FIN-WAIT-2: see the kernel's tcp_states.h
    for _ in range(500):
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if not any(line[1].endswith(f":{port:04X}") and line[3] in waiting for line in lines):
            return True
        time.sleep(0.01)
    return False


REQUESTS = {
    "short": (b"", "/api/users"),
    "segments both ways": (random.Random(5).randbytes(9_000), "/bytes/20000"),
}


@pytest.mark.needs("netns")
@pytest.mark.parametrize("kind", REQUESTS)
def test_l4_passes_every_byte_on_but_the_addresses_and_what_follows_from_them(
    lab: Lab, tmp_path: Path, kind: str
) -> None:
    body, path = REQUESTS[kind]
    lab.balancer.l4()
    with lab.capture() as cap:
        reply = lab.alice.post(f"http://lb{path}", body=body)
        assert lab.alice.call(closed, reply.local[1])
    wire = on_the_wire(cap.save(tmp_path / "l4.pcapng"))
    backend = lab.topology.node(reply.backend)
    way = ("alice", "lb:front", "lb:back", backend.name)
    assert wire.keys() == set(way)  # nobody else saw a TCP packet

    for direction, rewritten in ((TOWARDS, "ip.dst"), (BACK, "ip.src")):
        seen = [by_id(wire[vantage][direction]) for vantage in way]
        assert len({len(packets) for packets in seen}) == 1
        for at_alice, at_front, at_back, at_backend in zip(*seen, strict=True):
            same = carried(at_alice)
            assert same == carried(at_front) == carried(at_back) == carried(at_backend)
            assert differing(at_alice, at_front) == set()
            assert differing(at_front, at_back) == ROUTED | {rewritten}
            assert differing(at_back, at_backend) == set()
            for packet in (at_alice, at_front, at_back, at_backend):
                assert sums(packet) == computed_sums(packet)
                assert len(packet.original) <= 1514  # whole segments, none glued together
            lower = 1 if direction == TOWARDS else -1
            assert at_front[IP].ttl - at_back[IP].ttl == lower
            front, back = ((packet[IP].src, packet[IP].dst) for packet in (at_front, at_back))
            client, server, vip = lab.alice.address, backend.address, lab.vip
            wanted = [(client, vip), (client, server)] if direction == TOWARDS else [(vip, client), (server, client)]
            assert [front, back] == wanted

    asked, answered = wire["alice"][TOWARDS], wire["alice"][BACK]
    assert (asked[0][TCP].flags, answered[0][TCP].flags) == ("S", "SA")
    assert {(packet[TCP].sport, packet[TCP].dport) for packet in asked} == {(reply.local[1], 80)}
    assert stream(asked).startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert stream(asked).endswith(b"\r\n\r\n" + body)
    assert stream(answered).endswith(reply.content)
    assert any("F" in packet[TCP].flags for packet in asked)
    assert any("F" in packet[TCP].flags for packet in answered)


@pytest.mark.needs("netns")
def test_l7_is_two_connections_that_share_nothing_but_what_the_proxy_copied(lab: Lab, tmp_path: Path) -> None:
    lab.balancer.l7()
    with lab.capture() as cap:
        replies = [lab.alice.get(f"http://lb/api/users?n={number}") for number in range(4)]
    lab.balancer.l4()
    wire = on_the_wire(cap.save(tmp_path / "l7.pcapng"))
    assert [reply.backend for reply in replies].count("api1") == 2
    assert wire.keys() == {"alice", "lb:front", "lb:back", "api1", "api2"}
    records = {record.target: record for record in cap.exchanges().itertuples()}
    assert len(records) == 4
    own = str(lab.topology.balancer.interface(lab.topology.back.name).address4.ip)
    assert own != lab.vip

    offsets: set[int] = set()
    ports: list[tuple[int, int]] = []
    for number, reply in enumerate(replies):
        record = records[f"/api/users?n={number}"]
        front, back = (port(address) for address in (record.front, record.back))
        assert record.front == f"{lab.alice.address}:{reply.local[1]}"
        assert record.back == f"{own}:{back}"
        ports.append((front, back))
        sides = [one_connection(wire[vantage], front) for vantage in ("alice", "lb:front")]
        behind = [one_connection(wire[vantage], back) for vantage in ("lb:back", reply.backend)]
        # Along one link nothing changes at all; across the balancer no packet is the same.
        for near, far in (sides, behind):
            for direction in (TOWARDS, BACK):
                one, other = by_id(near[direction]), by_id(far[direction])
                assert [packet.original for packet in one] == [packet.original for packet in other]
        for direction in (TOWARDS, BACK):
            across = [{bytes(packet[TCP]) for packet in each[1][direction]} for each in (sides, behind)]
            assert not across[0] & across[1]
            offsets.add((behind[0][direction][0][TCP].seq - sides[0][direction][0][TCP].seq) % 2**32)
        assert ends(sides[0]) == {(lab.alice.address, lab.vip)}
        assert ends(behind[0]) == {(own, lab.topology.node(reply.backend).address)}
        line = f"GET {record.target} HTTP/1.1\r\n".encode()
        for each in (*sides, *behind):
            assert stream(each[TOWARDS]).startswith(line)
            assert stream(each[BACK]).endswith(reply.content)
    # The proxy chose ports of its own: a pair may be equal by chance, never two.
    assert sum(front == back for front, back in ports) <= 1
    # Unrelated: the initial numbers of a front and its back connection differ, every time by something else.
    assert len(offsets) == 8
    assert 0 not in offsets


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def one_connection(seen: dict[str, list[Packet]], client_port: int) -> dict[str, list[Packet]]:
    """The packets of the connection that *client_port* opened; it begins with its handshake."""
    found = {
        TOWARDS: [packet for packet in seen[TOWARDS] if packet[TCP].sport == client_port],
        BACK: [packet for packet in seen[BACK] if packet[TCP].dport == client_port],
    }
    assert [found[direction][0][TCP].flags for direction in (TOWARDS, BACK)] == ["S", "SA"]
    return found


def ends(connection: dict[str, list[Packet]]) -> set[tuple[str, str]]:
    """(client, server) of its packets."""
    towards = {(packet[IP].src, packet[IP].dst) for packet in connection[TOWARDS]}
    return towards | {(packet[IP].dst, packet[IP].src) for packet in connection[BACK]}


def test_the_comparison_misses_no_byte() -> None:
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src="10.0.1.11", dst="10.0.1.10")
        / TCP(dport=80)
        / b"hello"
    )
    found = []
    for at in range(len(frame)):
        other = bytearray(frame)
        other[at] ^= 1
        found += differing(Ether(frame), Ether(bytes(other)))
    assert len(found) == len(frame) == 59
    assert {name: found.count(name) for name in FIELDS} == {
        name: last - first + 1 for name, (first, last) in FIELDS.items()
    }
    assert len({name for name in found if name.startswith("byte ")}) == 59 - 25
