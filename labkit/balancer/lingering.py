"""Who came at L7 and stays, whatever the mode is now: the proxy routes their requests until they leave.

So a backend that is taken out at L4 is taken out of the proxy's pools too, and its connections are ended there as well.
"""

from collections.abc import Sequence

from labkit.balancer.live import Live
from labkit.balancer.policy import L7Policy
from labkit.balancer.rotation import Rotation, routed, without
from labkit.errors import EngineError


def route(live: Live, rotation: Rotation) -> None:
    """Have the proxy route by *rotation* from the next request on. PolicyError at L7 where a pool would be empty."""
    if isinstance(live.policy, L7Policy):
        live.served = live.proxy.apply(routed(live.policy, rotation))
    elif live.proxied is not None and live.proxy.alive:
        try:
            live.proxy.apply(without(live.proxied, rotation))
        except EngineError:
            if live.proxy.alive:
                raise  # dead, it routes nothing


def reset(live: Live, addresses: Sequence[str]) -> int:
    """End the proxy's own connections to the backend at *addresses*. How many there were."""
    if live.proxied is None or not live.proxy.alive:
        return 0
    try:
        return live.proxy.reset(addresses)
    except EngineError:
        if live.proxy.alive:
            raise
        return 0  # dead, it has none
