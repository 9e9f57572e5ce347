"""What stands before the IP header: Ethernet with its tags, Linux cooked capture, or nothing (raw IP).

Of a link layer that is not in the table nothing is read: the packet keeps its row.
"""

import numpy as np

from .frames import MISSING, Frames, Ints

# LINKTYPE -> (length of the link header, where its ethertype stands; None: the IP version tells)
LINK_HEADERS: dict[int, tuple[int, int | None]] = {
    1: (14, 12),  # Ethernet
    113: (16, 14),  # Linux cooked
    276: (20, 0),  # Linux cooked v2
    101: (0, None),  # raw IP
    228: (0, None),  # raw IPv4
    229: (0, None),  # raw IPv6
}
TAGS = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
TAGS_AT_MOST = 2  # an outer and an inner one


def after_link(frames: Frames, link_type: int) -> tuple[Ints, Ints]:
    """Ethertype and where the next header is. 0: unknown, ask the IP version; -1: not captured, or a foreign link."""
    length, place = LINK_HEADERS.get(link_type, (MISSING, None))
    if place is None:
        ethertype = np.full(len(frames), 0 if length == 0 else MISSING, dtype=np.int64)
        return ethertype, np.full(len(frames), length, dtype=np.int64)
    ethertype = frames.read(place, 2)
    l3 = np.full(len(frames), length, dtype=np.int64)
    for _ in range(TAGS_AT_MOST):
        tagged = (ethertype == TAGS[0]) | (ethertype == TAGS[1])
        if not tagged.any():
            break
        ethertype = np.where(tagged, frames.read(np.where(tagged, l3 + 2, MISSING), 2), ethertype)
        l3 = np.where(tagged, l3 + 4, l3)
    return ethertype, np.where(ethertype >= 0, l3, MISSING)
