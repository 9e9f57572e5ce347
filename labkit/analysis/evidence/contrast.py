"""One mode's half of a comparison, as plain data: how many connections, who answered, what was rewritten.

Computed from what was captured and from the proxy's own record, the same way for every mode.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from labkit.analysis import summary
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from .case import Case

Row = dict[str, Any]


def counts(study: Study, routes: Routes) -> dict[str, object]:
    """measure -> number (or yes, no), in the order in which they are told.

    Requests are seen in clear, or by the proxy that ends them: of what passes encrypted nobody counts any.
    """
    figures = summary.summary(study, routes)
    balancer, backends = study.nodes.balancer, _backends(study)
    tcp = [route for route in routes.all if route.proto == "TCP"]
    datagrams = [route for route in routes.all if route.proto == "UDP"]
    same = figures["same_connection"]
    captured = figures["loss"].values()
    dropped = [one["dropped"] for one in captured]
    return {
        "requests seen": figures["requests"],
        "TCP connections that clients opened": sum(route.source != balancer for route in tcp),
        "TCP connections that backends accepted": sum(
            route.target in backends and (route.source == balancer or route.passed is not False) for route in tcp
        ),
        "is it the same connection": {True: "yes", False: "no", None: "not shown"}[same],
        "TCP connections in all": len(tcp),
        "UDP conversations": len(datagrams),
        "packets captured": sum(one["captured"] for one in captured),
        "packets lost": "not counted" if None in dropped else sum(dropped),
    }


def answered(study: Study, routes: Routes) -> dict[str, int]:
    """backend -> requests it answered (by the proxy's record), or connections it got where nobody read requests."""
    found: Counter[str] = Counter()
    for exchange in study.exchanges:
        if exchange.event.get("backend") and exchange.back is not None:
            found[str(exchange.event["backend"])] += 1
    backends = _backends(study)
    for route in routes.all:
        if route.mode != "l7" and route.target in backends:
            found[route.target] += study.requests_in_clear.get(route.connection) or 1
    return dict(sorted(found.items()))


def rewrites(study: Study, routes: Routes) -> list[Row]:
    """One row per field that came out of the balancer with another value: field, before, after (of the first), count.

    Of packets that ran through it (of: how many did), and of requests that it passed on.
    """
    return [*_of_packets(study, routes), *_of_requests(study)]


def _of_packets(study: Study, routes: Routes) -> list[Row]:
    hops = Case(study, routes).hops(study.nodes.balancer) if study.nodes.balancer else []
    first: dict[str, tuple[object, object]] = {}
    many: Counter[str] = Counter()
    for hop in hops:
        for field, change in hop.changed.items():
            first.setdefault(field, change)
            many[field] += 1
    return [_row(field, *first[field], many[field], len(hops), "packets") for field in first]


def _of_requests(study: Study) -> list[Row]:
    passed = [one.event for one in study.exchanges if one.event.get("headers_forwarded") is not None]
    first: dict[str, tuple[object, object]] = {}
    many: Counter[str] = Counter()
    for event in passed:
        before, after = (_values(event, side) for side in ("headers_received", "headers_forwarded"))
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                field = f"http.{name}" if name in ("host", "cookie") else f"http.header.{name}"
                first.setdefault(field, (before.get(name), after.get(name)))
                many[field] += 1
    return [_row(field, *first[field], many[field], len(passed), "requests") for field in first]


def _row(field: str, before: object, after: object, count: int, of: int, unit: str) -> Row:
    none = "(none)"
    return {
        "field": field,
        "before": none if before is None else before,
        "after": none if after is None else after,
        "count": f"{count:,} of {of:,} {unit}",
    }


def _values(event: Mapping[str, Any], side: str) -> dict[str, str]:
    """A request's header fields as one value each (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in event.get(side) or ():
        key = str(name).lower()
        found[key] = f"{found[key]}, {value}" if key in found else str(value)
    return found


def _backends(study: Study) -> set[str]:
    return {name for name, role in study.nodes.roles.items() if role == "backend"}
