"""What the balancer shall do, as frozen values. Engines say how; nothing here touches a socket or a clock.

An `L4Policy` forwards every listener to a set of backends; an `L7Policy` routes requests of the HTTP
listeners to pools and forwards the other listeners as L4 does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.forwarded import Forwarded
from labkit.balancer.l7.resilience import Circuit, Ejection, Retries, Timeouts
from labkit.balancer.l7.route import Route
from labkit.balancer.l7.sticky import Sticky
from labkit.balancer.l7.tls import Tls
from labkit.balancer.limits import Limits
from labkit.topology import Listener

Algorithm = Literal["round_robin", "random", "source_hash", "flow_hash", "maglev"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
Passing = Literal["dnat", "full", "dsr"]
STYLES: tuple[str, ...] = get_args(Passing)  # those in which packets pass through
Style = Literal["dnat", "full", "dsr", "proxy"]


@dataclass(frozen=True, slots=True)
class Target:
    """A backend as an engine sees it: its name, its addresses on the back link, its share beside the others'."""

    name: str
    address4: str
    address6: str | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Named:
    """Whose connections go elsewhere: those that ask for *pattern* (a host's name, or ``*.img.test``) by SNI."""

    pattern: str
    pool: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Relay:
    """How the TCP proxy relays. protocol: version of the PROXY protocol that backends are told the client by, 0 for
    none. names: chosen by SNI, whoever asks for none of them goes to the forward's own targets."""

    protocol: int = 0
    names: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """One listener's traffic, spread over *targets* without being read.

    style: what is done to a packet on its way. ``"dnat"`` gives it a new destination; ``"full"`` a new source too;
    ``"dsr"`` changes neither, and the answers bypass the balancer (direct server return). At ``"proxy"`` no packet
    passes: connections end here and others begin, as *relay* says.
    """

    listener: Listener
    targets: tuple[Target, ...]
    algorithm: Algorithm = "round_robin"
    style: Style = "dnat"
    relay: Relay | None = None

    @property
    def everyone(self) -> tuple[Target, ...]:
        """All that it may be forwarded to, once each."""
        named = [target for one in (self.relay.names if self.relay else ()) for target in one.targets]
        return tuple({target.name: target for target in (*self.targets, *named)}.values())


@dataclass(frozen=True, slots=True)
class L4Policy:
    """Forward every listener: the backend is chosen on the first packet, by address and port."""

    forwards: tuple[Forward, ...]


@dataclass(frozen=True, slots=True)
class L7Policy:
    """Terminate *listeners*, route each request, forward the rest (*forwards*) as L4 does.

    pools: name -> targets, for every pool a route names. reencrypt: what came over TLS goes on over TLS, to its
    listener's port on the backends; otherwise in clear to *http_port* there. engine: which of `plan.ENGINES` carries it
    out. balance: by pool, round robin for those not named. limits: of a request from a client. tls: how the HTTPS
    listeners among them end TLS; None: as `Tls()` does. The rest is for every request: see what
    each of the values says.
    """

    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    pools: Mapping[str, tuple[Target, ...]] = field(default_factory=lambda: MappingProxyType({}))
    forwards: tuple[Forward, ...] = ()
    reencrypt: bool = False
    http_port: int = 80
    engine: str = "mitmproxy"
    balance: Mapping[str, Balance] = field(default_factory=lambda: MappingProxyType({}))
    sticky: Sticky | None = None
    forwarded: Forwarded | None = None
    request_id: bool = False
    compress: bool = False
    retries: Retries | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    ejection: Ejection | None = None
    circuit: Circuit | None = None
    limits: Limits = field(default_factory=Limits)
    tls: Tls | None = None

    @property
    def https_port(self) -> int:
        """Where clients find the first HTTPS listener."""
        return next((listener.port for listener in self.listeners if listener.protocol == "https"), 443)

    @property
    def http3(self) -> bool:
        """Whether its HTTPS listeners speak HTTP/3 too, over UDP at their ports."""
        return self.tls is not None and self.tls.http3
