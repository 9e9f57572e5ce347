"""Conversations, as Wireshark counts them: who talked with whom, how many packets and bytes each way, for how long.

Counted at each vantage point, for a packet that was seen at four of them is one packet and four frames; the sum over
vantage points is what Wireshark shows for the whole file. Bytes are of whole frames, as they were on the wire.
"""

from typing import Any

import numpy as np
import pandas as pd

from labkit.analysis.packets.frames import Bools, Ints
from labkit.analysis.packets.index import Index, protocol_name
from labkit.analysis.packets.tables import integers, objects

COLUMNS = (
    "vantage", "proto", "address_a", "port_a", "address_b", "port_b", "packets", "bytes", "packets_a_to_b",
    "bytes_a_to_b", "packets_b_to_a", "bytes_b_to_a", "start", "seconds",
)  # fmt: skip


def table(index: Index, vantages: list[str], *, ports: bool, at: int | None = None) -> pd.DataFrame:
    """One row per vantage point, protocol and pair of endpoints, in order of first packet; a sent first.

    ports: pairs of address and port, of TCP and UDP; else pairs of addresses, of all IP packets (proto is then "IPv4"
    or "IPv6"). start: when the first packet came. seconds: from the first to the last.
    """
    ends = (index.source >= 0) & (index.target >= 0)
    there = ends & (index.sport >= 0) & (index.dport >= 0) if ports else ends
    rows = np.flatnonzero(there if at is None else there & (index.vantage == at))
    one, two = (_endpoint(index, rows, side, ports) for side in ("source", "target"))
    kind = index.proto[rows] if ports else index.version[rows]
    keys = np.stack([index.vantage[rows], kind, np.minimum(one, two), np.maximum(one, two)])
    group, first, last = _groups(keys)
    a_sent = one == one[first][group]
    length = index.frame_length[rows].astype(np.int64)
    sums: dict[str, Ints] = {}
    for name, mine in (("", np.ones(len(rows), dtype=bool)), ("_a_to_b", a_sent), ("_b_to_a", ~a_sent)):
        sums[f"packets{name}"], sums[f"bytes{name}"] = _sum(group, mine, length, len(first))
    opening = rows[first]
    names = np.array([*index.addresses, None], dtype=object)
    times = index.time_ns[rows].astype(np.int64)
    write = protocol_name if ports else lambda version: f"IPv{version}"
    columns: dict[str, Any] = {
        "vantage": objects([vantages[v] for v in index.vantage[opening].tolist()]),
        "proto": objects([write(value) for value in kind[first].tolist()]),
        "address_a": objects(names[index.source[opening]]),
        "port_a": integers(index.sport[opening]),
        "address_b": objects(names[index.target[opening]]),
        "port_b": integers(index.dport[opening]),
        **sums,
        "start": times[first].view("datetime64[ns]"),
        "seconds": (times[last] - times[first]) / 1e9,
    }
    frame = pd.DataFrame({name: columns[name] for name in COLUMNS}, columns=list(COLUMNS))
    return frame if ports else frame.drop(columns=["port_a", "port_b"])


def _endpoint(index: Index, rows: Ints, side: str, ports: bool) -> Ints:
    address: Ints = getattr(index, side)[rows].astype(np.int64)
    port: Ints = getattr(index, {"source": "sport", "target": "dport"}[side])[rows].astype(np.int64)
    return (address << 16) | port if ports else address


def _groups(keys: Any) -> tuple[Ints, Ints, Ints]:
    """For each row its group, numbered by first row; for each group its first and its last row."""
    _, first, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    group = place[group.reshape(-1)]
    last = np.zeros(len(order), dtype=np.int64)
    last[group] = np.arange(len(group))  # later rows write over earlier ones
    return group, first[order], last


def _sum(group: Ints, mine: Bools, length: Ints, count: int) -> tuple[Ints, Ints]:
    packets = np.bincount(group[mine], minlength=count).astype(np.int64)
    return packets, np.bincount(group[mine], weights=length[mine], minlength=count).astype(np.int64)
