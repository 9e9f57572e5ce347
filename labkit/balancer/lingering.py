"""Who came at L7, or to the TCP proxy, and stays, whatever the mode or engine is now: their proxy serves them until
they leave.

So a backend that is taken out at L4 is taken out of the proxies' pools too, and its connections are ended there as
well.
"""

from collections.abc import Callable, Sequence

from labkit.balancer.live import Live
from labkit.balancer.policy import L7Policy
from labkit.balancer.proxy import Proxy
from labkit.balancer.rotation import Rotation, routed, without
from labkit.errors import EngineError


def route(live: Live, rotation: Rotation) -> None:
    """Have the proxies route by *rotation* from the next request on. PolicyError at L7 where a pool would be empty."""
    if isinstance(live.policy, L7Policy):
        live.served = live.proxy_of(live.policy).apply(routed(live.policy, rotation))
    for name, policy in live.proxied.items():
        if policy is not live.policy:
            left = without(policy, rotation)
            _if_alive(live.proxies[name], lambda proxy, left=left: proxy.apply(left), None)  # type: ignore[misc]


def close_unused(live: Live) -> None:
    """Close what the proxies keep for requests that will not come: idle connections to who is drained."""
    for name in live.proxied:
        _if_alive(live.proxies[name], lambda proxy: proxy.close_unused(), None)


def reset(live: Live, addresses: Sequence[str]) -> int:
    """End the proxies' own connections to the backend at *addresses*. How many there were."""
    used = dict.fromkeys([*live.proxied, *([live.relayer.name] if live.relaying else [])])
    return sum(_if_alive(live.proxies[name], lambda proxy: proxy.reset(addresses), 0) for name in used)


def _if_alive[T](proxy: Proxy, ask: Callable[[Proxy], T], otherwise: T) -> T:
    """What a proxy answers by which something was ever routed; dead, it has no connections and routes nothing."""
    if not proxy.alive:
        return otherwise
    try:
        return ask(proxy)
    except EngineError:
        if proxy.alive:
            raise
        return otherwise
