"""The figures of a capture as plain data: what the demo writes down and the acceptance tests check. All computed."""

from collections import Counter
from typing import Any

import numpy as np

from .graph import finding
from .packets import headers
from .packets.index import TCP
from .routes import Routes
from .study import Study


def summary(study: Study, routes: Routes) -> dict[str, Any]:
    """A JSON-able dictionary.

    requests: at L7 by the proxy's record, at L4 by the HTTP/1 in clear in the packets. tcp_connections: per vantage
    point. same_connection: whether every TCP connection that a client opened is the one that reached a backend; None
    without any, or where packets from behind the balancer are missing. rewritten_fields: header fields that differ
    between two observations of one TCP packet. balancer_reads: fields used, held or loaded by rules, in that order.
    routes: rule -> backend -> requests.
    """
    read = [route.connection for route in routes.all if route.mode != "l7"]
    in_clear = sum(study.requests_in_clear[one] for one in read if one not in study.requests_again)
    return {
        "mode": mode(routes),
        "finding": finding(study, routes),
        "requests": len(study.exchanges) + in_clear,
        "tcp_connections": _tcp_connections(study),
        "same_connection": _same_connection(study, routes),
        "rewritten_fields": _rewritten_fields(study),
        "balancer_reads": _balancer_reads(study),
        "loss": {name: {"captured": kept, "dropped": lost} for name, kept, lost in loss(study)},
        "routes": _routes(study),
    }


def mode(routes: Routes) -> str | None:
    """ "l4", "l7", "mixed" if connections were handled in both modes, None if the recording does not say."""
    modes = {route.mode for route in routes.all if route.mode} or routes.in_force
    return modes.pop() if len(modes) == 1 else "mixed" if modes else None


def loss(study: Study) -> list[tuple[str, int, int | None]]:
    """(vantage point, packets captured, packets dropped or None) for each."""
    counted = np.bincount(study.index.vantage, minlength=len(study.vantages)).tolist()
    known = study.recording.loss
    return [
        (name, known[name].captured, known[name].dropped) if name in known else (name, count, None)
        for name, count in zip(study.vantages, counted, strict=True)
    ]


def _tcp_connections(study: Study) -> dict[str, int]:
    vantage = study.sightings.vantage[study.sightings.proto == TCP]
    return dict(zip(study.vantages, np.bincount(vantage, minlength=len(study.vantages)).tolist(), strict=True))


def _same_connection(study: Study, routes: Routes) -> bool | None:
    balancer = study.nodes.balancer
    opened = [route for route in routes.all if route.proto == "TCP" and (balancer is None or route.source != balancer)]
    passed = {route.passed for route in opened}
    return next((verdict for verdict in (False, None, True) if verdict in passed), None)


def _rewritten_fields(study: Study) -> list[str]:
    before, after = study.trajectories.steps
    tcp = study.index.proto[after] == TCP
    return headers.names_rewritten(study.index, before[tcp], after[tcp])


def _balancer_reads(study: Study) -> list[str]:
    recorded = study.recording
    decided = [*recorded.of_kind("decision"), *recorded.of_kind("request"), *recorded.of_kind("relay")]
    used = [name for event in decided for name in event.get("read") or ()]
    held = [name for event in decided for name in event.get("held") or ()]
    loaded = [name for event in recorded.of_kind("rules") for name in event.get("reads") or ()]
    return list(dict.fromkeys([*used, *held, *loaded]))


def _routes(study: Study) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for exchange in study.exchanges:
        rule, backend = exchange.event.get("rule"), exchange.event.get("backend")
        if rule is not None and backend is not None:
            counts.setdefault(str(rule), Counter())[str(backend)] += 1
    return {rule: dict(sorted(found.items())) for rule, found in counts.items()}
