"""The protocol hierarchy against tshark's, down to the transport."""

import re
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from labkit import Capture
from labkit.recording import Recording
from tests.analysis import ladders as made
from tests.analysis import wire as w

RECORDED = Path(__file__).parents[3] / "captures"
NAMES = {"eth": "Ethernet", "ip": "IPv4", "ipv6": "IPv6", "tcp": "TCP", "udp": "UDP", "icmp": "ICMP",
         "icmpv6": "ICMPv6", "arp": "ARP", "vlan": "VLAN"}  # fmt: skip


def everything() -> Recording:
    wire = w.Wire(("alice",))
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    layers: list[Packet] = [
        IP(dst="10.0.0.1") / UDP(sport=4000, dport=4001) / b"payload",
        Dot1Q(vlan=5) / IP(dst="10.0.0.1") / TCP(sport=4000, dport=4001),
        Dot1Q(vlan=5) / IPv6(dst="fd00::1") / UDP(sport=4000, dport=4001) / b"x",
        ARP(pdst="10.0.0.1"),
        IP(dst="10.0.0.1") / ICMP() / b"ping",
    ]
    for layer in layers:
        wire.see("alice", ether / layer, at=wire.wait())
    return wire.recording()


def tshark(path: Path) -> dict[str, tuple[int, int]]:
    """path -> (frames, bytes), as far as its names are ours."""
    done = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-q", "-z", "io,phs"], capture_output=True, text=True, check=True
    )
    found, stack = {}, [""]
    for line in done.stdout.splitlines():
        row = re.match(r"^( *)(\S+) +frames:(\d+) bytes:(\d+)$", line)
        if row:
            stack = [*stack[: len(row[1]) // 2 + 1], row[2]]
            if all(name in NAMES for name in stack[1:]):
                found["/".join(NAMES[name] for name in stack[1:])] = (int(row[3]), int(row[4]))
    return found


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", ["l4", "l7", "everything", "ipv6"])
def test_the_same_as_tshark(tmp_path: Path, name: str) -> None:
    if name in ("l4", "l7"):
        path = RECORDED / f"{name}.pcapng"
    else:
        recording = everything() if name == "everything" else made.six().recording()
        path = Path(Capture(recording).save(tmp_path / "some.pcapng"))
    frame = Capture.load(path).protocols()
    ours = {row.path: (row.frames, row.bytes) for row in frame.itertuples() if row.protocol not in ("HTTP", "TLS")}
    theirs = tshark(path)
    assert len(theirs) > 2
    assert ours == theirs


def test_what_lies_inside_is_named_where_its_first_bytes_say_so(tmp_path: Path) -> None:
    plain = Capture(w.l4_wire().recording()).protocols(at="alice")
    assert plain.set_index("protocol")["frames"].to_dict() == {"Ethernet": 10, "IPv4": 10, "TCP": 10, "HTTP": 2}
    assert plain["depth"].tolist() == [0, 1, 2, 3]
    assert plain["share"].tolist() == [1.0, 1.0, 1.0, 0.2]
    hidden = Capture(made.encrypted(made.self_signed(tmp_path)).recording()).protocols()
    assert hidden["path"].iloc[-1] == "Ethernet/IPv4/TCP/TLS"


def test_a_later_fragment_is_ip_and_no_more() -> None:
    wire = w.Wire(("alice",))
    for offset in (0, 4):
        wire.see(
            "alice",
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / IP(dst="10.0.0.1", flags="MF" if not offset else 0, frag=offset, proto=17)
            / (b"x" * 32),
        )
    frame = Capture(wire.recording()).protocols()
    assert frame.set_index("path")["frames"].to_dict() == {"Ethernet": 2, "Ethernet/IPv4": 2, "Ethernet/IPv4/UDP": 1}


def test_nothing_at_all() -> None:
    assert len(Capture(w.Wire().recording()).protocols()) == 0
