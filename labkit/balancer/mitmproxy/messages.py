"""What owner and proxy say to each other, as plain data; both sides read and write it here.

Owner to proxy: ``{"op": "policy", "id", "policy"}``, ``{"op": "routes", "id"}``, ``{"op": "flush", "id"}``,
``{"op": "identity", "id", "identity"}``: what `tls.Tls` takes, before any listener of HTTPS is used;
``{"op": "unused", "id"}``: idle connections that no route leads to are to be closed;
``{"op": "reset", "id", "addresses"}``: of the backend whose connections end now; the reply says how many in ``reset``.
Proxy to owner: ``{"kind": "ready", "listening": [[ip, port]]}``; one ``{"kind": "reply", "id", ...}`` to every
operation; ``request`` events and the messages of `tls`, the former as `labkit.recording.model` writes them.
"""

from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from labkit.balancer.limits import Limits
from labkit.balancer.policy import L7Policy, Route, Target
from labkit.topology import Listener

Plain = dict[str, Any]


def policy_to_plain(policy: L7Policy) -> Plain:
    """Routes and pools of *policy*; its forwards are no concern of the proxy."""
    return {
        "listeners": [listener_to_plain(listener) for listener in policy.listeners],
        "reencrypt": policy.reencrypt,
        "http_port": policy.http_port,
        "limits": asdict(policy.limits),
        "routes": [[route.path, route.pool] for route in policy.routes],
        "pools": {
            name: [[target.name, target.address4, target.address6] for target in targets]
            for name, targets in policy.pools.items()
        },
    }


def policy_from_plain(plain: Plain) -> L7Policy:
    pools = {name: tuple(Target(*target) for target in targets) for name, targets in plain["pools"].items()}
    return L7Policy(
        tuple(listener_from_plain(listener) for listener in plain["listeners"]),
        tuple(Route(path, pool) for path, pool in plain["routes"]),
        MappingProxyType(pools),
        reencrypt=plain["reencrypt"],
        http_port=plain["http_port"],
        limits=Limits(**plain["limits"]),
    )


def listener_to_plain(listener: Listener) -> list[Any]:
    return [listener.port, listener.protocol, listener.name, listener.backend_port]


def listener_from_plain(plain: list[Any]) -> Listener:
    return Listener(*plain)
