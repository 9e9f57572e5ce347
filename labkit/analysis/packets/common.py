"""The shape that most packets have, TCP over IPv4 without options on untagged Ethernet, read in one go.

It says the same as reading header by header (`links`, `network`, `transport`), only faster: every field has a fixed
place. Which packets have this shape is read from their bytes; for all others what is given here means nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .addresses import Addresses
from .frames import Bools, Frames, Ints, layout
from .transport import TCP

ETHERNET = 1
_L3, _L4, _SIZE = 14, 34, 52
_SHAPE = layout(
    _SIZE, begins=(12, "<u4"), total=(16, ">u2"), ip_id=(18, ">u2"), inside=(20, "<u4"), ttl=(22, "u1"),
    ends=(26, "<u8"), sport=(34, ">u2"), dport=(36, ">u2"), seq=(38, ">u4"), ack=(42, ">u4"), offset=(46, ">u2"),
    window=(48, ">u2"), checksum=(50, ">u2"),
)  # fmt: skip
_BEGINS = np.uint32(0xFFFFFF), np.uint32(0x450008)  # ethertype 0x0800, version 4, 20 bytes of header
_INSIDE = np.uint32(0xFF00FF1F), np.uint32(TCP << 24)  # fragment offset 0, TCP
_AS_THEY_ARE = ("ip_id", "ttl", "sport", "dport", "seq", "ack", "window", "checksum")
_ALWAYS = {"l3": _L3, "l4": _L4, "version": 4, "proto": TCP, "fragment": 0}


def read(
    frames: Frames, original: Ints, addresses: Addresses, ethernet: Bools, into: Mapping[str, npt.NDArray[Any]]
) -> Bools:
    """Which packets have the shape; the columns of those are put *into* the arrays (entries of others mean nothing).

    original: how long the packets were on the wire. ethernet: which may have the shape, by their link.
    """
    fields = frames.whole(_SHAPE)
    alike: Bools = ethernet & (frames.long(_SIZE)) & (fields["begins"] & _BEGINS[0] == _BEGINS[1])
    alike &= fields["inside"] & _INSIDE[0] == _INSIDE[1]
    total, offset = fields["total"].astype(np.int32), fields["offset"].astype(np.int32)
    payload = (offset >> 10) & ~3
    alike &= (payload >= 20) & (total != 0)
    payload += _L4
    end = np.minimum(total + _L3, original, casting="unsafe", dtype=np.int32)
    length = end - payload
    alike &= (length >= 0) & (end >= _L4)
    for name in _AS_THEY_ARE:
        into[name][:] = fields[name]
    for name, value in _ALWAYS.items():
        into[name][:] = value
    into["payload"][:], into["payload_length"][:] = payload, length
    into["flags"][:] = offset & 0x1FF
    into["source"][:], into["target"][:] = addresses.pairs(fields["ends"].astype(np.uint64), alike)
    return alike
