"""What the balancer shall do, as frozen values. Engines say how; nothing here touches a socket or a clock.

An `L4Policy` forwards every listener to a set of backends; an `L7Policy` routes requests of the HTTP
listeners to pools and forwards the other listeners as L4 does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from labkit.topology import Listener

Algorithm = Literal["round_robin"]


@dataclass(frozen=True, slots=True)
class Target:
    """A backend as an engine sees it: its name and its addresses on the back link."""

    name: str
    address4: str
    address6: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """One listener's traffic, spread over *targets* without being opened."""

    listener: Listener
    targets: tuple[Target, ...]
    algorithm: Algorithm = "round_robin"


@dataclass(frozen=True, slots=True)
class Route:
    """Requests whose path matches *path* go to *pool*. ``*`` stands for any run of characters; first match wins.

    >>> Route("/api/*", pool="api")
    """

    path: str
    pool: str


@dataclass(frozen=True, slots=True)
class L4Policy:
    """Forward every listener: the backend is chosen on the first packet, by address and port."""

    forwards: tuple[Forward, ...]


@dataclass(frozen=True, slots=True)
class L7Policy:
    """Terminate *listeners*, route each request, forward the rest (*forwards*) as L4 does.

    pools: name -> targets, for every pool a route names.
    """

    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    pools: Mapping[str, tuple[Target, ...]] = field(default_factory=lambda: MappingProxyType({}))
    forwards: tuple[Forward, ...] = ()
