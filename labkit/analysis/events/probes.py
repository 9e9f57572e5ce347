"""The packets of health checks: told by the balancer's word (the event ``probes``), and left out unless asked for.

Checks come from an address that nothing else uses. What answers them, also an ICMP error about one, belongs to them,
and so does ARP about the address.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from labkit.analysis.packets.columns import column
from labkit.analysis.packets.frames import Bools
from labkit.analysis.packets.index import Index, build
from labkit.recording import Loss, Recording


def kept(recording: Recording) -> bool | None:
    """Whether packets of health checks are in it; None if it does not say that there were checks."""
    told = [event for event in recording.events if event["kind"] == "probes"]
    return any(event.get("kept") for event in told) if told else None


def without_probes(recording: Recording) -> Recording:
    """The same recording without the packets of health checks; itself if there are none in it."""
    if not kept(recording):
        return recording
    index = build(recording)
    probes = np.zeros(len(index), dtype=bool)
    for event in recording.events:
        if event["kind"] == "probes":
            probes |= _of_checks(index, event)
    rows = ~probes
    numbers = np.cumsum(rows)  # of a packet that is kept, its new number
    dropped = np.bincount(recording.packets["vantage"][probes], minlength=len(recording.vantages)).tolist()
    less = dict(zip((vantage.name for vantage in recording.vantages), dropped, strict=True))
    return replace(
        recording,
        packets=recording.packets[rows],
        loss={name: Loss(loss.captured - less.get(name, 0), loss.dropped) for name, loss in recording.loss.items()},
        comments={int(numbers[number - 1]): text for number, text in recording.comments.items() if rows[number - 1]},
    )


def _of_checks(index: Index, event: Mapping[str, Any]) -> Bools:
    """Which packets a ``probes`` event is about."""
    ours = [place for place, address in enumerate(index.addresses) if address in event["addresses"]]
    found: Bools = np.isin(index.source, ours) | np.isin(index.target, ours)
    numbers = [int(ipaddress.IPv4Address(address)) for address in event["addresses"]]
    for end in ("arp.src.ip", "arp.dst.ip"):
        found |= np.isin(column(index, end), numbers)
    return found
