"""Claims about connections, decisions and loss, each judged on a `Case`: pure, and never without evidence.

A claim about something that the capture does not show at all does not hold either: silence proves nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from labkit.analysis.routes import Route
from labkit.errors import CaptureError
from labkit.wording import near_miss, shown

from .case import Case, Verdict


def one_connection(case: Case, client: str | None, backend: str | None) -> Verdict:
    """One TCP connection runs from the client to the backend (without names: it is the only one there is)."""
    claim = f"one connection{_between(client, backend)}"
    fits = [route for route in case.routes if _whole(route, client, backend)]
    others = [route for route in case.routes if route not in fits and _touches(route, client, backend)]
    if len(fits) == 1 and (client or backend or not others):
        return Verdict(True, claim, packets=case.numbers([fits[0].connection]))
    against = fits[1:] if len(fits) > 1 else others
    if len(fits) > 1:
        words = f"there are {len(fits)}: {_listed(fits)}"
    elif others:
        words = f"{'there are more' if fits else 'none runs through'}: {_listed(others)}"
    else:
        words = "there is none"
    return Verdict(False, claim, words, case.first(route.connection for route in against))


def two_connections(case: Case, client: str | None, backend: str | None) -> Verdict:
    """A request of the client went over one connection to the balancer and another one from it to the backend."""
    claim = f"two connections{_between(client, backend)}"
    pairs = [
        (front, back)
        for front, back in case.pairs
        if client in (None, case.route(front).source) and backend in (None, case.route(back).target)
    ]
    fronts, backs = (list(dict.fromkeys(side)) for side in (zip(*pairs, strict=True) if pairs else ((), ())))
    if len(fronts) == len(backs) == 1:
        return Verdict(True, claim, packets=case.numbers([fronts[0], backs[0]]))
    if pairs:
        words = f"there are {len(fronts)} of clients and {len(backs)} to backends"
        return Verdict(False, claim, words, case.first([*fronts[1:], *backs[1:]]))
    through = [route for route in case.routes if _whole(route, client, backend)]
    others = [route for route in case.routes if _touches(route, client, backend)]
    words = (
        f"one connection runs through: {_listed(through)}" if through else f"no request pairs two: {_listed(others)}"
    )
    return Verdict(False, claim, words, case.first(route.connection for route in through or others))


def connections(case: Case, count: int) -> Verdict:
    """There are *count* TCP connections; one that runs through the balancer counts once."""
    claim = f"{count:,} TCP connection{'' if count == 1 else 's'}"
    found = [route.connection for route in case.routes]
    if len(found) == count:
        return Verdict(True, claim, packets=case.first(found))
    return Verdict(False, claim, f"there are {len(found)}", case.first(found[count:] or found))


def answered_by(case: Case, backends: Sequence[str]) -> Verdict:
    """Every connection or request that reached a backend reached one of these, and each of them was reached."""
    claim = f"answered by {', '.join(backends)}"
    reached: list[tuple[str, int]] = []
    for route in case.every_route:
        if route.target in _backends(case) and case.connections[route.connection]["packets_in"]:
            reached.append((route.target, route.connection))
    wrong = [(name, number) for name, number in reached if name not in backends]
    if wrong:
        return Verdict(False, claim, f"{_counted(wrong)} answered too", case.first(number for _, number in wrong))
    silent = [name for name in backends if name not in {name for name, _ in reached}]
    if silent:
        words = f"{', '.join(silent)} did not answer" + (f", {_counted(reached)} did" if reached else "")
        return Verdict(False, claim, words, case.first(number for _, number in reached))
    return Verdict(True, claim, packets=case.numbers(number for _, number in reached))


def decided_on(case: Case, moment: str) -> Verdict:
    """The packet that the balancer held last when it chose is a SYN, the end of a request, or a datagram."""
    claim = f"decided on the {moment}"
    kinds = _MOMENTS
    if not isinstance(moment, str) or moment not in kinds:
        choices = ", ".join(kinds)
        raise CaptureError(f"A decision falls on one of {choices}, not {shown(moment)}{near_miss(moment, kinds)}.")
    made = case.decisions
    if not made:
        return Verdict(False, claim, "this capture holds no decision")
    lost = [row for row in made if not _is_number(row["packet"])]
    if lost:
        return Verdict(False, claim, f"the packets of {len(lost)} decisions were not captured")
    rows = case.packets.set_index("number")
    numbers = [int(row["packet"]) for row in made]
    wrong = [number for number in numbers if not kinds[moment](rows.loc[number])]
    if wrong:
        fell = Counter(_what(rows.loc[number]) for number in wrong)
        words = "it fell on " + ", ".join(f"{kind} ({count})" for kind, count in fell.items())
        return Verdict(False, claim, words, tuple(wrong))
    return Verdict(True, claim, packets=tuple(numbers))


def no_loss(case: Case) -> Verdict:
    """No vantage point dropped a packet, and all of them say so; and the capture was not cut short."""
    claim = "no packet lost"
    dropped = [f"{lost:,} at {name}" for name, _, lost in case.loss if lost]
    unknown = [name for name, _, lost in case.loss if lost is None]
    reasons = [f"{', '.join(dropped)} were dropped"] if dropped else []
    reasons += [f"nobody counted at {', '.join(unknown)}"] if unknown else []
    reasons += _cut(case)
    reasons += [] if case.loss else ["there is no vantage point"]
    return Verdict(not reasons, claim, "; ".join(reasons))


def no_reset(case: Case) -> Verdict:
    """No TCP packet has the RST flag, and none of those may be missing that were not captured."""
    claim = "no reset"
    table = case.packets[case.packets["flags"].notna()]
    if table.empty:
        return Verdict(False, claim, "there is no TCP packet")
    resets = table[table["flags"].astype(object).str.contains("R")]
    if resets.empty:
        if missing := _perhaps_missing(case):
            return Verdict(False, claim, missing)
        return Verdict(True, claim, packets=tuple(int(number) for number in table["number"]))
    senders = ", ".join(dict.fromkeys(map(case.study.nodes.at, resets["src"])))
    return Verdict(False, claim, f"reset by {senders}", tuple(int(number) for number in resets["number"]))


def joined(case: Case) -> Verdict:
    """Every packet of a connection was recognised beyond doubt wherever it was seen."""
    claim = "every packet recognised wherever it was seen"
    rows = [
        row for row in case.trajectories if row["connection"] == row["connection"] and row["connection"] is not None
    ]
    if not any(len(row["packets"]) > 1 for row in rows):
        return Verdict(False, claim, "no packet was seen at more than one vantage point")
    doubtful = [number for row in rows if not row["certain"] for number in row["packets"]]
    if doubtful:
        return Verdict(False, claim, "some look like others", tuple(sorted(doubtful)))
    return Verdict(True, claim, packets=tuple(sorted(number for row in rows for number in row["packets"])))


def retransmissions(case: Case, count: int) -> Verdict:
    """The connections have *count* retransmitted segments in all, each counted where its client is; of a capture that
    may lack some, no count holds."""
    claim = f"{count:,} retransmission{'' if count == 1 else 's'}"
    found = {n: int(row["retransmissions"]) for n, row in case.connections.items() if row["proto"] == "TCP"}
    if not found:
        return Verdict(False, claim, "there is no TCP connection")
    again = tuple(number for connection, many in found.items() if many for number in _repeated(case, connection))
    total = sum(found.values())
    words = _perhaps_missing(case) if total == count else f"there are {total:,}"
    return Verdict(not words, claim, words, again or case.first(found))


def _repeated(case: Case, connection: int) -> list[int]:
    """Packets whose like (same sender, numbers and length) came before, where the connection is counted."""
    table = case.packets
    home = case.connections[connection]["seen_at"][0]
    rows = table[(table["connection"] == connection) & (table["vantage"] == home)]
    counting = rows[
        (rows["payload_length"].fillna(0) > 0) | rows["flags"].astype(object).fillna("").str.contains("[SF]")
    ]
    twice = counting.duplicated(subset=["src", "sport", "seq", "payload_length"])
    return [int(number) for number in counting[twice]["number"]] or [int(rows["number"].iloc[0])]


def _cut(case: Case) -> list[str]:
    """What the recording says about packets that are missing and that nobody counted."""
    lacks = case.study.recording.lacks
    return [f"not in the capture: {lack}" for lack in lacks if any(words in lack for words in _CUT)]


def _perhaps_missing(case: Case) -> str:
    """Why packets may be missing of what was captured, so that none can be said not to be there; empty if none are."""
    reasons = [f"{lost:,} packets were dropped at {name}" for name, _, lost in case.loss if lost] + _cut(case)
    filters = dict.fromkeys(vantage.filter for vantage in case.study.recording.vantages)
    reasons += [f"the capture's filter ({one}) may have left some out" for one in filters if _PICKS.search(one)]
    return "; ".join(reasons)


# What makes a filter choose among the packets of one conversation (pcap-filter(7)).
_PICKS = re.compile(r"\[|\b(len|less|greater|src|dst|inbound|outbound)\b")
# How a recording says that packets are missing which nobody counted.
_CUT = ("everything after", "the rest: ", "perhaps packets", "the last packets", "packets whose blocks are damaged")


def _whole(route: Route, client: str | None, backend: str | None) -> bool:
    """Whether this connection itself leads from the client to the backend."""
    reaches = route.passed is True or route.via is None
    ends = client in (None, route.source) and backend in (None, route.target)
    return ends and reaches and (client is not None or backend is not None or bool(route.passed))


def _touches(route: Route, client: str | None, backend: str | None) -> bool:
    wanted = {client, backend} - {None}
    return not wanted or bool(wanted & {route.source, route.target})


def _between(client: str | None, backend: str | None) -> str:
    return f" {client or '(any client)'} → {backend or '(any backend)'}" if client or backend else ""


def _listed(routes: Iterable[Route]) -> str:
    found = list(routes)
    words = [f"connection {route.connection} {route.source} → {route.target}" for route in found[:6]]
    return ", ".join(words) + (f" and {len(found) - 6} more" if len(found) > 6 else "") if found else "there is none"


def _counted(reached: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(Counter(name for name, _ in reached).items()))


def _backends(case: Case) -> set[str]:
    known = {name for name, role in case.study.nodes.roles.items() if role == "backend"}
    sources = {route.source for route in case.every_route}
    return known or {route.target for route in case.every_route} - sources


def _is_number(value: object) -> bool:
    return value is not None and value == value


def _what(row: "object") -> str:
    return next((kind for kind, fits in _MOMENTS.items() if fits(row)), "another packet")


_MOMENTS: dict[str, Callable[..., bool]] = {
    "SYN": lambda row: row["flags"] == "S",
    "request": lambda row: row["proto"] == "TCP" and row["payload_length"] > 0,
    "datagram": lambda row: row["proto"] == "UDP",
}
