"""Health checks as values: what is asked of a backend, how often, and when it counts as up or down. Pure.

A place is a TCP or UDP port of a backend. Where somebody is known to serve it begins as ``up``, elsewhere as
``unknown``, which counts as in rotation until the checks have spoken. Whatever it was, it is ``down`` after *fall*
failures in a row and ``up`` after *rise* answers in a row. Of a range of ports the first is checked, and stands for all
once it has answered.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from labkit.balancer import rotation
from labkit.balancer.policy import Forward
from labkit.balancer.rotation import Transport
from labkit.errors import PolicyError
from labkit.wording import near_miss, shown

Kind = Literal["tcp", "http", "udp"]
State = Literal["unknown", "up", "down"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Check:
    """How backends are checked. interval: seconds from one check of a place to the next, which also bounds each.

    tcp: the port takes connections. http: where the listener is HTTP, a GET of *path* is answered with a status from
    200 to 399; elsewhere as tcp. udp: ports of UDP listeners answer a datagram, those of TCP as tcp.
    """

    kind: Kind = "tcp"
    interval: float = 0.5
    rise: int = 2
    fall: int = 2
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Place:
    """What is checked: a port of a backend, at its IPv4 address, in one way.

    first: of a range of ports. Where nobody has ever answered it, others of the range may be served all the same.
    """

    backend: str
    address: str
    port: int
    how: Kind
    first: bool = False

    @property
    def transport(self) -> Transport:
        return "udp" if self.how == "udp" else "tcp"

    @property
    def key(self) -> rotation.Place:
        """The same as the rotation knows it, in whatever way it is checked."""
        return self.backend, self.transport, self.port


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one place. row: how many answers were the last results, or (below 0) how many failures."""

    state: State = "unknown"
    row: int = 0

    def after(self, answered: bool, check: Check, first: bool = False) -> "Health":
        """What is known when one more result is in. first: as in `Place`."""
        if first and self.state == "unknown" and not answered:
            return Health()
        row = max(self.row, 0) + 1 if answered else min(self.row, 0) - 1
        if row >= check.rise:
            return Health("up", row)
        return Health("down" if -row >= check.fall else self.state, row)


def checked(kind: object, interval: object, rise: object, fall: object, path: object) -> Check:
    """What ``lab.balancer.health.check(...)`` was asked for; PolicyError for what cannot be."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise PolicyError(f"health.check(kind={shown(kind)}){near_miss(kind, KINDS)}: kinds are {', '.join(KINDS)}.")
    if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0.05 <= interval <= 3600:
        raise PolicyError(f"health.check(interval={shown(interval)}): give seconds from 0.05 to 3600.")
    for name, value in (("rise", rise), ("fall", fall)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
            raise PolicyError(f"health.check({name}={shown(value)}): give a number of results in a row, 1 to 100.")
    if (
        not isinstance(path, str)
        or not path.startswith("/")
        or not path.isascii()
        or not path.isprintable()
        or " " in path
    ):
        raise PolicyError(f'health.check(path={shown(path)}): give a path in ASCII, as in path="/health".')
    return Check(kind, float(interval), rise, fall, path)  # type: ignore[arg-type]  # looked at above


def places(forwards: Iterable[Forward], check: Check) -> tuple[Place, ...]:
    """Every port that *forwards* may send to, once, with how it is checked; UDP ports only by ``kind="udp"``."""
    found: dict[rotation.Place, Place] = {}
    for forward in forwards:
        listener = forward.listener
        datagrams = listener.transport == "udp"
        if datagrams and check.kind != "udp":
            continue
        how: Kind = "udp" if datagrams else "http" if check.kind == "http" and listener.protocol == "http" else "tcp"
        for target in forward.targets:
            ranged = listener.last_port > listener.port
            place = Place(target.name, target.address4, listener.target_port, how, ranged)
            found.setdefault(place.key, place)
    return tuple(found.values())


def unheard(
    forwards: Iterable[Forward], states: Mapping[rotation.Place, State], served: Collection[rotation.Place]
) -> Iterator[rotation.Place]:
    """The UDP ports that are not checked themselves, at backends that have died as a whole: no TCP port of theirs that
    is checked answers, and one did when the lab started (*served*)."""
    failing: dict[str, bool] = {}
    for (backend, transport, _), state in states.items():
        if transport == "tcp":
            failing[backend] = failing.get(backend, True) and state == "down"
    dead = {backend for backend, transport, _ in served if transport == "tcp" and failing.get(backend)}
    for forward in forwards:
        if forward.listener.transport == "udp":
            for target in forward.targets:
                place: rotation.Place = (target.name, "udp", forward.listener.target_port)
                if target.name in dead and place not in states:
                    yield place


def plain(check: Check, some: Sequence[Place], states: Sequence[State]) -> dict[str, Any]:
    """How *some* places are checked and what is known of each, as it travels into the node."""
    return {"check": asdict(check), "places": [asdict(place) for place in some], "states": list(states)}
