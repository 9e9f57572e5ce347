"""Connections: sightings at several vantage points that are one and the same, and the table of them.

Sightings become one connection because packets of theirs are the same packets (`trajectories`), never because
somebody says so. So an L4 connection has one id at all its vantage points, and at L7 front and back have their own;
the proxy's `request` events pair those. Ids count from 1 in order of first packet.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from labkit.analysis.packets import icmp
from labkit.analysis.packets.frames import MISSING, Ints
from labkit.analysis.packets.index import Index, protocol_name
from labkit.analysis.packets.tables import objects

from .sightings import Sightings, sightings_about
from .tcp import Story
from .trajectories import Trajectories

COLUMNS = (
    "connection", "seen_at", "paired_with", "proto", "client", "client_port", "server", "server_port", "state",
    "packets_out", "packets_in", "bytes_out", "bytes_in", "retransmissions", "handshake_seconds", "closed_by",
    "out_of_order", "duplicate_acks", "zero_windows",
)  # fmt: skip


@dataclass(frozen=True)
class Connections:
    """of_sighting: the id of each sighting's connection. of_packet: of each packet's, or -1.

    members: for id i, at i - 1: its sightings on the way from client to server (in the order in which the client's
    first packets were seen there). home: the first of them, where the connection is counted: the client's own
    vantage point, if that was captured.
    """

    of_sighting: Ints
    of_packet: Ints
    members: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.members)

    def home(self, connection: int) -> int:
        return self.members[connection - 1][0]


def merge(index: Index, sightings: Sightings, trajectories: Trajectories) -> Connections:
    """Make connections of the sightings that share packets. ICMP errors belong to what they are about."""
    before, after = trajectories.steps
    shared = trajectories.same_flow[after]
    one, two = sightings.of_packet[before[shared]], sightings.of_packet[after[shared]]
    both = (one >= 0) & (two >= 0) & (one != two)
    pairs = one[both].astype(np.int64) << 32 | two[both]
    pairs.sort()
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    root = _components(len(sightings), pairs >> 32, pairs & 0xFFFFFFFF)
    _, of_sighting = np.unique(root, return_inverse=True)
    of_sighting = of_sighting.astype(np.int64) + 1  # a component's root is its lowest, so its earliest, sighting
    arrival = np.argsort(_arrival(sightings), kind="stable")
    ordered = arrival[np.argsort(of_sighting[arrival], kind="stable")]
    bounds = np.cumsum(np.bincount(of_sighting)).tolist() if len(of_sighting) else [0]
    every = ordered.tolist()
    members = tuple(tuple(every[first:last]) for first, last in pairwise(bounds))
    of_packet = np.full(len(sightings.of_packet), MISSING, dtype=np.int32)
    of_packet[sightings.rows] = np.repeat(of_sighting, np.diff(sightings.begin))
    errors = icmp.embedded(index)
    about = sightings_about(index, sightings, errors)
    of_packet[errors.rows] = np.where(about >= 0, np.append(of_sighting, 0)[about], MISSING)
    return Connections(of_sighting, of_packet, members)


def _components(count: int, one: Ints, two: Ints) -> Ints:
    """For each of *count* things the lowest one that it is joined with by the pairs *one*, *two*, directly or not."""
    root = np.arange(count, dtype=np.int64)
    while len(one):
        low = np.minimum(root[one], root[two])
        np.minimum.at(root, root[one], low)
        np.minimum.at(root, root[two], low)
        while (root != root[root]).any():
            root = root[root]
        apart = root[one] != root[two]
        one, two = one[apart], two[apart]
    return root


def _arrival(sightings: Sightings) -> Ints:
    """The row of each sighting's first packet from the client; of one without, its first packet, after all others."""
    rows = sightings.rows[sightings.from_client[sightings.rows]][::-1]
    arrival = sightings.first + len(sightings.of_packet)
    arrival[sightings.of_packet[rows]] = rows
    return arrival


def table(
    index: Index, sightings: Sightings, connections: Connections, story: Story, pairs: dict[int, set[int]],
    vantages: list[str], *, per_vantage: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """One row per connection, counted at its home; or one per connection and vantage point, counted there."""
    members = connections.members
    rows = [s for one in members for s in (one if per_vantage else one[:1])]
    chosen = np.array(rows, dtype=np.int64)
    ids = connections.of_sighting[chosen] if rows else chosen
    points = [tuple(dict.fromkeys(vantages[int(sightings.vantage[s])] for s in one)) for one in members]
    names = np.array([*index.addresses, ""], dtype=object)
    counted = counts(index, sightings)
    handshake = story.handshake_ns[chosen]
    columns = {
        "connection": ids,
        "seen_at": objects([points[i - 1] for i in ids.tolist()]),
        "paired_with": objects([tuple(sorted(pairs[i])) if i in pairs else None for i in ids.tolist()]),
        "proto": objects([protocol_name(p) for p in sightings.proto[chosen].tolist()]),
        "client": objects(names[sightings.client[chosen]]),
        "client_port": sightings.client_port[chosen],
        "server": objects(names[sightings.server[chosen]]),
        "server_port": sightings.server_port[chosen],
        "state": objects([story.state[s] for s in rows]),
        **{name: values[chosen] for name, values in counted.items()},
        "retransmissions": story.retransmissions[chosen],
        "handshake_seconds": np.where(handshake >= 0, handshake / 1e9, np.nan),
        "closed_by": objects([story.closed_by[s] for s in rows]),
        "out_of_order": story.troubles.out_of_order[chosen],
        "duplicate_acks": story.troubles.duplicate_acks[chosen],
        "zero_windows": story.troubles.zero_windows[chosen],
    }
    frame = pd.DataFrame(columns, columns=list(COLUMNS))
    if per_vantage:
        frame["vantage"] = objects([vantages[int(v)] for v in sightings.vantage[chosen]])
    return frame


def counts(index: Index, sightings: Sightings) -> dict[str, Ints]:
    """Packets and payload bytes of every sighting, out (from the client) and in."""
    way = sightings.of_packet.astype(np.int64)
    way += 1  # those of no sighting count for number 0, which is left out
    way <<= 1
    way |= sightings.from_client
    size = 2 * len(sightings) + 2
    packets = np.bincount(way, minlength=size)[2:]
    bytes_ = np.bincount(way, weights=np.maximum(index.payload_length, 0), minlength=size)[2:]
    found = {
        "packets_out": packets[1::2],
        "packets_in": packets[::2],
        "bytes_out": bytes_[1::2],
        "bytes_in": bytes_[::2],
    }
    return {name: values.astype(np.int64) for name, values in found.items()}
