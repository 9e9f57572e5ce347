"""What shall be forwarded: whether that can be done, and how it travels into the node. Light, for the owner's side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from labkit.errors import PolicyError
from labkit.topology import Listener

from ..policy import Forward, Target


def check(forwards: Iterable[Forward]) -> None:
    """PolicyError for two forwards of one port, or an algorithm that there is not. One without targets refuses."""
    seen: dict[tuple[str, int], str] = {}
    for forward in forwards:
        listener = forward.listener
        if forward.algorithm != "round_robin":
            raise PolicyError(f"nftables here has no algorithm {forward.algorithm!r}; use 'round_robin'.")
        place = (listener.transport, listener.port)
        if place in seen:
            where = f"{listener.transport} port {listener.port}"
            raise PolicyError(f"Listeners {seen[place]} and {listener.label} both forward {where}; leave one out.")
        seen[place] = listener.label


def plain(forwards: Sequence[Forward]) -> list[dict[str, Any]]:
    """Forwards as plain data."""
    return [asdict(forward) for forward in forwards]


def forwards_of(data: Sequence[Mapping[str, Any]]) -> list[Forward]:
    """What `plain` made plain."""
    return [
        Forward(Listener(**each["listener"]), tuple(Target(**target) for target in each["targets"]), each["algorithm"])
        for each in data
    ]
