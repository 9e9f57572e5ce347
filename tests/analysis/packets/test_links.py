"""Link headers written by hand: what follows them, and where; never anything of a packet that was cut before it."""

import random
import struct

import numpy as np
import pytest

from labkit.analysis.packets.frames import Frames, buffer_of
from labkit.analysis.packets.links import LINK_HEADERS, after_link

ETHERNET, COOKED, COOKED2, RAW, RAW4, RAW6 = 1, 113, 276, 101, 228, 229
MACS = bytes.fromhex("020000000001020000000002")
SLL = struct.pack(">HHH8s", 0, 1, 6, MACS[:8])  # LINKTYPE_LINUX_SLL, then the protocol
SLL2 = struct.pack(">HIHBB8s", 0, 3, 1, 0, 6, MACS[:8])  # LINKTYPE_LINUX_SLL2, behind the protocol
IPV4, IPV6, ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
OUTER, INNER = b"\x88\xa8\x00\x05", b"\x81\x00\x00\x06"


def read(link_type: int, *frames: bytes) -> list[tuple[int, int]]:
    starts = np.cumsum([0, *map(len, frames)])[:-1]
    held = Frames(buffer_of(b"".join(frames)), starts, np.array([len(frame) for frame in frames]))
    return list(zip(*(column.tolist() for column in after_link(held, link_type)), strict=True))


@pytest.mark.parametrize(
    ("link_type", "head", "found"),
    [
        (ETHERNET, MACS + IPV4, (0x0800, 14)),
        (ETHERNET, MACS + IPV6, (0x86DD, 14)),
        (ETHERNET, MACS + INNER + IPV4, (0x0800, 18)),
        (ETHERNET, MACS + OUTER + INNER + ARP, (0x0806, 22)),
        (ETHERNET, MACS + INNER + INNER + IPV4, (0x0800, 22)),
        (ETHERNET, MACS + OUTER + INNER + INNER + IPV4, (0x8100, 22)),  # a third tag is none of ours
        (ETHERNET, MACS + b"\x00\x26", (0x26, 14)),  # a length: IEEE 802.3
        (COOKED, SLL + IPV6, (0x86DD, 16)),
        (COOKED, SLL + INNER + IPV4, (0x0800, 20)),
        (COOKED2, IPV4 + SLL2, (0x0800, 20)),
        (RAW, b"", (0, 0)),
        (RAW4, b"", (0, 0)),
        (RAW6, b"", (0, 0)),
        (105, MACS + IPV4, (-1, -1)),  # IEEE 802.11: not read
    ],
)
def test_what_follows_and_where(link_type: int, head: bytes, found: tuple[int, int]) -> None:
    assert read(link_type, head + b"\x45rest of it") == [found]


@pytest.mark.parametrize("link_type", LINK_HEADERS)
def test_random_tags_and_cuts(link_type: int) -> None:
    """Every prefix of a header says less than the whole, never something else; and packets do not mix."""
    dice, frames, wanted = random.Random(link_type), [], []
    length, place = LINK_HEADERS[link_type]
    for _ in range(200):
        tags = dice.choice(([], [0x8100], [0x88A8, 0x8100])) if place is not None and link_type != COOKED2 else []
        kinds = [*tags, dice.choice((0x0800, 0x86DD, 0x0806))]
        head = bytearray(dice.randbytes(length))
        if place is not None:
            head[place : place + 2] = kinds[0].to_bytes(2)
        head += b"".join(dice.randbytes(2) + kind.to_bytes(2) for kind in kinds[1:])
        cut = dice.randrange(len(head) + 4)
        frames.append((bytes(head) + b"body")[:cut])
        whole = place is None or cut >= (place + 2 if not tags else len(head))
        wanted.append((0 if place is None else kinds[-1], len(head)) if whole else (-1, -1))
    assert read(link_type, *frames) == wanted


def test_no_packets() -> None:
    assert read(ETHERNET) == []
