"""Who came at L7 and stays, whatever the mode is now: the proxy routes their requests until they leave.

So a backend that is taken out at L4 is taken out of the proxy's pools too, and its connections are ended there as well.
"""

from collections.abc import Callable, Sequence

from labkit.balancer.live import Live
from labkit.balancer.policy import L7Policy
from labkit.balancer.rotation import Rotation, routed, without
from labkit.errors import EngineError


def route(live: Live, rotation: Rotation) -> None:
    """Have the proxy route by *rotation* from the next request on. PolicyError at L7 where a pool would be empty."""
    if isinstance(live.policy, L7Policy):
        live.served = live.proxy.apply(routed(live.policy, rotation))
    elif (policy := live.proxied) is not None:
        _if_alive(live, lambda: live.proxy.apply(without(policy, rotation)), live.served)


def close_unused(live: Live) -> None:
    """Close what the proxy keeps for requests that will not come: its idle connections to who is drained."""
    _if_alive(live, live.proxy.close_unused, None)


def reset(live: Live, addresses: Sequence[str]) -> int:
    """End the proxy's own connections to the backend at *addresses*. How many there were."""
    return _if_alive(live, lambda: live.proxy.reset(addresses), 0)


def _if_alive[T](live: Live, ask: Callable[[], T], otherwise: T) -> T:
    """What the proxy answers, if anything was ever routed; dead, it has no connections and routes nothing."""
    if live.proxied is None or not live.proxy.alive:
        return otherwise
    try:
        return ask()
    except EngineError:
        if live.proxy.alive:
            raise
        return otherwise
