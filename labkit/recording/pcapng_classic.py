"""Classic pcap files (the format before pcapng), both byte orders, microseconds and nanoseconds."""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from labkit.errors import NotACapture

from .pcapng_chain import Positions

HEADER: Final = 24
_KINDS: Final[dict[int, bool]] = {0xA1B2C3D4: False, 0xA1B23C4D: True}
MAGICS: Final[dict[bytes, tuple[str, bool]]] = {
    struct.pack(order + "I", magic): (order, nanoseconds) for order in "<>" for magic, nanoseconds in _KINDS.items()
}


@dataclass(frozen=True, slots=True)
class Classic:
    """A classic file: byte order, unit of its times, link type, positions of the record headers.

    more: records were left unread because enough had been found.
    """

    order: str
    nanoseconds: bool
    link_type: int
    positions: Positions
    more: bool
    cut_short: bool


def walk(data: Any, size: int, most: int) -> Classic:
    """Find the whole records in *data*, up to *most*. NotACapture when the file header itself is cut off."""
    if size < HEADER:
        raise NotACapture(f"it begins like a pcap file, but ends after {size} bytes, within its header")
    order, nanoseconds = MAGICS[bytes(data[:4])]
    (link_type,) = struct.unpack_from(order + "I", data, 20)
    captured = struct.Struct(order + "I").unpack_from
    positions: list[int] = []
    position = HEADER
    while position + 16 <= size and len(positions) < most:
        end = position + 16 + captured(data, position + 8)[0]
        if end > size:
            break
        positions.append(position)
        position = end
    more = len(positions) == most and position < size
    at = np.array(positions, np.int64)
    return Classic(order, nanoseconds, link_type & 0xFFFF, at, more, cut_short=position != size and not more)
