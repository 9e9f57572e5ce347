"""L4 as a TCP proxy: what may be asked of it, and which part of a policy it carries out. Pure; it refuses.

Connections end in a proxy that opens another one to a backend, and passes bytes on both ways without reading them. Of
a TLS connection it may read the name that the client asks for (SNI, RFC 6066 §3), which stands in clear.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from labkit.balancer.policy import Algorithm, Forward, Named, Relay, Style, Target
from labkit.errors import PolicyError
from labkit.topology import Listener, Topology
from labkit.wording import shown

_HOST = re.compile(
    r"(?=.{1,253}$)(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_USE = 'Use lab.balancer.l4(style="proxy", {}).'


def check_relay(topology: Topology, style: Style, algorithm: Algorithm, proxy_protocol: object, sni: object) -> None:
    """PolicyError for what the TCP proxy cannot do, and for what only it could, where another style is asked for."""
    if style != "proxy":
        _check_alone(style, proxy_protocol, sni)
        return
    if algorithm == "flow_hash":
        raise PolicyError(
            'lab.balancer.l4("flow_hash", style="proxy"): flow_hash is the kernel\'s hash of a packet\'s five fields, '
            'and no packet passes a proxy. Use "maglev", which hashes both ends of the connection.'
        )
    relayed = [listener for listener in topology.listeners if listener.transport == "tcp"]
    if not relayed:
        raise PolicyError(
            f'lab.balancer.l4(style="proxy") ends TCP connections, and {topology.name} has no TCP listener: give it '
            'one, as in Listener(80), or use style="dnat".'
        )
    if ranges := [listener for listener in relayed if listener.port != listener.last_port]:
        raise PolicyError(
            f"lab.balancer.l4(style=\"proxy\") ends a listener's connections at one port of the proxy's own, and "
            f"{ranges[0].label} has ports {ranges[0].ports_text}: give each port a listener, or use "
            'style="dnat", which keeps the port.'
        )
    if proxy_protocol is not None and (isinstance(proxy_protocol, bool) or proxy_protocol not in (1, 2)):
        raise PolicyError(
            f"lab.balancer.l4(proxy_protocol={shown(proxy_protocol)}): there are versions 1 (a line of text) and 2 "
            "(binary) of the PROXY protocol; leave it out for none."
        )
    if sni is not None:
        _check_sni(topology, sni)


def relay_of(listener: Listener, proxy_protocol: object, sni: object, pools: Mapping[str, tuple[Target, ...]]) -> Relay:
    """How *listener* is relayed, of what `check_relay` let through; names are asked for over TLS alone."""
    names = sni.items() if isinstance(sni, Mapping) and listener.protocol == "https" else ()
    protocol = proxy_protocol if isinstance(proxy_protocol, int) else 0
    return Relay(protocol, tuple(Named(pattern.lower(), pool, pools[pool]) for pattern, pool in names))


def relayed(forwards: Iterable[Forward]) -> tuple[Forward, ...]:
    """Those that the proxy carries out."""
    return tuple(forward for forward in forwards if forward.style == "proxy" and forward.everyone)


def passed(forwards: Iterable[Forward]) -> tuple[Forward, ...]:
    """Those that the kernel carries out: it also refuses the clients of a proxy that has nobody to relay to."""
    return tuple(
        replace(forward, style="dnat", relay=None) if forward.style == "proxy" else forward
        for forward in forwards
        if forward.style != "proxy" or not forward.everyone
    )


def relays_text(forwards: Sequence[Forward], listening: Sequence[tuple[str, int]]) -> str:
    """*forwards* as a table that reads like the proxy's own configuration, with where it listens on top."""
    rows = []
    for forward in forwards:
        relay = forward.relay or Relay()
        label, how = forward.listener.label, forward.algorithm.replace("_", " ")
        port = forward.listener.target_port
        rows += [(f"{label} sni {one.pattern}", how, _ends(one.targets, port)) for one in relay.names]
        rows.append((label, how, _ends(forward.targets, port)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = "\n".join(f"{label:{widths[0]}}  {how:{widths[1]}}  {ends}" for label, how, ends in rows)
    where = " and ".join(
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in listening
    )
    told = {forward.relay.protocol for forward in forwards if forward.relay} - {0}
    more = "".join(f"# backends are told of the client by the PROXY protocol, version {one}\n" for one in sorted(told))
    return f"# envoy: TCP connections end on {where}; nothing of HTTP is read\n{more}{table}\n"


def _ends(targets: Sequence[Target], port: int) -> str:
    weighted = len({target.weight for target in targets}) > 1
    ends = (f"{one.name} {one.address4}:{port}" + (f" weight {one.weight}" if weighted else "") for one in targets)
    return ", ".join(ends) or "nobody: the connection is closed"


def _check_alone(style: Style, proxy_protocol: object, sni: object) -> None:
    if proxy_protocol is not None:
        raise PolicyError(
            f"L4 with style {style!r} cannot add a PROXY header: it passes the client's connection through, and what "
            f"lb put in front would be bytes that nobody sent. {_USE.format('proxy_protocol=1')}"
        )
    if sni is not None:
        raise PolicyError(
            "L4 cannot route by SNI: it chooses the backend on the SYN, before the client has sent its ClientHello. "
            f"A TCP proxy has the hello before it chooses. {_USE.format('sni=' + shown(sni))}"
        )


def _check_sni(topology: Topology, sni: object) -> None:
    example = 'sni={"shop.test": "api", "*.img.test": "images"}'
    if not isinstance(sni, Mapping) or not sni:
        raise PolicyError(f"lab.balancer.l4(sni={shown(sni)}): names of hosts lead to pools, as in {example}.")
    for pattern in sni:
        if not isinstance(pattern, str) or not _HOST.fullmatch(pattern.lower()):
            raise PolicyError(
                f"lab.balancer.l4(sni={{{shown(pattern)}: ...}}) is no host's name: write it whole, or with *. in "
                f"front for every name below it, as in {example}. All other names go to the backends chosen."
            )
    twice = [pattern for pattern in sni if sum(pattern.lower() == other.lower() for other in sni) > 1]
    if twice:
        raise PolicyError(f"lab.balancer.l4(sni=...) has {twice[0]} twice: case makes no difference in a host's name.")
    if all(listener.protocol != "https" for listener in topology.listeners):
        raise PolicyError(
            f"lab.balancer.l4(sni=...) reads names in TLS, and {topology.name} has no listener that carries it: "
            'give it one, as in Listener(443, "https").'
        )
