"""The common shape read in one go, against reading header by header; and which packets have it, by their bytes."""

import random

import numpy as np

from labkit.analysis.packets import common
from labkit.analysis.packets.addresses import Addresses
from labkit.analysis.packets.frames import Frames, buffer_of
from labkit.analysis.packets.index import HELD
from labkit.analysis.packets.links import after_link
from labkit.analysis.packets.network import ipv4
from labkit.analysis.packets.transport import transport

from .anyframe import any_frame


def frames_of(raw: list[bytes]) -> Frames:
    starts = np.cumsum([0, *map(len, raw)])[:-1]
    return Frames(buffer_of(b"".join(raw)), starts, np.array([len(one) for one in raw]))


def has_the_shape(raw: bytes) -> bool:
    """Untagged, IPv4 with 20 bytes of header, no later fragment, TCP whose header the packet has room for."""
    if len(raw) < 52 or raw[12:15] != b"\x08\x00\x45" or raw[23] != 6 or int.from_bytes(raw[20:22]) & 0x1FFF:
        return False
    total, header = int.from_bytes(raw[16:18]), (raw[46] >> 4) * 4
    return total >= 20 and header >= 20 and min(14 + total, len(raw)) >= 34 + header


def test_it_says_what_reading_header_by_header_says() -> None:
    dice = random.Random(52)
    raw = []
    for _ in range(3000):
        frame = bytearray(any_frame(dice))
        if dice.random() < 0.2:  # damage to the bytes that decide
            frame[dice.choice((12, 13, 14, 16, 17, 20, 21, 23, 46)) % len(frame)] = dice.getrandbits(8)
        raw.append(bytes(frame[: dice.choice((None, None, None, dice.randrange(len(frame) + 1)))]))
    ethernet = np.array([dice.random() < 0.9 for _ in raw])
    frames, quick, slow = frames_of(raw), Addresses(), Addresses()
    columns = {name: np.zeros(len(raw), dtype=kind) for name, kind in HELD.items()}
    alike = common.read(frames, frames.captured, quick, ethernet, columns)
    wanted = [link and has_the_shape(one) for one, link in zip(raw, ethernet.tolist(), strict=True)]
    assert alike.tolist() == wanted
    assert 100 < sum(wanted) < len(raw) - 100
    rows = np.flatnonzero(alike)
    some = frames.take(rows)
    ethertype, l3 = after_link(some, common.ETHERNET)
    assert set(ethertype.tolist()) == {0x0800}
    ip = ipv4(some, l3, some.captured, slow)
    by_header = {"l3": l3, "version": np.full(len(rows), 4), **vars(ip),
                 **vars(transport(some, ip.proto, ip.l4, ip.end, ip.fragment))}  # fmt: skip
    assert set(columns) == set(by_header) - {"end"}
    for name, values in columns.items():
        found = values[rows]
        if name in ("source", "target"):
            assert [quick.names[n] for n in found] == [slow.names[n] for n in by_header[name]]
        else:
            assert found.tolist() == by_header[name].tolist(), name


def test_of_short_and_no_packets_nothing() -> None:
    for raw in ([], [b""], [b"short"] * 3):
        frames = frames_of(raw)
        columns = {name: np.zeros(len(raw), dtype=kind) for name, kind in HELD.items()}
        alike = common.read(frames, frames.captured, Addresses(), np.ones(len(raw), dtype=bool), columns)
        assert alike.tolist() == [False] * len(raw)
