"""Claims about header fields, judged on a `Case`: what was rewritten where, and what a balancer never looked at."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from labkit.analysis.routes import Routes
from labkit.errors import CaptureError
from labkit.wording import near_miss, shown

from . import handling, visibility
from .case import Case, Hop, Verdict

_LOOKED = (handling.READ, handling.USED)


def rewritten(case: Case, field: str, at: str | None) -> Verdict:
    """On every connection over *at* all packets one way had the field changed there; without *at*, on some step."""
    claim = f"{field} rewritten{f' at {at}' if at else ''}"
    if field.startswith("http."):
        return _header_rewritten(case, field, claim, wanted=True)
    hops = case.hops(at)
    if not hops:
        return Verdict(False, claim, _none(at), case.first(route.connection for route in case.every_route))
    ways: dict[int, dict[tuple[str, str], list[Hop]]] = defaultdict(lambda: defaultdict(list))
    for hop in hops:
        ways[hop.connection][hop.way].append(hop)
    shown_by: list[int] = []
    for per_way in ways.values():
        best = max(per_way.values(), key=lambda way: sum(field in hop.changed for hop in way) / len(way))
        kept = [hop for hop in best if field not in hop.changed]
        if kept:
            value = "it came out as it went in" if len(kept) == len(best) else "some came out as they went in"
            return Verdict(False, claim, value, _both(kept))
        shown_by += _both(best)
    return Verdict(True, claim, packets=tuple(sorted(shown_by)))


def not_rewritten(case: Case, field: str, at: str | None) -> Verdict:
    """No packet of a connection had the field changed (on its way over *at*)."""
    claim = f"{field} not rewritten{f' at {at}' if at else ''}"
    if field.startswith("http."):
        return _header_rewritten(case, field, claim, wanted=False)
    hops = case.hops(at)
    if not hops:
        return Verdict(False, claim, _none(at), case.first(route.connection for route in case.every_route))
    changed = [hop for hop in hops if field in hop.changed]
    if not changed:
        return Verdict(True, claim, packets=tuple(sorted(_both(hops))))
    before, after = changed[0].changed[field]
    return Verdict(False, claim, f"{before} became {after}", _both(changed))


def _none(at: str | None) -> str:
    where = f"ran over {at}" if at else "was seen at two vantage points"
    return f"no packet {where}: what ends there is not rewritten, what begins there is new"


def _both(hops: list[Hop]) -> tuple[int, ...]:
    return tuple(number for hop in hops for number in (hop.before, hop.after))


def _header_rewritten(case: Case, field: str, claim: str, *, wanted: bool) -> Verdict:
    """The same of a header of HTTP, by what the proxy received and sent on; at L4 no packet's content changes."""
    handled = [one for one in case.study.exchanges if one.event.get("headers_forwarded") is not None]
    name = field.removeprefix("http.").removeprefix("header.")
    found = []
    for exchange in handled:
        before, after = (_values(exchange.event, side, name) for side in ("headers_received", "headers_forwarded"))
        if before or after:
            numbers = case.numbers(one for one in (exchange.front, exchange.back) if one is not None)
            found.append((before != after, before, after, numbers))
    if not handled and case.hops(case.study.nodes.balancer):
        numbers = _both(case.hops(case.study.nodes.balancer))
        words = "every packet came out with the content it went in with" if wanted else ""
        return Verdict(not wanted, claim, words, numbers)
    if not found:
        return Verdict(False, claim, f"no request went on that had {field}")
    wrong = [one for one in found if one[0] != wanted]
    if not wrong:
        return Verdict(True, claim, packets=tuple(sorted({number for one in found for number in one[3]})))
    _, before, after, _ = wrong[0]
    words = (
        "it went on as it came" if wanted else f"{', '.join(before) or '(none)'} became {', '.join(after) or '(none)'}"
    )
    return Verdict(False, claim, words, tuple(sorted({number for one in wrong for number in one[3]})))


def _values(event: Mapping[str, Any], side: str, name: str) -> list[str]:
    return [str(value) for key, value in event.get(side) or () if str(key).lower() == name]


def never_seen(case: Case, routes: Routes, field: object, by: object) -> Verdict:
    """No decision made in mode *by* rests on the field, no rule loads it, no proxy parsed it; and it was there."""
    modes = sorted({mode for mode in routes.modes.values() if mode})
    chosen = modes if by == case.study.nodes.balancer and by is not None else [str(by)]
    if by not in ("l4", "l7") and chosen != modes:
        known = ("l4", "l7", case.study.nodes.balancer or "lb")
        raise CaptureError(f"A field is seen by l4, l7 or the balancer, not by {shown(by)}{near_miss(by, known)}.")
    claim = f"{field} never seen by {by}"
    own = case.study.nodes.balancer  # what it opens itself, it wrote
    there = [route for route in case.every_route if own is None or route.source != own]
    judged = [route.connection for route in there if case.mode(route.connection) in chosen]
    if not judged:
        others = [mode for mode in modes if mode not in chosen]
        words = f"no connection was handled by {by}" + (f", but by {', '.join(others)}" if others else "")
        words = f"no connection to the balancer was captured that {by} handled" if modes and not others else words
        return Verdict(False, claim, words, case.first(route.connection for route in case.every_route))
    carried, looked, unknown = [], [], []
    names: dict[str, None] = {}
    for connection in judged:
        for row in visibility.table(case.study, routes, connection, full=True).to_dict("records"):
            names[row["field"]] = None
            if row["field"] == field:
                carried.append(connection)
                looked += [connection] if row["state"] in _LOOKED else []
                unknown += [connection] if row["state"] is None else []
    looked += _parsed(case, str(field), chosen)
    if looked:
        packets = _decided(case, looked) or case.first(dict.fromkeys(looked))
        return Verdict(False, claim, f"it was read on {len(set(looked))} of {len(judged)} connections", packets)
    if not carried:
        hint = near_miss(field, names) or f": there are {', '.join(names)}"
        return Verdict(False, claim, f"nothing here has that field, so nothing is shown{hint}", case.first(judged))
    if unknown:
        return Verdict(False, claim, "the capture does not say what the balancer read", case.first(unknown))
    return Verdict(True, claim, packets=case.numbers(carried))


def _parsed(case: Case, field: str, modes: list[str]) -> list[int]:
    """Connections on which the proxy recorded that it held the field, whatever request it was."""
    if "l7" not in modes:
        return []
    names = {field, field.replace("http.", "http.header.", 1)} if field in ("http.host", "http.cookie") else {field}
    held = (
        (one.front, {*(one.event.get("read") or ()), *(one.event.get("held") or ())}) for one in case.study.exchanges
    )
    return [front for front, fields in held if front is not None and names & fields]


def _decided(case: Case, connections: list[int]) -> tuple[int, ...]:
    """The packets on which the decisions on these connections fell."""
    wanted = set(connections)
    rows = (row for row in case.decisions if row["connection"] in wanted and row["packet"] == row["packet"])
    return tuple(int(row["packet"]) for row in rows if row["packet"] is not None)
