"""What address translation leaves alone, worked out from the bytes by the book, for frames at random."""

import random
from collections import defaultdict

import numpy as np
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labkit.analysis.connections.invariants import payload_digest, translation_constant
from labkit.analysis.packets.index import Index, build
from tests.analysis.packets.anyframe import HOSTS4, any_frame
from tests.analysis.packets.rewriting import ones, sums_are_right, translated
from tests.analysis.wire import MACS, Wire

E = Ether(src=MACS["alice"], dst=MACS["lb:front"])  # without them scapy asks the network for one
PLAIN4 = IP(src="10.0.1.11", dst="10.0.1.10")


def index_of(*frames: bytes) -> Index:
    wire = Wire(("alice",))
    for frame in frames:
        wire.wait()
        wire.see("alice", frame)
    return build(wire.recording())


def constants(*frames: bytes) -> list[int]:
    return translation_constant(index_of(*frames), np.arange(len(frames))).tolist()


def tcp_frame(dice: random.Random) -> bytes:
    """TCP in IPv4 without options, both checksums right."""
    layer = TCP(
        sport=dice.randrange(1, 1 << 16), dport=dice.randrange(1, 1 << 16), seq=dice.getrandbits(32), flags="PA",
        ack=dice.getrandbits(32), window=dice.getrandbits(16), options=dice.choice(([], [("MSS", 1460)])),
    )  # fmt: skip
    ip = IP(src=".".join(map(str, dice.choice(HOSTS4))), dst=".".join(map(str, dice.choice(HOSTS4))), ttl=64)
    return bytes(E / ip / layer / Raw(dice.randbytes(20)))


def with_port(frame: bytes, at: int, port: int) -> bytes:
    """Another port, and TCP's checksum updated for it (RFC 1624 §3, equation 3)."""
    out, old = bytearray(frame), int.from_bytes(frame[at : at + 2])
    out[at : at + 2] = port.to_bytes(2)
    checksum = int.from_bytes(frame[50:52])
    out[50:52] = (0xFFFF - (0xFFFF - checksum - old + port) % 0xFFFF).to_bytes(2)
    return bytes(out)


def test_translation_of_addresses_and_ports_keeps_the_constant() -> None:
    dice = random.Random(1624)
    for _ in range(200):
        before = tcp_frame(dice)
        after = translated(before, dice.choice(HOSTS4), dice.randbytes(4))
        for at in (34, 36):
            after = with_port(after, at, dice.randrange(1, 1 << 16))
        assert sums_are_right(before)
        assert sums_are_right(after)
        one, two = constants(before, after)
        assert one == two


def test_it_is_what_the_checksum_says_of_all_other_bytes() -> None:
    """RFC 9293 §3.1: all words of pseudo header and segment and the checksum add up to nothing."""
    dice = random.Random(1071)
    frames = [tcp_frame(dice) for _ in range(300)]
    rest = [frame[38:50] + frame[52:] + (6).to_bytes(2) + len(frame[34:]).to_bytes(2) for frame in frames]
    assert constants(*frames) == [-ones(data) % 0xFFFF for data in rest]


def test_another_byte_anywhere_else_is_another_constant() -> None:
    dice = random.Random(7)
    for _ in range(100):
        frame = bytearray(tcp_frame(dice))
        place = dice.choice([*range(38, 50), *range(54, len(frame))])
        frame[50:52] = b"\0\0"
        changed = bytearray(frame)
        changed[place] ^= 1 << dice.randrange(8)
        built = []
        for raw in (frame, changed):
            pseudo = bytes(raw[26:34]) + (6).to_bytes(2) + len(raw[34:]).to_bytes(2)
            raw[50:52] = (0xFFFF - ones(pseudo + bytes(raw[34:]))).to_bytes(2)
            built.append(bytes(raw))
        one, two = constants(*built)
        assert one != two


def test_a_checksum_left_to_the_card_is_another_constant_and_other_protocols_have_none() -> None:
    dice = random.Random(8)
    frame = tcp_frame(dice)
    offloaded = frame[:50] + (int.from_bytes(frame[50:52]) ^ 0x1234).to_bytes(2) + frame[52:]
    one, two = constants(frame, offloaded)
    assert one != two
    index = index_of(*(any_frame(dice) for _ in range(400)))
    found = translation_constant(index, np.arange(len(index)))
    others = (index.proto != 6) | (index.fragment > 0)
    assert others.any()
    assert not found[others].any()
    assert translation_constant(index, np.array([9, 3, 9])).tolist() == found[[9, 3, 9]].tolist()


def test_digests_are_equal_exactly_where_payloads_are() -> None:
    """Of TCP and UDP: whatever stands in the headers, here and in any order of rows."""
    dice = random.Random(64)
    payloads = [dice.randbytes(length) for length in (1, 2, 7, 8, 9, 64, 300)]
    payloads += [payloads[-1][:-1] + b"!", payloads[3][::-1]]
    frames, said = [], []
    for _ in range(200):
        payload = dice.choice(payloads)
        ports = {"sport": dice.randrange(9), "dport": dice.randrange(9)}
        segment = dice.choice((TCP(seq=dice.getrandbits(32), **ports), UDP(**ports))) / Raw(payload)
        frames.append(bytes(E / IP(src="10.0.1.11", dst=f"10.0.2.{dice.randrange(9)}") / segment))
        said.append(payload)
    rows = list(range(len(frames)))
    dice.shuffle(rows)
    found = payload_digest(index_of(*frames), np.array(rows)).tolist()
    groups: dict[bytes, set[int]] = defaultdict(set)
    for row, digest in zip(rows, found, strict=True):
        groups[said[row]].add(digest)
    assert all(len(digests) == 1 for digests in groups.values())
    assert len(set(found)) == len(groups)


def test_of_icmp_it_is_what_icmp_says_beside_others_of_other_protocols() -> None:
    """An echo whose identifier was translated is the same, one with other data is not; a TCP packet between them."""
    echoes = [
        bytes(E / PLAIN4 / ICMP(type=8, id=identifier, seq=seq) / Raw(data))
        for identifier, seq, data in ((1, 1, b"ping"), (2, 1, b"ping"), (1, 2, b"ping"), (1, 1, b"pong"))
    ]
    tcp = bytes(E / PLAIN4 / TCP() / Raw(b"ping"))
    one, between, translated_, later, other = payload_digest(
        index_of(echoes[0], tcp, *echoes[1:]), np.arange(5)
    ).tolist()
    assert one == translated_
    assert len({one, between, later, other}) == 4
