"""IP headers at random, made byte by byte (`anyframe`), against a reading of them one by one with the RFCs' words."""

import random
import struct
from dataclasses import fields
from ipaddress import ip_address

import numpy as np
import pytest

from labkit.analysis.packets.addresses import Addresses
from labkit.analysis.packets.frames import Frames, buffer_of
from labkit.analysis.packets.network import Network, ipv4, ipv6
from labkit.analysis.packets.transport import Transport, transport

from .anyframe import any_frame

FOLLOWED = (0, 43, 44, 60, 135, 139, 140)  # by a length in units of 8 bytes: RFC 8200 §4
Read = dict[str, int | str | None]


def packets(version: int, count: int) -> list[bytes]:
    """IP packets without link header, some cut off, some with a length that reaches further."""
    dice, found = random.Random(version), []
    while len(found) < count:
        frame = any_frame(dice)
        at = 14
        while frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
            at += 4
        if frame[at] >> 4 == version and frame[at - 2 : at] in (b"\x08\x00", b"\x86\xdd"):
            found.append(frame[at:])
    return found


def columns(read: object, raw: list[bytes]) -> tuple[list[Read], list[Read]]:
    starts = np.cumsum([0, *map(len, raw)])[:-1]
    frames = Frames(buffer_of(b"".join(raw)), starts, np.array([len(one) for one in raw]))
    addresses = Addresses()
    found: Network = read(frames, np.zeros(len(raw), dtype=np.int64), frames.captured, addresses)  # type: ignore[operator]
    above = transport(frames, found.proto, found.l4, found.end, found.fragment)

    def rows(values: Network | Transport) -> list[Read]:
        names = [field.name for field in fields(values)]
        each = zip(*(getattr(values, name).tolist() for name in names), strict=True)
        return [dict(zip(names, one, strict=True)) for one in each]

    lower = rows(found)
    for row in lower:
        for end in ("source", "target"):
            row[end] = addresses.names[int(str(row[end]))]
    return lower, rows(above)


def by_hand_4(raw: bytes) -> Read:
    first, _, total, ip_id, bits, ttl, proto, _, source, target = struct.unpack_from(">BBHHHBBH4s4s", raw)
    return {
        "proto": proto, "l4": (first & 15) * 4, "end": min(total, len(raw)), "fragment": bits & 0x1FFF, "ttl": ttl,
        "ip_id": ip_id, "source": str(ip_address(source)), "target": str(ip_address(target)),
    }  # fmt: skip


def by_hand_6(raw: bytes) -> Read:
    _, length, proto, ttl, source, target = struct.unpack_from(">IHBB16s16s", raw)
    at, fragment = 40, 0
    while proto in FOLLOWED and not fragment:
        if proto == 44:
            fragment = int.from_bytes(raw[at + 2 : at + 4]) >> 3
        proto, at = raw[at], at + (8 if proto == 44 else 8 + 8 * raw[at + 1])
    return {
        "proto": proto, "l4": at, "end": min(40 + length, len(raw)), "fragment": fragment, "ttl": ttl, "ip_id": -1,
        "source": str(ip_address(source)), "target": str(ip_address(target)),
    }  # fmt: skip


NAMES = ("sport", "dport", "seq", "ack", "flags", "window", "checksum", "payload")


def transport_by_hand(raw: bytes, ip: Read) -> Read:
    """RFC 9293 §3.1 and RFC 768; of anything else all is payload."""
    at, end = int(str(ip["l4"])), int(str(ip["end"]))
    found: Read = dict.fromkeys(NAMES, -1)
    found["payload"] = at
    if ip["fragment"] == 0 and ip["proto"] == 6:
        sport, dport, seq, ack, bits, window, checksum = struct.unpack_from(">HHIIHHH", raw, at)
        found = {"sport": sport, "dport": dport, "seq": seq, "ack": ack, "flags": bits & 0x1FF, "window": window,
                 "checksum": checksum, "payload": at + (bits >> 12) * 4}  # fmt: skip
    elif ip["fragment"] == 0 and ip["proto"] == 17:
        sport, dport, length, checksum = struct.unpack_from(">HHHH", raw, at)
        found |= {"sport": sport, "dport": dport, "checksum": checksum, "payload": at + 8}
        end = at + length
    return found | {"payload_length": end - int(str(found["payload"]))}


@pytest.mark.parametrize(("version", "read", "by_hand"), [(4, ipv4, by_hand_4), (6, ipv6, by_hand_6)])
def test_any_packet_is_read_as_the_rfcs_have_it(version: int, read: object, by_hand: object) -> None:
    raw = packets(version, 500)
    lower, upper = columns(read, raw)
    for one, found, above in zip(raw, lower, upper, strict=True):
        wanted: Read = by_hand(one)  # type: ignore[operator]
        assert found == wanted
        assert above == transport_by_hand(one, wanted)


@pytest.mark.parametrize(("version", "read"), [(4, ipv4), (6, ipv6)])
def test_a_packet_cut_anywhere_says_less_never_something_else(version: int, read: object) -> None:
    dice = random.Random(version)
    raw = [one for one in packets(version, 120) if len(one) < 400]
    whole_lower, whole_upper = columns(read, raw)
    cuts = [dice.randrange(20 if version == 4 else 40, len(one) + 1) for one in raw]
    lower, upper = columns(read, [one[:cut] for one, cut in zip(raw, cuts, strict=True)])
    for cut, before, after in zip(cuts, whole_lower, lower, strict=True):
        assert all(after[name] in (-1, before[name]) for name in after if name not in ("end", "proto", "fragment"))
        assert after["proto"] == before["proto"] or version == 6
        assert int(str(after["end"])) <= cut
    for before, after in zip(whole_upper, upper, strict=True):
        assert all(after[name] in (-1, before[name]) for name in ("sport", "dport", "seq", "ack", "flags", "checksum"))


@pytest.mark.parametrize(
    ("first", "total", "l4", "end"),
    [
        (0x45, 40, 20, 40),
        (0x46, 40, 24, 40),
        (0x45, 30, 20, 30),  # padded by the link
        (0x45, 0, 20, 40),  # cut up later by the network card
        (0x45, 2000, 20, 40),  # longer than what was on the wire
        (0x44, 40, -1, -1),  # an impossible header
        (0x40, 40, -1, -1),
    ],
)
def test_lengths_of_ipv4(first: int, total: int, l4: int, end: int) -> None:
    raw = struct.pack(">BBHHHBBH4s4s", first, 0, total, 1, 0, 64, 200, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + bytes(20)
    (found,), _ = columns(ipv4, [raw])
    assert (found["l4"], found["end"]) == (l4, end)
