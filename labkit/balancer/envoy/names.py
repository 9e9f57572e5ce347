"""What listeners, routes, clusters and files are called: one place, for whoever writes and whoever reads them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.balancer.policy import L7Policy
from labkit.topology import Listener

FIRST_PORT, LAST_PORT = 15_000, 15_999
FIRST_RELAY_PORT = 16_000  # of connections that are relayed unread
REFUSED = "refused: "  # begins the name of what answers for the policy, and says why
NO_ROUTE = "none"  # what answers where no route of the policy matches
ADMIN, FENCE = "admin.sock", "fence.sock"  # Unix sockets
LOG, FRONT_KEYS, BACK_KEYS = "requests.log", "front.keys", "back.keys"  # pipes
CLUSTERS_FILE = "clusters.json"
LISTENERS_FILE = "listeners.json"
Family = int  # 4 | 6
_SECURE, _CLEAR = ((True, False), (False, False), (False, True)), ((False, False),)  # multiplexed, quic


@dataclass(frozen=True, slots=True)
class Place:
    """Where Envoy listens: a listener of the lab at one address of the VIP, at a port of Envoy's own.

    multiplexed: for clients that offer HTTP/2 in their ClientHello; others who come there have a place of their own.
    quic: for HTTP/3, at the same port of UDP.
    """

    listener: Listener
    address: str
    port: int
    multiplexed: bool = False
    quic: bool = False

    @property
    def family(self) -> Family:
        return 6 if ":" in self.address else 4

    @property
    def name(self) -> str:
        offered = "_h3" if self.quic else "_h2" if self.multiplexed else ""
        return f"{self.listener.protocol}_{self.listener.port}_ip{self.family}{offered}"

    @property
    def routes_file(self) -> str:
        return f"routes_{self.name}.json"


@dataclass(frozen=True, slots=True)
class Reach:
    """How a pool's backends are reached: which port, with TLS or in clear, over which family of addresses.

    multiplexed: over HTTP/2, if the backend agrees.
    """

    pool: str
    port: int
    tls: bool
    family: Family
    multiplexed: bool = False

    @property
    def cluster(self) -> str:
        how = "h2" if self.multiplexed else "tls" if self.tls else "clear"
        return f"{self.pool}_{self.port}_{how}_ip{self.family}"

    @property
    def endpoints_file(self) -> str:
        return f"endpoints_{self.cluster}.json"


def duration(seconds: float) -> str:
    """*seconds* as Envoy reads them: no exponent, at least a millisecond (none would be for ever), at most 10 years."""
    return f"{min(max(seconds, 0.001), 315_360_000):.3f}s"


def ports(ended: Iterable[Listener], taken: Iterable[Listener], first: int = FIRST_PORT) -> dict[Listener, int]:
    """A port of Envoy's own for each listener of *ended*, none of which a listener of *taken* has: 80 gets 15080.

    first: of the ports to choose from, as many as from `FIRST_PORT` to `LAST_PORT`.
    """
    used = [range(listener.port, listener.last_port + 1) for listener in taken]
    found: dict[Listener, int] = {}
    span = LAST_PORT - FIRST_PORT + 1
    for listener in ended:
        for step in range(span):
            port = first + (listener.port + step) % span
            if port not in found.values() and not any(port in each for each in used):
                found[listener] = port
                break
        else:
            raise ValueError(f"no port between {first} and {first + span - 1} is free for {listener.label}")
    return found


def places(addresses: Sequence[str], own_ports: dict[Listener, int]) -> tuple[Place, ...]:
    """Every listener at every address of the VIP; those of HTTPS for each version of HTTP."""
    return tuple(
        Place(listener, address, port, multiplexed, quic)
        for address in addresses
        for listener, port in own_ports.items()
        for multiplexed, quic in (_SECURE if listener.protocol == "https" else _CLEAR)
    )


def reach(policy: L7Policy, pool: str, place: Place) -> Reach:
    """How what came in at *place* goes on to *pool*."""
    secure = place.listener.protocol == "https"
    inside_tls = secure and policy.reencrypt
    port = policy.http_port if secure and not inside_tls else place.listener.target_port
    return Reach(pool, port, inside_tls, place.family, inside_tls and (place.multiplexed or place.quic))


def route_name(version: int, place: int | None) -> str:
    """The name of a policy's route, which the log repeats: ``7:0`` is the first route of the seventh policy."""
    return f"{version}:{NO_ROUTE if place is None else place}"
