"""The shape that most packets have, TCP over IPv4 without options on untagged Ethernet, read in one go.

It says the same as reading header by header (`links`, `network`, `transport`), only faster: every field has a fixed
place. Which packets have this shape is read from their bytes; for all others what is given here means nothing.
"""

from collections.abc import Mapping

import numpy as np

from .addresses import Addresses
from .frames import Bools, Frames, Ints, layout
from .transport import TCP

ETHERNET = 1
_L3, _L4 = 14, 34
_SHAPE = layout(
    52, ethertype=(12, ">u2"), first=(14, "u1"), total=(16, ">u2"), ip_id=(18, ">u2"), bits=(20, ">u2"), ttl=(22, "u1"),
    proto=(23, "u1"), source=(26, ">u4"), target=(30, ">u4"), sport=(34, ">u2"), dport=(36, ">u2"), seq=(38, ">u4"),
    ack=(42, ">u4"), offset=(46, ">u2"), window=(48, ">u2"), checksum=(50, ">u2"),
)  # fmt: skip
_OFFSET = 0x1FFF  # of a fragment
_AS_THEY_ARE = ("ip_id", "ttl", "sport", "dport", "seq", "ack", "window", "checksum")


def read(
    frames: Frames, original: Ints, addresses: Addresses, ethernet: Bools
) -> tuple[Bools, Mapping[str, Ints | int]]:
    """Which packets have the shape, and the columns of those. ethernet: which may have it, by their link."""
    fields = frames.whole(_SHAPE)
    total, words = fields["total"], fields["offset"] >> 12
    alike: Bools = ethernet & (frames.captured >= 52) & (fields["ethertype"] == 0x0800) & (fields["first"] == 0x45)
    alike &= (fields["proto"] == TCP) & (fields["bits"] & _OFFSET == 0) & (words >= 5) & (total != 0)
    payload = _L4 + words * 4
    end = np.minimum(total + _L3, original)
    length = end - payload
    alike &= (length >= 0) & (end >= _L4)
    columns: dict[str, Ints | int] = {name: fields[name] for name in _AS_THEY_ARE}
    numbers = (addresses.four(np.where(alike, fields[name], -1)) for name in ("source", "target"))
    columns["source"], columns["target"] = numbers
    columns |= {"l3": _L3, "l4": _L4, "version": 4, "proto": TCP, "fragment": 0}
    columns |= {"flags": fields["offset"] & 0x1FF, "payload": payload, "payload_length": length}
    return alike, columns
