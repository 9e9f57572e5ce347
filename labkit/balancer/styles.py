"""Which forwarding style is meant, and why one cannot be had here. Pure; it refuses.

What the styles do to packets, docs/l4.md tables; the rules of each are `nftables.styles` and `nftables.direct`.
"""

from typing import cast

from labkit.balancer.policy import STYLES, Style
from labkit.errors import PolicyError
from labkit.topology import Topology
from labkit.wording import near_miss, shown

ABOUT: dict[Style, str] = {
    "dnat": "a new destination; the client's address stays, answers come back through here",
    "full": "a new destination and a new source; the backend never sees the client's address",
    "dsr": "nothing is translated; the backend answers the client itself, over the router",
    "proxy": "TCP connections end here unread, and others lead on to the backends; UDP gets a new destination",
}

# What others call the same.
_SAME: dict[str, Style] = {
    **dict.fromkeys(("nat", "masq", "half_nat", "destination_nat"), "dnat"),
    **dict.fromkeys(("full_nat", "fullnat", "snat", "masquerade"), "full"),
    **dict.fromkeys(("direct", "dr", "gatewaying", "direct_return", "direct_server_return", "direct_routing"), "dsr"),
    **dict.fromkeys(("tcp_proxy", "tcp", "stream", "relay", "terminate", "splice"), "proxy"),
}
_ALL = (*STYLES, "proxy")


def style_of(topology: Topology, asked: object) -> Style:
    """The style called *asked*, if *topology* can have it. Raises PolicyError with the remedy."""
    if not isinstance(asked, str) or asked not in _ALL:
        word = asked.lower().replace("-", "_").replace(" ", "_") if isinstance(asked, str) else ""
        meant = f" (did you mean {_SAME[word]!r}?)" if word in _SAME else near_miss(asked, _ALL)
        raise PolicyError(f"lab.balancer.l4() does not know the style {shown(asked)}{meant}: it has {', '.join(_ALL)}.")
    if asked == "dsr":
        _directly(topology)
    return cast(Style, asked)


def _directly(topology: Topology) -> None:
    """Refuse direct server return where answers cannot bypass the balancer, or would come from another port."""
    if topology.router is None:
        raise PolicyError(
            f'lab.balancer.l4(style="dsr"): {topology.name} has no router beside {topology.balancer.name}, so answers '
            "have no way round it. Use Lab(direct_return()), from labkit.topology, or give a node "
            'role = "router" and an address on both links.'
        )
    for listener in topology.listeners:
        if listener.target_port != listener.port:
            raise PolicyError(
                f'lab.balancer.l4(style="dsr") rewrites nothing, so backends must serve {listener.label} on port '
                f"{listener.port} itself, not on {listener.target_port}: remove its backend_port, or use "
                'style="dnat" or "full".'
            )
