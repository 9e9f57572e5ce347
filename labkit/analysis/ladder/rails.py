"""The vertical lines of a ladder: clients, the balancer's two sides, backends; and which of them a connection spans.

A rail is a vantage point, or stands for a host where nothing was captured. The balancer has two, its front
and its back, of which a connection that ends or begins in it spans one; without a balancer there are the two ends and
whatever lies between.
"""

from dataclasses import dataclass

from labkit.analysis.events.nodes import endpoint
from labkit.analysis.packets.index import protocol_name
from labkit.analysis.routes import Route, Routes
from labkit.analysis.study import Study

from .choice import Chosen

_RANK = {"client": 0, "balancer": 1, "router": 2, "backend": 3}


@dataclass(frozen=True, slots=True)
class Rail:
    """name: the vantage point, or the host's. vantage: its number in the recording, None if nothing was captured."""

    name: str
    node: str
    role: str
    address: str
    vantage: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A connection across the rails.

    path: rails from client to server. captured: those at which it was seen. ending: it runs "through" the balancer,
    ends in it ("front") or begins there ("back"); "open": what lies behind the balancer was not captured; "alone":
    there is no balancer. ends: client and server, "ip:port", as seen nearest to the client. far_ends: nearest to the
    server.
    """

    connection: int
    proto: str
    path: tuple[int, ...]
    captured: frozenset[int]
    ending: str
    ends: tuple[str, str]
    far_ends: tuple[str, str]


Key = int | tuple[str, str]  # a vantage point's number, or side and name of a host where nothing was captured


@dataclass(frozen=True, slots=True)
class _Plan:
    """One line before its rails have numbers."""

    number: int
    keys: tuple[Key, ...]
    seen: frozenset[int]
    ending: str


def lay(study: Study, routes: Routes, chosen: Chosen) -> tuple[list[Rail], list[Line]]:
    """The rails of the chosen connections from left to right, and each connection's way across them."""
    plans = [
        _plan(study, routes.all[number - 1], place < chosen.fronts) for place, number in enumerate(chosen.connections)
    ]
    rails: dict[Key, Rail] = {}
    for plan in plans:
        for key in plan.keys:
            rails.setdefault(key, _rail(study, routes.all[plan.number - 1], key, plan))
    boxed = any(rail.role == "balancer" for rail in rails.values())
    order = sorted(rails, key=lambda key: _RANK.get(rails[key].role, 1)) if boxed else list(rails)
    at = {key: place for place, key in enumerate(order)}
    lines = []
    for plan in plans:
        members = study.connections.members[plan.number - 1]
        lines.append(
            Line(
                connection=plan.number,
                proto=protocol_name(int(study.sightings.proto[members[0]])) or "",
                path=tuple(at[key] for key in plan.keys),
                captured=frozenset(at[key] for key in plan.seen),
                ending=plan.ending,
                ends=_ends(study, members[0]),
                far_ends=_ends(study, members[-1]),
            )
        )
    return [rails[key] for key in order], lines


def _ends(study: Study, sighting: int) -> tuple[str, str]:
    client, server = study.finder.ends(sighting)
    return endpoint(*client), endpoint(*server)


_FRONT, _BACK = ("balancer", "front"), ("balancer", "back")  # the balancer's sides where nothing was captured


def _plan(study: Study, route: Route, front: bool) -> _Plan:
    number = route.connection
    members = study.connections.members[number - 1]
    vantages = list(dict.fromkeys(int(study.sightings.vantage[s]) for s in members))
    box = route.via or study.nodes.balancer
    ending = _ending(study, route, front, box)
    inside = [v for v in vantages if ending != "alone" and study.nodes.at_vantage[v] == box]
    before = _before(study, route, vantages) if ending != "alone" else vantages
    left: list[Key] = [v for v in vantages if v not in inside and v in before]
    behind = [v for v in vantages if v not in inside and v not in before]
    right: list[Key] = [
        *sorted(v for v in behind if _routes(study, v)),
        *(v for v in behind if not _routes(study, v)),
    ]
    if route.source not in {study.nodes.at_vantage[v] for v in left[:1] if isinstance(v, int)}:
        left.insert(0, ("client", route.source))
    if route.target not in {study.nodes.at_vantage[v] for v in (left[1:] + right)[-1:] if isinstance(v, int)}:
        right.append(("server", route.target))
    sides = _sides(study, route, inside)
    if ending == "open" and any(v not in (*left, sides[0]) for v in vantages):
        ending = "through"  # it was seen behind, where packets from the client can only have come through
    keys: tuple[Key, ...] = {
        "alone": (*left, *right),
        "through": (*left, *sides, *right),
        "front": (*left, sides[0]),
        "open": (*left, sides[0]),
        "back": (sides[-1], *right),
    }[ending]
    if strays := [v for v in vantages if v not in keys]:  # where the evidence contradicts the packets, they are seen
        at = 1 if ending == "back" else len(keys) - 1
        keys = (*keys[:at], *strays, *keys[at:])
    return _Plan(number, keys, frozenset(vantages), ending)


def _ending(study: Study, route: Route, front: bool, box: str | None) -> str:
    if box is None:
        return "alone"
    terminated, begun = route.connection in study.ended_here, route.connection in study.begun_here
    verdicts = (
        (route.source == box or begun, "back"),
        (route.via is not None and route.passed is True, "through"),
        (terminated or (front and route.mode == "l7"), "front"),
        (route.target == box or route.via is not None or route.mode is not None, "open"),
    )
    return next((ending for holds, ending in verdicts if holds), "alone")


def _before(study: Study, route: Route, vantages: list[int]) -> set[int]:
    """Vantage points on the client's side: by whose they are, else by whether the addresses there are the client's."""
    members = study.connections.members[route.connection - 1]
    ends = study.finder.ends(members[0])
    known = {"client": True, "router": False, "backend": False}
    return {
        vantage
        for vantage in vantages
        for sighting in members
        if int(study.sightings.vantage[sighting]) == vantage
        and known.get(
            study.nodes.roles.get(study.nodes.at_vantage[vantage], ""),
            study.finder.ends(sighting) == ends and route.source != study.nodes.balancer,
        )
    }


def _routes(study: Study, vantage: int) -> bool:
    """Whether it is a router's, beside the balancer."""
    return study.nodes.roles.get(study.nodes.at_vantage[vantage]) == "router"


def _sides(study: Study, route: Route, inside: list[int]) -> list[Key]:
    """The balancer's rails, front to back: at least two; a lone vantage point stands on the side it belongs to."""
    if len(inside) > 1:
        return [*inside]
    if not inside:
        return [_FRONT, _BACK]
    members = study.connections.members[route.connection - 1]
    sighting = next(s for s in members if int(study.sightings.vantage[s]) == inside[0])
    _, (server, _) = study.finder.ends(sighting)
    behind = route.source == study.nodes.balancer or study.nodes.roles.get(study.nodes.at(server)) == "backend"
    return [_FRONT, inside[0]] if behind else [inside[0], _BACK]


def _called(study: Study, host: str) -> str:
    """A host's name; of an address that is no host's, what is known of who has it."""
    return study.strangers.called if host in study.strangers.addresses else host


def _rail(study: Study, route: Route, key: Key, plan: _Plan) -> Rail:
    box = route.via or study.nodes.balancer or "lb"
    if key in (_FRONT, _BACK):
        return Rail("", box, "balancer", "", None)
    vantage = key if isinstance(key, int) else None
    node = _called(study, key[1]) if isinstance(key, tuple) else study.nodes.at_vantage[key]
    name = node if vantage is None else study.vantages[vantage]
    role = study.nodes.roles.get(node) or ("balancer" if node == box and plan.ending != "alone" else "")
    if not role:
        role = "client" if key == plan.keys[0] else "backend" if key == plan.keys[-1] else "between"
    return Rail(name, node, role, study.nodes.addresses.get(node, ""), vantage)
