"""Packets that no host of the lab sent: from a MAC address of none of its interfaces, and from no host's address.

Where hosts are containers, the engine's bridge is on their links too. It speaks when a lab begins and now and then
afterwards: it announces which groups it listens to (IGMP, MLD), and asks for routers. A recording that does not tell
the hosts' MAC addresses, an older or a foreign one, has no strangers: nothing is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labkit.analysis.packets.columns import column
from labkit.analysis.packets.frames import Ints
from labkit.analysis.packets.index import Index, protocol_name

from .nodes import Nodes

_NAMES = {"docker": "Docker's bridge"}
_NAMELESS = "a stranger on the link"


@dataclass(frozen=True, slots=True)
class Strangers:
    """called: how a sender that is no host is called. rows: its packets. addresses: those that it sent from.

    protocols: the names of what it spoke, how often, the most frequent first.
    """

    called: str
    rows: Ints
    addresses: frozenset[str]
    protocols: Mapping[str, int]


def strangers(index: Index, nodes: Nodes) -> Strangers:
    """What is in the recording from senders that are no hosts of the lab."""
    rows = _rows(index, nodes) if nodes.macs else np.zeros(0, dtype=np.int64)
    sources = {index.addresses[source] for source in np.unique(index.source[rows]).tolist() if source >= 0}
    kinds, counts = np.unique(index.proto[rows], return_counts=True)
    told = sorted(zip(counts.tolist(), kinds.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    protocols = {protocol_name(kind) or "unknown": count for count, kind in told}
    return Strangers(_NAMES.get(nodes.runtime, _NAMELESS), rows, frozenset(sources), protocols)


def _rows(index: Index, nodes: Nodes) -> Ints:
    senders = column(index, "eth.src")
    known = np.array([*nodes.macs], dtype=senders.dtype)
    owned = np.array([*(address in nodes.owners for address in index.addresses), False], dtype=bool)  # last: none
    return np.flatnonzero((senders >= 0) & ~np.isin(senders, known) & ~owned[index.source])
