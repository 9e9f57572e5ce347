"""The balancer's connections at this moment as one table, made of what the kernel tracks. Pure but for pandas.

The kernel tracks what it forwards (one entry, both legs: ``through``) as well as what ends in the balancer: at L7 a
client's connection (``front``) and the proxy's own to a backend (``back``) are two entries, paired by the proxies.
What is passed on directly it does not track; the rules remember who has it (``direct``), and count nothing.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from labkit.balancer.source import source_of
from labkit.topology import Topology

if TYPE_CHECKING:
    import pandas as pd

ENDS = ("src", "sport", "dst", "dport")
COLUMNS = (
    "proto", "leg", "state", "backend",
    *(f"original_{end}" for end in ENDS), *(f"reply_{end}" for end in ENDS),
    "packets_out", "packets_in", "bytes_out", "bytes_in", "age_seconds", "timeout_seconds",
    "paired_with", "socket_bytes",
)  # fmt: skip
End = tuple[str, int]
Pair = tuple[End, End]  # a client's end of the front connection, and the proxy's own end of the back one
NOT_KNOWN = float("nan")
CLOSED = frozenset(("TIME_WAIT", "CLOSE"))


def backends_by_address(topology: Topology) -> dict[str, str]:
    """Whose each address of a backend is."""
    return {
        str(address.ip): node.name
        for node in topology.backends
        for interface in node.interfaces
        for address in (interface.address4, interface.address6)
        if address is not None
    }


def own_addresses(topology: Topology) -> frozenset[str]:
    """The balancer's own addresses, the VIP and that of health checks among them."""
    return frozenset(
        (
            source_of(topology),
            *(
                str(address.ip)
                for interface in topology.balancer.interfaces
                for address in (interface.address4, interface.address6)
                if address is not None
            ),
        )
    )


def leg(flow: Mapping[str, Any], own: frozenset[str]) -> str:
    """``through`` the balancer, ``front`` (ends in it), ``back`` (begins in it), ``routed`` (merely passes), or
    ``direct``: passed on to a backend untranslated, its answers going another way."""
    if flow.get("passed"):
        return "direct"
    if flow["translated"] and flow["reply"][0] not in own:
        return "through"
    if flow["original"][2] in own:
        return "front"  # at another port of lb than was asked for, if it is translated
    return "back" if flow["original"][0] in own else "routed"


def backend_of(flow: Mapping[str, Any], backends: Mapping[str, str]) -> str | None:
    """Who answers it, by the answers' source; what is passed on directly is answered from the VIP, and says who."""
    return flow.get("passed") or backends.get(flow["reply"][0])


def is_probe(flow: Mapping[str, Any], source: str) -> bool:
    """Whether it is a health check's: from *source*."""
    return bool(flow["original"][0] == source)


def open_at(flows: Iterable[Mapping[str, Any]], topology: Topology, name: str) -> list[Mapping[str, Any]]:
    """The TCP connections to the backend *name* that may still carry something: all that is forwarded or passed on to
    it, and the proxy's own, in whatever mode and style they began."""
    backends, own, source = backends_by_address(topology), own_addresses(topology), source_of(topology)
    return [
        flow
        for flow in flows
        if flow["proto"] == "TCP"
        and flow["state"] not in CLOSED
        and backend_of(flow, backends) == name
        and leg(flow, own) in ("through", "back", "direct")
        and not is_probe(flow, source)
    ]


def connections_table(
    flows: Iterable[Mapping[str, Any]],
    topology: Topology,
    probes: bool = False,
    pairs: Iterable[Pair] = (),
    held: Mapping[tuple[End, End], int] = MappingProxyType({}),
) -> "pd.DataFrame":
    """One row a tracked connection, oldest first; see `Balancer.connections`.

    pairs: which connections belong together, by the proxies' word. held: bytes of buffers, by a socket's both ends.
    """
    import pandas as pd

    backends, own, source = backends_by_address(topology), own_addresses(topology), source_of(topology)
    now = time.time_ns()
    chosen = [flow for flow in flows if probes or not is_probe(flow, source)]
    chosen.sort(key=lambda flow: (flow["began_ns"] or 0, flow["original"]))
    rows = [
        (
            flow["proto"],
            leg(flow, own),
            flow["state"],
            backend_of(flow, backends),
            *flow["original"],
            *flow["reply"],
            *(NOT_KNOWN if count is None else count for count in (*flow["packets"], *flow["bytes"])),
            max(0.0, (now - flow["began_ns"]) / 1e9) if flow["began_ns"] else NOT_KNOWN,
            flow["timeout"],
            None,
            held.get(_socket(flow, own), NOT_KNOWN),
        )
        for flow in chosen
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["paired_with"] = _paired(chosen, own, pairs)
    return table


def _paired(chosen: Sequence[Mapping[str, Any]], own: frozenset[str], pairs: Iterable[Pair]) -> list[int | None]:
    """For each of *chosen* the number of the row that its proxy has it together with; None if there is none."""
    fronts = {tuple(flow["original"][:2]): row for row, flow in enumerate(chosen) if leg(flow, own) == "front"}
    backs = {tuple(flow["original"][:2]): row for row, flow in enumerate(chosen) if leg(flow, own) == "back"}
    found: list[int | None] = [None] * len(chosen)
    for client, ours in pairs:
        front, back = fronts.get(client), backs.get(ours)
        if front is not None and back is not None:
            found[back] = front
            found[front] = back if found[front] is None else found[front]
    return found


def _socket(flow: Mapping[str, Any], own: frozenset[str]) -> tuple[End, End]:
    """Both ends of the balancer's own socket for it, its own first; what passes through has none."""
    source, sport, destination, dport = flow["original"]
    if leg(flow, own) == "back":
        return (source, sport), (destination, dport)
    return (flow["reply"][0], flow["reply"][1]), (source, sport)
