"""What the balancer does, in words: its rules at L7, its summary as text and HTML. Pure; nothing is asked here."""

from collections.abc import Sequence
from html import escape

from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import Forward, L4Policy, L7Policy, Target
from labkit.balancer.styles import ABOUT
from labkit.topology import Listener, Topology

NOT_A_MEASUREMENT = "inspecting engine: not a speed measurement"
_ABOUT = {"mitmproxy": NOT_A_MEASUREMENT, "envoy": "production engine"}
Rows = list[tuple[str, str]]


def endpoint(address: str, port: int) -> str:
    """``10.0.1.10:80``, ``[fd00::10]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def routes_text(policy: L7Policy, listening: Sequence[tuple[str, int]]) -> str:
    """*policy* as a table that reads like the proxy's own configuration, with where it listens on top."""
    rows = [(route.label, route.pool or "lb", _leads_to(policy, route)) for route in policy.routes]
    rows.append(("no match", "404", "answered here, no backend is contacted"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = "\n".join(f"{path:{widths[0]}}  {pool:{widths[1]}}  {targets}" for path, pool, targets in rows)
    ports = {listener.port for listener in policy.listeners}
    at = listening if policy.engine == "envoy" else [one for one in listening if one[1] in ports]
    where = " and ".join(endpoint(*one) for one in at)
    secure = "".join(
        f"# TLS ends on port {listener.port}; {_onwards(policy, listener)}\n" for listener in _secure(policy)
    )
    secure += "".join(f"# {line}\n" for line in _of_tls(policy))
    turns = ", backends take turns" if _alike(policy) else ""
    turns += ", sessions stay with theirs" if policy.sticky else ""
    return f"# {policy.engine}: routes on {where}; the first match wins{turns}\n{secure}{table}\n"


def rules_text(routes: str, kernel: str) -> str:
    """What runs at L7: *routes* in the proxy, and the *kernel*'s rules."""
    return f"{routes}\n# nftables: what the kernel does with connections that do not end in the proxy\n{kernel}"


def summary(topology: Topology, policy: L4Policy | L7Policy, notice: str | None) -> Rows:
    """Name and value of each line about a balancer that carries out *policy*; *notice* comes first, if any."""
    rows: Rows = [("attention", notice)] if notice else []
    if isinstance(policy, L7Policy):
        routes = ", ".join(f"{route.label} → {route.pool or 'lb itself'}" for route in policy.routes)
        rows += [
            ("mode", "l7: connections end here, each request is routed"),
            ("engine", f"{policy.engine} ({_ABOUT[policy.engine]})"),
        ]
        rows += [(_called(listener), f"{_ends(policy, listener)} here: {routes}") for listener in policy.listeners]
        rows += [("TLS", "; ".join(lines))] if (lines := _of_tls(policy)) else []
        rows += [
            (_called(forward.listener), f"{_unopened(forward)}, stays {_forwarded(forward)}")
            for forward in policy.forwards
        ]
    else:
        styles = dict.fromkeys(forward.style for forward in policy.forwards)
        proxied = "proxy" in styles
        passing = (
            "TCP connections end here unread" if proxied else "connections pass through, only addresses are rewritten"
        )
        rows += [("mode", f"l4: {passing}")]
        rows += [("style", f"{style}: {ABOUT[style]}") for style in styles if style != "dnat"]
        rows += [("engine", "envoy, and nftables in the kernel" if proxied else "nftables in the kernel")]
        rows += [(_called(forward.listener), _forwarded(forward)) for forward in policy.forwards]
    vip = " and ".join(str(address) for address in (topology.vip4, topology.vip6) if address)
    return [("balancer", f"{topology.balancer.name} at {vip}"), *rows]


def as_text(rows: Rows) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def as_html(rows: Rows) -> str:
    """A small table; colours come from the page."""
    cell = 'style="text-align:left;padding:2px 12px 2px 0"'
    lines = (f"<tr><th {cell}>{escape(name)}</th><td {cell}>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(lines)}</table>"


def _leads_to(policy: L7Policy, route: Route) -> str:
    """Who gets the requests of *route*."""
    if route.pool is None:
        how = f"redirects to {route.redirect.to}" if route.redirect else "answers"
        status = route.redirect.status if route.redirect else route.respond.status if route.respond else 0
        return f"{how} ({status}), no backend is contacted"
    targets = policy.pools[route.pool]
    names = ", ".join(f"{target.name} {target.address4}{_share(target, targets)}" for target in targets)
    return names if _alike(policy) else f"{names}: {_balanced(policy.balance.get(route.pool, Balance()))}"


def _alike(policy: L7Policy) -> bool:
    """Whether one backend is as good as another wherever a route leads, and they simply take turns."""
    balances = [policy.balance.get(pool, Balance()) for pool in policy.pools]
    weighted = any(_share(target, targets) for targets in policy.pools.values() for target in targets)
    return not weighted and all(balance.algorithm == "round_robin" for balance in balances)


def _balanced(balance: Balance) -> str:
    """``least requests``, ``consistent hash of cookie:user``."""
    hashed = f" of {balance.by}" if balance.algorithm == "consistent_hash" else ""
    return f"{balance.algorithm.replace('_', ' ')}{hashed}"


def _share(target: Target, targets: Sequence[Target]) -> str:
    """Its weight, where they differ."""
    return f" (weight {target.weight})" if len({each.weight for each in targets}) > 1 else ""


def _secure(policy: L7Policy) -> list[Listener]:
    return [listener for listener in policy.listeners if listener.protocol == "https"]


def _onwards(policy: L7Policy, listener: Listener) -> str:
    """How what came over TLS goes on."""
    if policy.reencrypt:
        return f"to the backends over TLS again, port {listener.target_port}"
    return f"to the backends in clear, port {policy.http_port}"


def _of_tls(policy: L7Policy) -> list[str]:
    """What else its `Tls` says, a line for each."""
    tls = policy.tls
    if tls is None:
        return []
    lines = [f"further certificates, chosen by SNI: {', '.join(tls.names)}"] if tls.names else []
    lines += [f"client certificates of the lab's CA are {tls.clients}"] if tls.clients else []
    lines += ["HTTP/3 is spoken too, over UDP at the same ports"] if tls.http3 else []
    lines += ["requests in clear are answered 308, to https://"] if tls.redirect else []
    lines += [f"answers over TLS say Strict-Transport-Security: max-age={tls.hsts}"] if tls.hsts is not None else []
    return lines


def _ends(policy: L7Policy, listener: Listener) -> str:
    if listener not in _secure(policy):
        return "ends"
    return f"TLS ends here ({_onwards(policy, listener)}), and HTTP ends"


def _unopened(forward: Forward) -> str:
    """Why this listener's connections do not end in the proxy."""
    return "TLS, not opened without tls=True" if forward.listener.protocol == "https" else "not HTTP"


def _called(listener: Listener) -> str:
    return f"{listener.label} ({listener.ports_text}/{listener.transport})"


def _forwarded(forward: Forward) -> str:
    if not forward.everyone:
        return "refused: none of its backends takes connections"
    if forward.style != "proxy":
        return f"forwarded: {_spread(forward)}"
    names = forward.relay.names if forward.relay else ()
    told = [f"{one.pattern} (SNI) → {', '.join(target.name for target in one.targets) or 'nobody'}" for one in names]
    return "; ".join([f"relayed: {_spread(forward) if forward.targets else 'nobody'}", *told])


def _spread(forward: Forward) -> str:
    names = (f"{target.name}{_share(target, forward.targets)}" for target in forward.targets)
    return f"{forward.algorithm.replace('_', ' ')} over {', '.join(names)}"
