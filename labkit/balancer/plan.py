"""From a topology and what the user asked for to a policy: pure, and the one place that refuses.

Every refusal is a `PolicyError` that teaches: what L4 or L7 cannot do and why, what exists instead. What
is not built yet is refused by name, never taken and ignored. Carrying a policy out is the engines' part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from labkit.balancer.l7.abilities import lacks
from labkit.balancer.l7.auth import ClientCertificate
from labkit.balancer.l7.balance import balance_of
from labkit.balancer.l7.checked import checked_routes
from labkit.balancer.l7.forwarded import forwarded_of
from labkit.balancer.l7.resilience import Circuit, Ejection, Retries, Timeouts, one_of
from labkit.balancer.l7.route import Route
from labkit.balancer.l7.sticky import sticky_of
from labkit.balancer.l7.tls import Tls, tls_of
from labkit.balancer.limits import Limits
from labkit.balancer.policy import Forward, L4Policy, L7Policy, Target
from labkit.balancer.refusals import l4_refusal, l7_refusal
from labkit.balancer.relays import check_relay, relay_of
from labkit.balancer.shares import algorithm_of, weighed
from labkit.balancer.styles import style_of
from labkit.errors import PolicyError
from labkit.topology import Listener, Topology
from labkit.wording import near_miss, shown

ALL = "all"  # the pool of every backend; no topology may use the name for another
HTTP_PORT = 80  # where backends serve HTTP in clear, in a topology that does not say
ENGINES = ("mitmproxy", "envoy")


def plan_l4(
    topology: Topology,
    /,
    algorithm: object = "round_robin",
    backends: object = None,
    pool: object = None,
    weights: object = None,
    style: object = "dnat",
    proxy_protocol: object = None,
    sni: object = None,
    **unknown: object,
) -> L4Policy:
    """Every listener forwarded to *backends*, or to *pool*, or to all backends. Raises PolicyError.

    algorithm: a name of `policy.ALGORITHMS`, or "weighted". weights: by backend's name, 1 for those not named.
    style: of `policy.STYLES`, or "proxy", which alone takes proxy_protocol and sni.
    """
    for name in unknown:
        raise PolicyError(l4_refusal(name))
    chosen = algorithm_of(algorithm, weights)
    if backends is not None and pool is not None:
        raise PolicyError(
            "lab.balancer.l4() was given both backends and pool, which may disagree: give one of them, "
            'backends=["api1"] or pool="api".'
        )
    names = pool_members(topology, pool, "l4") if backends is None else _named_backends(topology, backends)
    how = style_of(topology, style)
    check_relay(topology, how, chosen, proxy_protocol, sni)
    asked = sni.values() if isinstance(sni, Mapping) else ()
    members = {str(name): pool_members(topology, name, "lab.balancer.l4(sni=...)") for name in asked}
    together = dict.fromkeys([*names, *(name for one in members.values() for name in one)])
    heavy = {target.name: target for target in weighed(targets_of(topology, together), weights)}
    targets = tuple(heavy[name] for name in names)
    if how != "proxy":
        return L4Policy(tuple(Forward(listener, targets, chosen, how) for listener in topology.listeners))
    named = {pool: tuple(heavy[name] for name in one) for pool, one in members.items()}
    return L4Policy(
        tuple(
            Forward(listener, targets, chosen, "proxy", relay_of(listener, proxy_protocol, sni, named))
            if listener.transport == "tcp"
            else Forward(listener, targets, chosen)
            for listener in topology.listeners
        )
    )


def plan_l7(
    topology: Topology,
    forwards: Iterable[Forward],
    /,
    routes: object = None,
    engine: object = "mitmproxy",
    tls: object = False,
    reencrypt: object = False,
    sticky: object = None,
    algorithm: object = "round_robin",
    weights: object = None,
    hash_on: object = None,
    forwarded: object = False,
    request_id: object = False,
    compress: object = False,
    retries: object = None,
    timeouts: object = None,
    ejection: object = None,
    circuit: object = None,
    limits: object = None,
    **unknown: object,
) -> L7Policy:
    """The HTTP listeners ended and routed by *routes*; the others forwarded as in *forwards*. Raises PolicyError.

    routes: a list of `Route`; None for one route ``/<pool>/*`` a pool, then everything else over all backends.
    engine: of `ENGINES`. tls: HTTPS listeners are ended too, as a `Tls` says; reencrypt: and what they carried goes on
    over TLS. sticky, algorithm, weights, hash_on, forwarded, request_id, compress, retries, timeouts, ejection,
    circuit, limits: as `Balancer.l7` takes them.
    """
    for name in unknown:
        raise PolicyError(l7_refusal(name))
    if engine not in ENGINES:
        raise PolicyError(
            f"lab.balancer.l7() does not know the engine {shown(engine)}: built now are {', '.join(ENGINES)}."
        )
    ending = tls_of(tls, (node.name for node in topology.nodes))
    listeners = _ended(topology, ending, _flag("reencrypt", reencrypt))
    chosen = default_routes(topology) if routes is None else checked_routes(routes)
    _check_certificates(ending, chosen)
    pools = {
        route.pool: targets_of(topology, pool_members(topology, route.pool, f"Route({shown(route.label)})"))
        for route in chosen
        if route.pool is not None
    }
    everyone = {target.name: target for targets in pools.values() for target in targets}
    heavy = {target.name: target for target in weighed(list(everyone.values()), weights, "l7")}
    pools = {name: tuple(heavy[target.name] for target in targets) for name, targets in pools.items()}
    others = tuple(forward for forward in forwards if forward.listener not in listeners)
    in_clear = [listener.target_port for listener in topology.listeners if listener.protocol == "http"]
    policy = L7Policy(
        listeners,
        chosen,
        MappingProxyType(pools),
        others,
        reencrypt is True,
        in_clear[0] if in_clear else HTTP_PORT,
        str(engine),
        balance=MappingProxyType(balance_of(algorithm, hash_on, pools)),
        sticky=sticky_of(sticky),
        forwarded=forwarded_of(forwarded),
        request_id=_flag("request_id", request_id, "every request gets an X-Request-Id of its own, or none does"),
        compress=_flag("compress", compress, "text goes to who takes gzip as gzip, or as the backend sent it"),
        retries=one_of("retries", retries, Retries, "Retries(2)"),
        timeouts=one_of("timeouts", timeouts, Timeouts, "Timeouts(connect=1, answer=10)") or Timeouts(),
        ejection=one_of("ejection", ejection, Ejection, "Ejection(failures=3, seconds=10)"),
        circuit=one_of("circuit", circuit, Circuit, "Circuit(100)"),
        limits=one_of("limits", limits, Limits, "Limits(header_seconds=2)") or Limits(),
        tls=ending,
    )
    for reason in lacks(str(engine), policy):
        raise PolicyError(reason)
    return policy


def _ended(topology: Topology, tls: Tls | None, reencrypt: bool) -> tuple[Listener, ...]:
    """The listeners that end in the proxy."""
    if reencrypt and not tls:
        raise PolicyError(
            "lab.balancer.l7(reencrypt=True) encrypts again what was decrypted here, and without tls=True nothing is: "
            "TLS passes through unopened. Use l7(tls=True, reencrypt=True)."
        )
    protocols = ("http", "https") if tls else ("http",)
    listeners = tuple(listener for listener in topology.listeners if listener.protocol in protocols)
    if tls and all(listener.protocol == "http" for listener in listeners):
        raise PolicyError(
            f"lab.balancer.l7(tls=True) ends TLS on HTTPS listeners, and {topology.name} has none: "
            'give it one, as in Listener(443, "https").'
        )
    if tls and tls.redirect and all(listener.protocol == "https" for listener in listeners):
        raise PolicyError(
            f"Tls(redirect=True) answers requests in clear, and {topology.name} has no HTTP listener: give it one, "
            "as in Listener(80), or leave redirect out."
        )
    for other in topology.listeners if tls and tls.http3 else ():
        for listener in listeners:
            if listener.protocol == "https" and replace(listener, protocol="udp").shares(other):
                raise PolicyError(
                    f"Tls(http3=True) listens for QUIC on UDP port {listener.port}, as {listener.label} does on TCP, "
                    f"and {topology.name} forwards that: {other.label}. Move one of them to another port."
                )
    if not listeners:
        raise PolicyError(
            f"L7 routes HTTP requests, and {topology.name} has no HTTP listener: give it one, as in Listener(80). "
            "HTTPS is opened with tls=True alone."
        )
    return listeners


def _check_certificates(tls: Tls | None, routes: Iterable[Route]) -> None:
    for route in routes:
        if isinstance(route.auth, ClientCertificate) and not (tls and tls.clients):
            raise PolicyError(
                f"Route({shown(route.label)}, auth=ClientCertificate(...)) judges certificates that no client is asked "
                'for: add tls=Tls(clients="optional") to l7(), or "required" to refuse every client without.'
            )


def _flag(name: str, value: object, about: str = "the certificates are the lab's own") -> bool:
    if not isinstance(value, bool):
        raise PolicyError(f"lab.balancer.l7({name}={shown(value)}): {name} is True or False; {about}.")
    return value


def default_routes(topology: Topology) -> tuple[Route, ...]:
    """``/<pool>/*`` to each pool in the order written, then everything else to all backends."""
    return (*(Route(f"/{pool}/*", pool) for pool in topology.pools), Route("*", ALL))


def targets_of(topology: Topology, names: Iterable[str]) -> tuple[Target, ...]:
    """The backends called *names* with their addresses on the back link."""
    interfaces = [(name, topology.node(name).interface(topology.back.name)) for name in names]
    return tuple(
        Target(name, str(interface.address4.ip), str(interface.address6.ip) if interface.address6 else None)
        for name, interface in interfaces
    )


def pool_members(topology: Topology, pool: object, asker: str) -> tuple[str, ...]:
    """The names of the backends of *pool* (None: all). Raises PolicyError naming *asker* if there are none."""
    everyone = tuple(node.name for node in topology.backends)
    pools: Mapping[str, tuple[str, ...]] = {**topology.pools, ALL: everyone}
    if ALL in topology.pools and topology.pools[ALL] != everyone:
        raise PolicyError(f'{topology.source} calls a pool "{ALL}", the reserved name of all backends: rename it.')
    if pool is None:
        pool = ALL
    if not isinstance(pool, str) or pool not in pools:
        raise PolicyError(f"{asker} names the pool {shown(pool)}, which does not exist{_instead(pool, pools)}.")
    if not pools[pool]:
        raise PolicyError(f"{asker} names the pool {shown(pool)}, which has no backends: there is nowhere to send to.")
    return pools[pool]


def _named_backends(topology: Topology, backends: object) -> tuple[str, ...]:
    if isinstance(backends, str) or not isinstance(backends, Sequence):
        raise PolicyError(f'lab.balancer.l4(backends={shown(backends)}): backends is a list of names, as in ["api1"].')
    if not backends:
        raise PolicyError("lab.balancer.l4(backends=[]) leaves nowhere to send to: name one, or leave it out for all.")
    roles = {node.name: node.role for node in topology.nodes}
    everyone = [node.name for node in topology.backends]
    names: list[str] = []
    for item in backends:
        name = item if isinstance(item, str) else getattr(item, "name", item)
        role = roles.get(name) if isinstance(name, str) else None
        if role != "backend":
            what = f"{name} is a {role}, not a backend" if role else f"there is no backend {shown(name)}"
            raise PolicyError(f"lab.balancer.l4(): {what}{_instead(name, everyone)}.")
        if name in names:
            raise PolicyError(f"lab.balancer.l4(): {name} is named twice: name it once, and give it more with weights.")
        names.append(str(name))
    return tuple(names)


def _instead(wrong: object, choices: Iterable[str]) -> str:
    """`` (did you mean 'x'?): there are a, b`` for what is not among *choices*."""
    names = list(choices)
    return f"{near_miss(wrong, names)}: there are {', '.join(names)}"
