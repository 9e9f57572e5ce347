"""Which fields an L7 balancer looks at, told from its policy alone: for engines that keep no record of that. Pure."""

from labkit.balancer.l7.auth import ApiKey, ClientCertificate
from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.conditions import looks_at
from labkit.balancer.l7.request import field_of
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

CERTIFICATE = "tls.client_certificate"


def looked_at(policy: L7Policy, number: int | None, *, secure: bool, six: bool) -> tuple[str, ...]:
    """The fields behind a decision for route *number* (None: none matched): those that the routes up to it may look at,
    and those by which it admits and chooses. six: the client came over IPv6."""
    client = "ip6.src" if six else "ip.src"
    found = list(_at_the_door(policy, secure=secure))
    walked = policy.routes if number is None else policy.routes[: number + 1]
    found += [name for route in walked for name in looks_at(route)]
    if number is not None:
        found += _admitting(policy.routes[number], client)
        found += _choosing(policy, policy.routes[number], client)
    return tuple(dict.fromkeys(found))


def _at_the_door(policy: L7Policy, *, secure: bool) -> list[str]:
    if policy.tls is None:
        return []
    if not secure:
        return ["http.host", "http.target"] if policy.tls.redirect else []
    names = ["http.host", "tls.sni"] if policy.tls.names else []
    return [*names, *([CERTIFICATE] if policy.tls.clients == "required" else [])]


def _admitting(route: Route, client: str) -> list[str]:
    found = ["http.method", "http.header.origin"] if route.cors else []
    if isinstance(route.auth, ApiKey):
        found.append(field_of(route.auth.header))
    elif isinstance(route.auth, ClientCertificate):
        found.append(CERTIFICATE)
    elif route.auth:
        found.append("http.header.authorization")
    named = route.auth.user if route.auth else None  # what is there is the balancer's word, and not the client's
    if route.limit and route.limit.by != "route" and (route.limit.header is None or route.limit.header != named):
        found.append(field_of(route.limit.header) if route.limit.header else client)
    return found


def _choosing(policy: L7Policy, route: Route, client: str) -> list[str]:
    if route.pool is None:
        return []
    found = ["http.cookie"] if policy.sticky else []
    balance = policy.balance.get(route.pool, Balance())
    if balance.algorithm == "consistent_hash":
        kind, _, name = balance.by.partition(":")
        found.append(client if kind == "client" else "http.cookie" if kind == "cookie" else field_of(name))
    return found
