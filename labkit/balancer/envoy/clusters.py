"""The pools as Envoy's clusters, and who is in them as endpoints, which change without touching their cluster.

A cluster that was once there stays, so that connections made for it go on; when no route leads there any more it has no
endpoints, and Envoy closes the idle connections to those that it had.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.resilience import Ejection
from labkit.balancer.policy import L7Policy, Target

from . import names
from .discovery import CLUSTER, ENDPOINTS, TYPES, File, file, source
from .listeners import EXTENDED_CONNECT, PRESERVE_CASE, TLS_VERSIONS, Identity

NO_LIMIT = 1 << 30  # Envoy's own limits are 1,024 connections and requests a cluster
PROTOCOL = f"{TYPES}envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
UPSTREAM_TLS = f"{TYPES}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def reached(policy: L7Policy, places: Iterable[names.Place]) -> dict[names.Reach, tuple[Target, ...]]:
    """Every way in which the policy reaches a pool, and who is in it; also from where it ends nothing new, for those
    who came there before."""
    return {
        names.reach(policy, route.pool, place): policy.pools[route.pool]
        for place in places
        for route in policy.routes
        if route.pool is not None
    }


def clusters_file(
    policy: L7Policy,
    folder: str,
    every: Sequence[names.Reach],
    identity: Identity | None,
    more: Iterable[dict[str, Any]] = (),
) -> File:
    """All clusters, in the order in which they were first needed, as *policy* wants those that it knows; and *more*."""
    resources = [*(_cluster(policy, folder, reach, identity) for reach in every), *more]
    return file(names.CLUSTERS_FILE, CLUSTER, resources, "cluster_manager.cds.version_text")


def endpoints_file(reach: names.Reach, targets: Sequence[Target]) -> File:
    """Who is in a cluster."""
    resource = {"cluster_name": reach.cluster, "endpoints": [{"lb_endpoints": [_end(reach, one) for one in targets]}]}
    return file(reach.endpoints_file, ENDPOINTS, [resource], f"cluster.{reach.cluster}.version_text")


def address_of(reach: names.Reach, target: Target) -> str:
    """Where *target* is reached."""
    return target.address6 if reach.family == 6 and target.address6 else target.address4


def _end(reach: names.Reach, target: Target) -> dict[str, Any]:
    """Named, so that the log says who it was, and TLS who it must be."""
    where = {"socket_address": {"address": address_of(reach, target), "port_value": reach.port}}
    return {"endpoint": {"address": where, "hostname": target.name}, "load_balancing_weight": target.weight}


def _cluster(policy: L7Policy, folder: str, reach: names.Reach, identity: Identity | None) -> dict[str, Any]:
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), NO_LIMIT)
    if policy.circuit:
        limits["max_requests"] = policy.circuit.requests
    made: dict[str, Any] = {
        "name": reach.cluster,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source(folder, reach.endpoints_file)},
        "connect_timeout": names.duration(policy.timeouts.connect),
        **balancing(policy.balance.get(reach.pool, Balance())),
        **({"outlier_detection": _ejection(policy.ejection)} if policy.ejection else {}),
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": PROTOCOL, **_protocol(reach)}
        },
    }
    if reach.tls and identity:
        made["transport_socket"] = {"name": "tls", "typed_config": _tls(folder, identity)}
    return made


def balancing(balance: Balance) -> dict[str, Any]:
    """How a cluster chooses."""
    if balance.algorithm in _POLICIES:
        return {"lb_policy": _POLICIES[balance.algorithm]}
    scanned = {"selection_method": "FULL_SCAN"} if balance.algorithm == "least_requests" else {"choice_count": 2}
    least = {"@type": f"{TYPES}envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest", **scanned}
    extension = {"name": "envoy.load_balancing_policies.least_request", "typed_config": least}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": extension}]}}


_POLICIES = {
    "round_robin": "ROUND_ROBIN",
    "random": "MAGLEV",  # which draws lots where a route makes no hash, and minds weights; RANDOM does not
    "consistent_hash": "MAGLEV",
}


def _ejection(ejection: Ejection) -> dict[str, Any]:
    """Who fails so often in a row is left out; nothing else counts. Half of them at most, and one may always be."""
    enforced = dict.fromkeys(("enforcing_consecutive_5xx",), 100)
    off = dict.fromkeys(("enforcing_consecutive_gateway_failure", "enforcing_success_rate"), 0)
    return {
        "consecutive_5xx": ejection.failures,
        "interval": "0.1s",
        "base_ejection_time": names.duration(ejection.seconds),
        "max_ejection_time": names.duration(ejection.seconds),
        "max_ejection_percent": 50,
        "always_eject_one_host": True,
        **enforced,
        **off,
    }


def _protocol(reach: names.Reach) -> dict[str, Any]:
    """HTTP/2 is offered for clients that speak it, over TLS; HTTP/1.1 it is for the others, and in clear."""
    http1 = {"header_key_format": PRESERVE_CASE}
    if reach.multiplexed:
        return {"auto_config": {"http_protocol_options": http1, "http2_protocol_options": EXTENDED_CONNECT}}
    return {"explicit_http_config": {"http_protocol_options": http1}}


def _tls(folder: str, identity: Identity) -> dict[str, Any]:
    """The backend must show a certificate of the lab's root for its own name."""
    return {
        "@type": UPSTREAM_TLS,
        "auto_host_sni": True,
        "auto_sni_san_validation": True,
        "common_tls_context": {
            "tls_params": TLS_VERSIONS,
            "validation_context": {"trusted_ca": {"inline_string": identity.root}},
            "key_log": {"path": f"{folder}/{names.BACK_KEYS}"},
        },
    }
