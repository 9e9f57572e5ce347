"""What shall be forwarded: whether that can be done, and how it travels into the node. Light, for the owner's side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from labkit.errors import PolicyError
from labkit.topology import Listener, Topology

from ..plan import targets_of
from ..policy import ALGORITHMS, Forward, Target
from ..turns import MOST_WEIGHT


def check(forwards: Iterable[Forward]) -> None:
    """PolicyError for two forwards of one port, an algorithm or weight that is none. One without targets refuses."""
    seen: list[Listener] = []
    for forward in forwards:
        listener = forward.listener
        if forward.algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise PolicyError(f"nftables here has no algorithm {forward.algorithm!r}; it has {known}.")
        for target in forward.targets:
            if not 1 <= target.weight <= MOST_WEIGHT:
                raise PolicyError(f"{target.name} has the weight {target.weight}; use 1 to {MOST_WEIGHT}.")
        for other in seen:
            if first := listener.shares(other):
                where = f"{listener.transport} port {first}"
                raise PolicyError(f"Listeners {other.label} and {listener.label} both forward {where}; leave one out.")
        seen.append(listener)


def beside(topology: Topology) -> dict[str, Any] | None:
    """What direct server return needs to know of a topology, as plain data; None where no router makes it possible."""
    if topology.router is None:
        return None
    backends = [asdict(target) for target in targets_of(topology, [node.name for node in topology.backends])]
    front, back = topology.front.name, topology.back.name
    return {"front": front, "back": back, "backends": backends}


def plain(forwards: Sequence[Forward]) -> list[dict[str, Any]]:
    """Forwards as plain data."""
    return [asdict(forward) for forward in forwards]


def forwards_of(data: Sequence[Mapping[str, Any]]) -> list[Forward]:
    """What `plain` made plain."""
    return [
        Forward(
            Listener(**each["listener"]),
            tuple(Target(**target) for target in each["targets"]),
            each["algorithm"],
            each["style"],
        )
        for each in data
    ]
