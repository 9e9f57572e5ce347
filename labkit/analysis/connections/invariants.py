"""What of a packet no address translation changes: the digest of its payload, and what its checksum says beside
addresses and ports.
"""

import numpy as np

from labkit.analysis.packets import icmp
from labkit.analysis.packets.frames import Ints, Words
from labkit.analysis.packets.index import ICMP, ICMP6, TCP, Index


def payload_digest(index: Index, rows: Ints) -> Words:
    """A digest of the payload at *rows* as far as it was captured; of ICMP without what is translated in it."""
    proto = index.proto[rows]
    special = (proto == ICMP) | (proto == ICMP6)
    if not special.any():
        return index.digest_of(rows)
    found = np.zeros(len(rows), dtype=np.uint64)
    found[special] = icmp.kept_digest(index, rows[special])
    found[~special] = index.digest_of(rows[~special])
    return found


def translation_constant(index: Index, rows: Ints) -> Ints:
    """A number that stays when TCP's checksum is updated for new addresses and ports (RFC 1624), for the rows of it.

    It differs where other bytes differ (but for one chance in 65,535), or where a checksum was left to the network
    card. 0 for packets that are not TCP.
    """
    sums = np.append(index.address_sums, 0)
    checksum = index.checksum[rows]
    total = checksum + sums[index.source[rows]] + sums[index.target[rows]] + index.sport[rows] + index.dport[rows]
    return np.where((index.proto[rows] == TCP) & (checksum >= 0), total % 0xFFFF, 0)
