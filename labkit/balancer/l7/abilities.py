"""What an engine cannot do of a policy, in words: asked before anything is switched. Pure."""

from collections.abc import Callable, Iterator

from labkit.balancer.l7.auth import Basic
from labkit.balancer.l7.code import called
from labkit.balancer.l7.patterns import Regex
from labkit.balancer.l7.route import Route
from labkit.balancer.limits import Limits
from labkit.balancer.policy import L7Policy

_INSTEAD = {
    "when": "say it with path, method, headers, query, cookies, json, form or body",
    "transform_request": "leave it out",
    "transform_response": "leave it out",
}


def lacks(engine: str, policy: L7Policy) -> list[str]:
    """Each thing in *policy* that *engine* cannot do, with the remedy; [] if it can carry it out."""
    return list(_LACKS[engine](policy))


def _of_envoy(policy: L7Policy) -> Iterator[str]:
    yield from _runs_no_python(policy)
    yield from _routes_of_envoy(policy)
    if policy.limits.line_bytes != Limits().line_bytes:
        yield (
            "The engine envoy has no limit of its own for a line (Limits(line_bytes=…)): set head_bytes, the limit of "
            'all of a head, or use engine="mitmproxy".'
        )
    for network in policy.forwarded.trust if policy.forwarded else ():
        if ":" in network and not network.endswith("/128"):
            yield (
                f"The engine envoy trusts IPv6 addresses, not whole networks of them ({network}): name the addresses "
                'in Forwarded(trust=[…]), or use engine="mitmproxy".'
            )

    if policy.tls and policy.tls.http3 and policy.tls.clients:
        yield (
            f"Tls(http3=True, clients={policy.tls.clients!r}): the engine envoy asks for no client certificates over "
            "QUIC, so whoever came by HTTP/3 would have none. Leave one of them out."
        )


def _of_mitmproxy(policy: L7Policy) -> Iterator[str]:
    if policy.http3:
        yield (
            "The engine mitmproxy speaks HTTP/1.1 and HTTP/2 with clients, no HTTP/3 (Tls(http3=True)): leave it out, "
            'or use lab.balancer.l7(tls=Tls(http3=True), engine="envoy").'
        )


def _routes_of_envoy(policy: L7Policy) -> Iterator[str]:
    for route in policy.routes:
        to = route.redirect.to if route.redirect else ""
        if "?" in to and ("*" in to or "\\" in to):
            yield (
                f"Route({route.label!r}, redirect={to!r}): the engine envoy cannot put a caught piece and a query into "
                'one redirect. Leave the query out (the request\'s own is kept), or use engine="mitmproxy".'
            )
        for name, text in _texts(route):
            if not text.isascii():
                yield (
                    f"Route({route.label!r}): the engine envoy can neither look for nor write {text!r} ({name}): its "
                    "configuration is UTF-8, and the bytes of header fields are not. Keep to ASCII, or use "
                    'engine="mitmproxy".'
                )
        if isinstance(route.auth, Basic) and any(user.startswith("#") for user, _ in route.auth.users):
            yield (
                f"Route({route.label!r}): the engine envoy takes a user whose name begins with # for a comment: give "
                'another name, or use engine="mitmproxy".'
            )
        if route.max_body == 0:
            yield (
                f"Route({route.label!r}, max_body=0): the engine envoy lets at least one byte through. Ask for methods "
                'without a body, or use engine="mitmproxy".'
            )


def _texts(route: Route) -> Iterator[tuple[str, str]]:
    """All that *route* wants to be in header fields, by what it is for."""
    for argument in ("headers", "cookies"):
        for name, test in getattr(route, argument):
            if not isinstance(test, bool):
                yield f"{argument}: {name}", test.pattern if isinstance(test, Regex) else test
    for argument in ("request", "response"):
        edit = getattr(route, argument)
        for name, value in (*edit.set, *edit.add) if edit else ():
            yield f"{argument}: {name}", value
    for name, value in route.respond.headers if route.respond else ():
        yield f"respond: {name}", value


def _runs_no_python(policy: L7Policy) -> Iterator[str]:
    for route in policy.routes:
        for argument, instead in _INSTEAD.items():
            function = getattr(route, argument)
            if function is not None:
                yield (
                    f"Route({route.label!r}, {argument}={called(function)}): the engine envoy runs no Python. "
                    f'Use lab.balancer.l7(engine="mitmproxy"), or {instead}.'
                )


_LACKS: dict[str, Callable[[L7Policy], Iterator[str]]] = {
    "mitmproxy": _of_mitmproxy,
    "envoy": _of_envoy,
}
