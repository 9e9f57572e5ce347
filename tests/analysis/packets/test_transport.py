"""Lengths that TCP and UDP declare, possible and not. All their fields, at random: `test_network`."""

import struct

import pytest

from labkit.analysis.packets.network import ipv4

from .test_network import columns

HEAD = (0x45, 0, 40, 1, 0, 64)


def read(proto: int, segment: bytes) -> dict[str, object]:
    raw = struct.pack(">BBHHHBBH4s4s", *HEAD, proto, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + segment
    _, (found,) = columns(ipv4, [raw])
    return dict(found)


@pytest.mark.parametrize(
    ("words", "payload", "length"),
    [(5, 40, 0), (0, -1, -1), (4, -1, -1), (6, -1, -1), (15, -1, -1)],  # the IP packet ends at 40
)
def test_lengths_of_tcp(words: int, payload: int, length: int) -> None:
    found = read(6, struct.pack(">HHIIHHHH", 1, 2, 3, 4, words << 12 | 0x18, 5, 6, 7))
    assert (found["payload"], found["payload_length"]) == (payload, length)
    assert (found["sport"], found["seq"], found["flags"], found["window"]) == (1, 3, 0x18, 5)


@pytest.mark.parametrize(
    ("declared", "length"),
    [(8, 0), (20, 12), (0, 12), (7, 12), (2000, 12)],  # of what is impossible, the IP packet's end counts
)
def test_lengths_of_udp(declared: int, length: int) -> None:
    found = read(17, struct.pack(">HHHH", 1, 2, declared, 0) + bytes(12))
    assert (found["payload"], found["payload_length"]) == (28, length)
