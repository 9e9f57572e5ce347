"""The connections as a graph, and the sentence that says what it shows.

Nodes are hosts (`role`: client, balancer, router or backend; `vantages`; `address`). At L4 a connection is one edge
from client to backend with `via` naming the balancer it runs through; at L7 it takes two edges, client → balancer and
balancer → backend. Edges carry `connections` (how many), `mode`, `proto`, `states` (how many are in which), and
`packets_out`, `packets_in`, `bytes_out`, `bytes_in` (of payload; out: from the edge's source).
"""

from collections import Counter

import networkx as nx
import numpy as np

from .connections.merged import counts
from .messages import clear
from .routes import Route, Routes
from .study import Study


def build(study: Study, routes: Routes) -> "nx.MultiDiGraph[str]":
    """The graph of all connections. Nodes in the topology's order; one edge per pair, mode and protocol."""
    graph, bundles = _joined(study, routes)
    homes = np.array([members[0] for members in study.connections.members], dtype=np.int64)  # of connection i at i - 1
    amounts = {name: amount[homes] for name, amount in counts(study.index, study.sightings).items()}
    states = [study.story.state[home] for home in homes.tolist()]
    for edge, some in bundles.items():
        rows = np.array(some) - 1
        sums = {name: int(column[rows].sum()) for name, column in amounts.items()}
        graph.edges[edge].update(
            states=dict(sorted(Counter(str(states[row]) for row in rows.tolist()).items())), **sums
        )
    return graph


def outline(study: Study, routes: Routes) -> "nx.MultiDiGraph[str]":
    """The same graph without states and amounts, for a picture: much sooner there when connections are very many."""
    return _joined(study, routes)[0]


def _joined(study: Study, routes: Routes) -> tuple["nx.MultiDiGraph[str]", dict[tuple[str, str, str], list[int]]]:
    """The graph without states and amounts, and the connections of each edge."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    roles = dict(study.nodes.roles) or _roles(routes.all)
    for name, role in roles.items():
        vantages = [v for v, node in zip(study.vantages, study.nodes.at_vantage, strict=True) if node == name]
        graph.add_node(name, role=role, vantages=tuple(vantages), address=study.nodes.addresses.get(name))
    bundles: dict[tuple[str, str, str | None, str, str | None], list[int]] = {}
    for connection, proto, mode, source, target, via, _ in routes.all:
        bundles.setdefault((source, target, mode, proto, via), []).append(connection)
    for source, target, *_ in bundles:  # hosts outside the topology
        for name, role in ((source, "client"), (target, "backend")):
            if name not in graph:
                graph.add_node(name, role=role, vantages=(), address=None)
    edges: dict[tuple[str, str, str], list[int]] = {}
    for (source, target, known, proto, via), some in bundles.items():
        mode = known or "unknown"
        graph.add_edge(source, target, f"{mode}/{proto}", connections=len(some), mode=mode, proto=proto, via=via)
        edges[(source, target, f"{mode}/{proto}")] = some
    return graph, edges


def _roles(routes: list[Route]) -> dict[str, str]:
    """Roles by behaviour, where no topology tells: who opens connections and accepts them stands in the middle."""
    sources, targets = {route.source for route in routes}, {route.target for route in routes}
    clients = {name: "client" for route in routes if (name := route.source) not in targets}
    middle = {route.source: "balancer" for route in routes if route.source in targets}
    return {**clients, **middle, **{name: "backend" for route in routes if (name := route.target) not in sources}}


def finding(study: Study, routes: Routes) -> str:
    """What this capture shows, in one sentence a mode; the same for the same traffic, whatever ports and times."""
    by_mode = {mode: [r for r in routes.all if r.mode == mode] for mode in ("l4", "l7", None)}
    told = [_TELLERS[mode](study, found) for mode, found in by_mode.items() if found]
    if not told and study.exchanges:
        told = [_l7(study, [])]
    return "; ".join(told) or "No connections"


def _l4(study: Study, routes: list[Route]) -> str:
    ended = study.ended_here | study.begun_here
    relayed = [route for route in routes if route.connection in ended]
    if not relayed:
        return _passed(study, routes)
    passed = [route for route in routes if route.connection not in ended and not _is_own(study, route)]
    back = [route for route in relayed if route.connection in study.begun_here]
    front = [route for route in relayed if route.connection not in study.begun_here]
    asked = sum(
        study.requests_in_clear[one.connection] for one in relayed if one.connection not in study.requests_again
    )
    told = [_count(asked, "request") + _in_clear(study, front)] if asked else []
    told += [_count(len(front), "client connection"), _count(len(back), "back connection")]
    relays = f"L4 as a TCP proxy: {', '.join(told)}"
    return "; ".join([relays, *([_passed(study, passed)] if passed else [])])


def _is_own(study: Study, route: Route) -> bool:
    """Whether the balancer opened it."""
    return route.source == study.nodes.balancer


def _passed(study: Study, routes: list[Route]) -> str:
    through = [route for route in routes if route.via]
    asked = sum(study.requests_in_clear[route.connection] for route in routes)
    told = [_count(asked, "request") + _in_clear(study, routes)] if asked else []
    told.append(_count(len(routes), "connection"))
    known = through or [route for route in routes if study.nodes.roles.get(route.target) == "backend"]
    whole = "" if len(routes) == 1 else "each " if len(known) == len(routes) else f"{len(known):,} of them "
    if through:
        told.append(f"{whole}running through {through[0].via} to a backend")
    elif known:  # by the balancer's record, or seen at the backend alone
        told.append(f"{whole}reaching a backend")
    elif all(route.passed is False for route in routes):
        told.append("none reaching a backend")
    return f"L4: {', '.join(told)}"


def _in_clear(study: Study, routes: list[Route]) -> str:
    """What must be said of a count of requests where some connections hide theirs."""
    begun = clear.tls_begun(study.index, study.sightings)
    hidden = any(begun[study.connections.home(route.connection)] for route in routes)
    return " in clear" if hidden else ""


def _l7(study: Study, routes: list[Route]) -> str:
    balancer = study.nodes.balancer
    back = [route for route in routes if route.source == balancer or (balancer is None and _is_back(study, route))]
    front = len(routes) - len(back)
    counts = ((len(study.exchanges), "request"), (front, "client connection"), (len(back), "back connection"))
    return "L7: " + ", ".join(_count(number, word) for number, word in counts)


def _is_back(study: Study, route: Route) -> bool:
    return any(exchange.back == route.connection for exchange in study.exchanges)


def _unknown(_: Study, routes: list[Route]) -> str:
    return _count(len(routes), "connection")


_TELLERS = {"l4": _l4, "l7": _l7, None: _unknown}


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
