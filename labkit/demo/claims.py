"""What must come out of the demo, judged from its figures. Pure: figures in, verdicts out.

Each claim says what was found whether it holds or not, so that a failing demo says what it saw instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labkit.topology import Topology

from .figures import Figures, ModeFigures


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim about one mode, whether it holds, and what was found."""

    mode: str
    claim: str
    holds: bool
    found: str


type Judge = Callable[[ModeFigures, Topology], tuple[bool, str]]


def verdicts(figures: Figures, topology: Topology) -> list[Verdict]:
    """Every claim about both modes, in the order a reader follows."""
    return [
        Verdict(mode, claim, *judge(figures.modes[mode], topology))
        for mode, claims in CLAIMS.items()
        for claim, judge in claims.items()
    ]


def _answered(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    return mode.answered == mode.requests > 0, f"{mode.answered} of {mode.requests}"


def _fair(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    shares = {node.name: mode.by_backend.get(node.name, 0) for node in topology.backends}
    return max(shares.values()) - min(shares.values()) <= 1, _counts(shares)


def _through(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    holds = mode.same_connection and mode.connections == mode.requests
    return holds, f"{mode.connections_through} of {mode.connections} connections are the same on both sides"


def _untouched(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    kept = not {"tcp.seq", "tcp.ack", "tcp.flags"} & set(mode.rewritten_fields)
    whole = mode.packets_through == mode.packets > 0
    changed = ", ".join(mode.rewritten_fields) or "nothing"
    found = f"{mode.packets_through:,} of {mode.packets:,} packets seen at all four places; rewritten: {changed}"
    return kept and whole and "ip.dst" in mode.rewritten_fields, found


def _blind(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    read = mode.balancer_reads
    return bool(read) and not any(name.startswith("http.") for name in read), ", ".join(read) or "nothing"


def _mixed(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    wrong, asked = _elsewhere(mode, topology)
    return 0 < wrong < asked, f"{wrong} of {asked} requests were answered outside the pool that their path names"


def _routed(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    wrong, asked = _elsewhere(mode, topology)
    by_rule = "; ".join(f"{rule} to {_counts(counts)}" for rule, counts in mode.routes.items()) or "by no rule"
    told = sum(sum(counts.values()) for counts in mode.routes.values())
    return wrong == 0 and told == mode.requests, f"{wrong} of {asked} went to a wrong pool; {by_rule}"


def _paired(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    holds = mode.connections_through == 0 and mode.paired == mode.requests
    crossing = f"{mode.connections_through} connections run through the balancer"
    return holds, f"{mode.paired} of {mode.requests} requests have a front and a back connection; {crossing}"


def _unrelated(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    return mode.same_sequence == 0 < mode.paired, f"{mode.same_sequence} of {mode.paired} pairs begin with one number"


def _reads_requests(mode: ModeFigures, _: Topology) -> tuple[bool, str]:
    return "http.target" in mode.balancer_reads, ", ".join(mode.balancer_reads) or "nothing"


def _sees_client(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    told = [(answer.peer, topology.node(answer.client).address) for answer in mode.answers]
    return _peers([peer == client for peer, client in told])


def _sees_balancer(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    own = str(topology.balancer.interface(topology.back.name).address4.ip)
    return _peers([answer.peer == own for answer in mode.answers])


def _lossless(mode: ModeFigures, topology: Topology) -> tuple[bool, str]:
    unknown = [vantage for vantage in topology.vantages if mode.loss.get(vantage, {}).get("dropped") is None]
    dropped = sum(counts["dropped"] or 0 for counts in mode.loss.values())
    found = f"{mode.all_captured:,} packets captured, {dropped:,} dropped"
    return dropped == 0 and not unknown, found + (f"; not known at {', '.join(unknown)}" if unknown else "")


def _elsewhere(mode: ModeFigures, topology: Topology) -> tuple[int, int]:
    """Requests answered by a backend that is not in the pool called like their path's first part; requests asked."""
    pools = [topology.pools.get(answer.target.split("/")[1], ()) for answer in mode.answers]
    strays = [answer.backend not in pool for answer, pool in zip(mode.answers, pools, strict=True)]
    return sum(strays), len(strays)


def _peers(matches: list[bool]) -> tuple[bool, str]:
    return all(matches) and bool(matches), f"in {sum(matches)} of {len(matches)} requests"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


CLAIMS: Mapping[str, Mapping[str, Judge]] = {
    "l4": {
        "Every request is answered": _answered,
        "Connections are spread evenly": _fair,
        "One TCP connection runs through the balancer": _through,
        "The same packets arrive: only addresses, MAC, TTL and checksums change": _untouched,
        "The balancer reads no HTTP": _blind,
        "So it cannot route by path": _mixed,
        "The backend sees the client's address": _sees_client,
        "Nothing was lost in the captures": _lossless,
    },
    "l7": {
        "Every request is answered": _answered,
        "The balancer reads the request": _reads_requests,
        "So every request reaches the pool of its path": _routed,
        "It ends the client's connection and opens one of its own": _paired,
        "Sequence numbers on both sides are unrelated": _unrelated,
        "The backend sees the balancer's address": _sees_balancer,
        "Nothing was lost in the captures": _lossless,
    },
}
