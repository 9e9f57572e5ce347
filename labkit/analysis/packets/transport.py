"""The TCP and UDP headers (RFC 9293 §3.1, RFC 768), and where the payload lies behind any IP header.

Packets are taken as `network` found them; later fragments and other protocols have no ports, and all that follows
their IP header is payload.
"""

from dataclasses import dataclass

import numpy as np

from .frames import MISSING, Bools, Frames, Ints, layout

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

TCP_HEADER = layout(
    18, sport=(0, ">u2"), dport=(2, ">u2"), seq=(4, ">u4"), ack=(8, ">u4"), bits=(12, ">u2"), window=(14, ">u2"),
    checksum=(16, ">u2"),
)  # fmt: skip
UDP_HEADER = layout(8, sport=(0, ">u2"), dport=(2, ">u2"), length=(4, ">u2"), checksum=(6, ">u2"))

_FIELDS = ("sport", "dport", "seq", "ack", "flags", "window", "checksum")


@dataclass(frozen=True)
class Transport:
    """payload: where it begins, -1 if the headers before it are missing or impossible. payload_length: as declared."""

    sport: Ints
    dport: Ints
    seq: Ints
    ack: Ints
    flags: Ints
    window: Ints
    checksum: Ints
    payload: Ints
    payload_length: Ints


def transport(frames: Frames, proto: Ints, l4: Ints, end: Ints, fragment: Ints) -> Transport:
    """Read on from *l4* where *proto* is TCP or UDP and the packet is whole or a first fragment."""
    columns = {name: np.full(len(frames), MISSING, dtype=np.int64) for name in _FIELDS}
    payload, end = l4.copy(), end.copy()
    for number, read in ((TCP, _tcp), (UDP, _udp)):
        mine = (proto == number) & (fragment == 0)
        rows: Ints | slice = slice(None) if mine.all() else np.flatnonzero(mine)
        if not isinstance(rows, slice) and not len(rows):
            continue
        found, begin, over = read(frames if isinstance(rows, slice) else frames.take(rows), l4[rows], end[rows])
        for name, values in found.items():
            columns[name][rows] = values
        payload[rows], end[rows] = begin, over
    length = _length(payload, end)
    return Transport(**columns, payload=np.where(length >= 0, payload, MISSING), payload_length=length)


def _length(payload: Ints, end: Ints) -> Ints:
    there: Bools = (payload >= 0) & (end >= payload)
    return np.where(there, np.minimum(end - payload, 0x7FFFFFFF), MISSING)


def _tcp(frames: Frames, l4: Ints, end: Ints) -> tuple[dict[str, Ints], Ints, Ints]:
    """The fields, where the payload begins (-1 for a header length that is missing or impossible), where it ends."""
    head = frames.header(l4, TCP_HEADER)
    first = head["bits"] >> 12
    short = head["bits"] < 0
    if short.any():
        first = np.where(short, frames.read(np.where(l4 >= 0, l4 + 12, MISSING), 1) >> 4, first)
    fields = {name: head[name] for name in _FIELDS if name != "flags"}
    fields["flags"] = np.where(short, MISSING, head["bits"] & 0x1FF)
    return fields, np.where((first >= 5) & (l4 >= 0), l4 + first * 4, MISSING), end


def _udp(frames: Frames, l4: Ints, end: Ints) -> tuple[dict[str, Ints], Ints, Ints]:
    """A datagram ends where it says, if that is possible, else where the IP packet does."""
    head = frames.header(l4, UDP_HEADER)
    length = head["length"]
    whole = (l4 >= 0) & (l4 + 8 <= frames.captured)
    over = np.where((length >= 8) & (l4 + length <= end), l4 + length, end)
    fields = {name: head[name] for name in ("sport", "dport", "checksum")}
    return fields, np.where(whole, l4 + 8, MISSING), over
