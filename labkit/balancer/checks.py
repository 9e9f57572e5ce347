"""Health checks as values: what is asked of a backend, how often, and when it counts as up or down. Pure.

A place (a backend's port) is ``unknown`` until it has answered *rise* times in a row, and stays in rotation until then:
a port where nobody has ever served is not a backend that died. From ``up`` it goes ``down`` after *fall* failures in a
row, from ``down`` ``up`` again after *rise* answers in a row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from labkit.balancer.policy import Forward
from labkit.errors import PolicyError
from labkit.wording import near_miss, shown

Kind = Literal["tcp", "http", "udp"]
State = Literal["unknown", "up", "down"]
KINDS: tuple[str, ...] = get_args(Kind)
# The source ports of all checks, and of nothing else: neither a socket of the lab nor NAT chooses one below 1024
# where it was not there before, so that a check's packets are known by them.
SOURCE_PORTS = range(600, 1000)


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
    """What is checked: a port of a backend, at its IPv4 address, in one way."""

    backend: str
    address: str
    port: int
    how: Kind


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one place. streak: results in a row that speak against the state."""

    state: State = "unknown"
    streak: int = 0

    def after(self, answered: bool, check: Check) -> "Health":
        """What is known when one more result is in."""
        agrees = answered is (self.state == "up")
        if agrees or (self.state == "unknown" and not answered):
            return Health(self.state)
        if self.streak + 1 >= (check.rise if answered else check.fall):
            return Health("up" if answered else "down")
        return Health(self.state, self.streak + 1)


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
    found: dict[tuple[str, int, bool], Place] = {}
    for forward in forwards:
        listener = forward.listener
        datagrams = listener.transport == "udp"
        if datagrams and check.kind != "udp":
            continue
        how: Kind = "udp" if datagrams else "http" if check.kind == "http" and listener.protocol == "http" else "tcp"
        for target in forward.targets:
            key = (target.name, listener.target_port, datagrams)
            found.setdefault(key, Place(target.name, target.address4, listener.target_port, how))
    return tuple(found.values())


def plain(check: Check, some: Sequence[Place]) -> dict[str, Any]:
    """Both as they travel into the node."""
    return {"check": asdict(check), "places": [asdict(place) for place in some]}
