"""What the balancer shall do, as frozen values. Engines say how; nothing here touches a socket or a clock.

An `L4Policy` forwards every listener to a set of backends; an `L7Policy` routes requests of the HTTP
listeners to pools and forwards the other listeners as L4 does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from labkit.balancer.route_refusals import missing_refusal, unknown_refusal
from labkit.errors import PolicyError
from labkit.topology import Listener

Algorithm = Literal["round_robin", "random", "source_hash", "flow_hash", "maglev"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
Style = Literal["dnat", "full", "dsr"]
STYLES: tuple[str, ...] = get_args(Style)


@dataclass(frozen=True, slots=True)
class Target:
    """A backend as an engine sees it: its name, its addresses on the back link, its share beside the others'."""

    name: str
    address4: str
    address6: str | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Forward:
    """One listener's traffic, spread over *targets* without being opened.

    style: what is done to a packet on its way. ``"dnat"`` gives it a new destination; ``"full"`` a new source too;
    ``"dsr"`` changes neither, and the answers bypass the balancer (direct server return).
    """

    listener: Listener
    targets: tuple[Target, ...]
    algorithm: Algorithm = "round_robin"
    style: Style = "dnat"


class _Missing(str):
    """Stands for what was not given."""


_MISSING = _Missing()


@dataclass(frozen=True, slots=True, init=False)
class Route:
    """Requests whose path matches *path* go to *pool*. ``*`` stands for any run of characters; first match wins.

    PolicyError for any other argument, and where one is missing. What they hold is checked by `plan`.

    >>> Route("/api/*", pool="api")
    """

    path: str
    pool: str

    def __init__(self, path: str = _MISSING, pool: str = _MISSING, **unknown: object) -> None:
        for name in unknown:
            raise PolicyError(unknown_refusal(name))
        for name, value in (("path", path), ("pool", pool)):
            if value is _MISSING:
                raise PolicyError(missing_refusal(name))
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class L4Policy:
    """Forward every listener: the backend is chosen on the first packet, by address and port."""

    forwards: tuple[Forward, ...]


@dataclass(frozen=True, slots=True)
class L7Policy:
    """Terminate *listeners*, route each request, forward the rest (*forwards*) as L4 does.

    pools: name -> targets, for every pool a route names. reencrypt: what came over TLS goes on over TLS, to its
    listener's port on the backends; otherwise in clear to *http_port* there. engine: which of `plan.ENGINES`
    carries it out.
    """

    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    pools: Mapping[str, tuple[Target, ...]] = field(default_factory=lambda: MappingProxyType({}))
    forwards: tuple[Forward, ...] = ()
    reencrypt: bool = False
    http_port: int = 80
    engine: str = "mitmproxy"
