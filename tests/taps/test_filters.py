"""Filters: the kernel lets through what tcpdump lets through, names are the lab's, refusals say where."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from labkit import Lab
from labkit.errors import CaptureError
from labkit.taps.filters import LONGEST, compile_filter
from labkit.taps.ring import Ring
from tests.recording import foreign
from tests.taps.namespace import in_namespace
from tests.taps.test_ring import drain, frames

HOSTS = {"alice": ["10.0.1.11", "fd00:10:0:1::11"], "lb": ["10.0.1.10", "10.0.2.10"]}
EXPRESSIONS = (
    "tcp port 80", "not tcp port 80", "udp", "port 53 or port 7", "src host 10.0.1.11", "dst net 10.0.2.0/24 and tcp",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] == tcp-syn", "portrange 50-90", "icmp",
    "icmp[icmptype] == 8",
    "ip6", "ip6 host fd00:10:0:1::11", "arp", "ether host 02:00:00:00:00:01",
    "ether broadcast", "less 60", "greater 100",
    "len > 60 and len < 200", "ip[8] < 64", "ip proto 17", "ip proto \\udp",
    "tcp src port 80 && !(dst host 10.0.1.12)",
    "ip[6:2] & 0x3fff != 0", "(udp or icmp) and net 10", "ether proto 0x0800", "tcp portrange 1-1023",
)  # fmt: skip


def sample() -> list[bytes]:
    """Frames of many kinds, crafted with scapy."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    made: list[Packet] = [ether / ARP(pdst="10.0.1.10"), Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="10.0.1.12")]
    ends = (
        ("10.0.1.11", "10.0.1.10"),
        ("10.0.1.10", "10.0.1.12"),
        ("10.0.1.12", "10.0.2.11"),
        ("192.0.2.1", "10.0.2.1"),
    )
    for number, (source, target) in enumerate(ends):
        ip = IP(src=source, dst=target, ttl=63 + number % 2)
        for port in (7, 53, 80, 8080):
            made += [ether / ip / TCP(sport=port, dport=40000, flags=flags) for flags in ("S", "SA", "PA", "FA", "R")]
            made += [ether / ip / UDP(sport=40000, dport=port) / Raw(b"x" * size) for size in (0, 40, 300)]
        made += [ether / ip / ICMP(type=kind) for kind in (0, 8)]
        made.append(ether / IP(src=source, dst=target, flags="MF") / UDP(dport=80) / Raw(b"first piece"))
        made.append(ether / IP(src=source, dst=target, frag=3, proto=6) / Raw(b"a later piece of a datagram"))
        made.append(ether / IP(src=source, dst=target, options=b"\x01" * 8) / TCP(dport=80, flags="S"))
    for layer in (TCP(dport=80, flags="S"), UDP(dport=53), Raw(b"no ports")):
        made.append(ether / IPv6(src="fd00:10:0:1::11", dst="fd00:10:0:1::10") / layer)
    return [bytes(frame) for frame in made]


def _let_through(expressions: tuple[str, ...], frames_: list[bytes]) -> list[list[bytes]]:
    """For each expression the frames that come through a ring with that filter, on a real interface."""
    rings = [Ring("lo", filter=compile_filter(expression).program) for expression in expressions]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("lo", 0))
        for frame in frames_:
            sender.send(frame)
    found = [frames(drain(ring)) for ring in rings]
    for ring in rings:
        ring.close()
    return found


@pytest.mark.needs("tcpdump")
def test_the_kernel_lets_through_what_tcpdump_does(tmp_path: Path) -> None:
    sent = sample()
    (tmp_path / "all.pcap").write_bytes(foreign.classic("<", [(1, n, frame) for n, frame in enumerate(sent)]))
    found = in_namespace(_let_through, EXPRESSIONS, sent)
    for expression, through in zip(EXPRESSIONS, found, strict=True):
        command = [shutil.which("tcpdump") or "", "-r", str(tmp_path / "all.pcap"), "-w", str(tmp_path / "some.pcap")]
        subprocess.run([*command, expression], check=True, capture_output=True)
        expected = foreign.records(tmp_path / "some.pcap")
        assert 0 < len(expected) < len(sent), f"{expression!r} tells nothing apart"
        assert through == [frame for frame in expected for _ in range(2)], expression  # out, and in again


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("host alice", "host 10.0.1.11 or host fd00:10:0:1::11"),
        ("alice", "host 10.0.1.11 or host fd00:10:0:1::11"),
        ("ip host alice", "ip host 10.0.1.11"),
        ("src host alice and tcp port http", "(src host 10.0.1.11 or src host fd00:10:0:1::11) and tcp port 80"),
        ("dst lb", "dst host 10.0.1.10 or dst host 10.0.2.10"),
        ("ip proto tcp", "ip proto 6"),
    ],
)
def test_names_stand_for_addresses(expression: str, same: str) -> None:
    assert compile_filter(expression, HOSTS).text == expression
    one, other = ([compile_filter(text, HOSTS).program] for text in (expression, same))
    (through, expected) = in_namespace(_through_programs, one[0], other[0], sample())
    assert through == expected
    assert 0 < len(through) < 2 * len(sample())


def _through_programs(one: bytes, other: bytes, frames_: list[bytes]) -> list[list[bytes]]:
    rings = [Ring("lo", filter=program) for program in (one, other)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("lo", 0))
        for frame in frames_:
            sender.send(frame)
    return [frames(drain(ring)) for ring in rings]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("tcp prot 80", "'prot' (character 5): no such word, and no node (did you mean 'proto'?)"),
        ("tcp port", "'port' (character 5): something is missing after it"),
        ("tcp[0] =", "'=' (character 8): something is missing after it"),
        ("port 99999", "'99999' (character 6): illegal port number"),
        ("tcp and and udp", "'and' (character 9)"),
        ("( tcp", "'tcp' (character 3): something is missing after it"),
        ("host alice port 80 tcp udp", "'port' (character 12): it makes no sense there"),
        ("tcp)", "')' (character 4)"),
        ("net 10.0.0.1/8", "'10.0.0.1/8' (character 5): non-network bits set"),
        ("host alcie", "'alcie' (character 6): no such word, and no node (did you mean 'alice'?)"),
        ("host evil.example", "'evil.example' (character 6): no such word"),
        ("host http", "'http' (character 6): no such word"),
        ("host 1.2.3.4.5", "'1.2.3.4.5' (character 6)"),
        ("vlan 3 and tcp", "'vlan' (character 1): the kernel keeps VLAN tags beside the frame"),
        ("tcp\x00", "'\\x00' (character 4)"),
        ("port ü", "'ü' (character 6)"),
        ("  ", "is empty. Leave it out"),
        ("x" * (LONGEST + 1), "4001 characters"),
        (80, "is a text, not 80"),
    ],
)
def test_refusals_say_where_and_what_to_do(expression: object, says: str) -> None:
    with pytest.raises(CaptureError) as caught:
        compile_filter(expression, HOSTS)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_names_are_never_looked_up_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a name server was asked")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    for expression in ("host www.example.com", "net example", "ether host foo", "src bar and tcp"):
        with pytest.raises(CaptureError, match="no such word, and no node"):
            compile_filter(expression)


def test_in_a_lab_nothing_else_is_recorded_and_the_file_says_why(tmp_path: Path) -> None:
    lab = Lab()
    with pytest.raises(CaptureError, match="'prot'"):
        lab.capture(filter="tcp prot 80")
    with lab:
        with lab.capture("alice", "lb:front", filter="udp port 7 and host alice") as cap:
            lab.alice.get("http://lb/api/x")
            with lab.alice.udp("lb", 7) as conn:
                conn.send(b"hello")
                conn.recv()
        path = cap.save(tmp_path / "a.pcapng")
    packets = cap.packets()
    assert set(packets["proto"]) == {"UDP"}
    assert packets["vantage"].tolist().count("alice") == 2
    assert "captured only: udp port 7 and host alice" in repr(cap)
    assert repr(type(cap).load(path)).splitlines() == repr(cap).splitlines()
    assert cap.recording.lacks == ()
