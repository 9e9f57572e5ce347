"""The IP header of packets that have one: IPv4 with options (RFC 791), IPv6 with extension headers (RFC 8200).

Each reader takes packets of its version alone, and gives columns of that many entries, -1 where a field was not
captured. `links` says where the headers are, `transport` reads on from `l4`.
"""

from dataclasses import dataclass

import numpy as np

from .addresses import Addresses
from .frames import MISSING, Frames, Ints, layout

# IPv6 extension header -> (unit of its length field, units to add): RFC 8200 §4, RFC 4302 §2.2
EXTENSIONS = {0: (8, 1), 43: (8, 1), 60: (8, 1), 135: (8, 1), 139: (8, 1), 140: (8, 1), 51: (4, 2)}
FRAGMENT_HEADER = 44
EXTENSIONS_AT_MOST = 8

IP4 = layout(
    20, first=(0, "u1"), total=(2, ">u2"), id=(4, ">u2"), bits=(6, ">u2"), ttl=(8, "u1"), proto=(9, "u1"),
    source=(12, ">u4"), target=(16, ">u4"),
)  # fmt: skip
IP6 = layout(
    40, length=(4, ">u2"), proto=(6, "u1"), hop_limit=(7, "u1"), s0=(8, ">u4"), s1=(12, ">u4"), s2=(16, ">u4"),
    s3=(20, ">u4"), t0=(24, ">u4"), t1=(28, ">u4"), t2=(32, ">u4"), t3=(36, ">u4"),
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """proto: what follows the IP header and its extensions, at l4. end: where the IP packet ends, as it declares.

    fragment: offset of a later fragment in units of 8 bytes. ip_id: IPv4's; IPv6's is a fragment's alone, and left out.
    """

    proto: Ints
    l4: Ints
    end: Ints
    fragment: Ints
    ttl: Ints
    ip_id: Ints
    source: Ints
    target: Ints


def ipv4(frames: Frames, l3: Ints, original: Ints, addresses: Addresses) -> Network:
    """RFC 791 §3.1. A header length under 20 bytes leaves nothing behind it to be read."""
    head = frames.header(l3, IP4)
    header, total, bits, proto = (head["first"] & 0xF) * 4, head["total"], head["bits"], head["proto"]
    sound = (header >= 20) & (proto >= 0)
    end = np.where(total == 0, original, np.minimum(l3 + total, original))  # 0: cut up later by the network card
    return Network(
        proto=proto,
        l4=np.where(sound, l3 + header, MISSING),
        end=np.where(sound & (total >= 0), end, MISSING),
        fragment=np.where(bits >= 0, bits & 0x1FFF, MISSING),
        ttl=head["ttl"],
        ip_id=head["id"],
        source=addresses.four(head["source"]),
        target=addresses.four(head["target"]),
    )


def ipv6(frames: Frames, l3: Ints, original: Ints, addresses: Addresses) -> Network:
    """RFC 8200 §3 and §4: extension headers are walked up to what they carry, a later fragment, or 8 of them."""
    head = frames.header(l3, IP6)
    length, proto = head["length"], head["proto"]
    at = np.where(proto >= 0, l3 + 40, MISSING)
    fragment = np.where(proto >= 0, 0, MISSING)
    for _ in range(EXTENSIONS_AT_MOST):
        cut = (proto == FRAGMENT_HEADER) & (at >= 0)
        step = np.where(cut, 8, 0)
        if cut.any():
            fragment = np.where(cut, frames.read(np.where(cut, at + 2, MISSING), 2) >> 3, fragment)
        for number, (unit, plus) in EXTENSIONS.items():
            here = (proto == number) & (at >= 0) & (fragment == 0)
            if here.any():
                size = frames.read(np.where(here, at + 1, MISSING), 1)
                step = np.where(here, np.where(size >= 0, (size + plus) * unit, MISSING), step)
        if not step.any():
            break
        moved = step != 0
        proto = np.where(moved, frames.read(np.where(moved, at, MISSING), 1), proto)
        at = np.where(moved, np.where((step > 0) & (proto >= 0) & (fragment >= 0), at + step, MISSING), at)
    end = np.where(length == 0, original, np.minimum(l3 + 40 + length, original))
    return Network(
        proto=proto,
        l4=at,
        end=np.where(at >= 0, end, MISSING),
        fragment=fragment,
        ttl=head["hop_limit"],
        ip_id=np.full(len(frames), MISSING, dtype=np.int64),
        source=addresses.six(*(head[name] for name in ("s0", "s1", "s2", "s3"))),
        target=addresses.six(*(head[name] for name in ("t0", "t1", "t2", "t3"))),
    )
