"""A policy's routes as Envoy's: one route configuration for each place where Envoy listens."""

from typing import Any

from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

from . import names, replies
from .discovery import ROUTES, File, file
from .paths import path_match

_ADDED = ("x-envoy-external-address", "x-envoy-internal")  # by Envoy, for Envoys behind it


# Envoy joins several Host fields by commas, and would pass on what a backend may read otherwise (RFC 9112 §3.2).
_TWO_HOSTS: dict[str, Any] = {
    "name": f"{names.REFUSED}more than one Host field",
    "match": {"prefix": "", "headers": [{"name": ":authority", "string_match": {"contains": ","}}]},
    "direct_response": replies.refusal("the request has more than one Host field"),
}


def routes_file(policy: L7Policy, version: int, place: names.Place) -> File:
    """The routes for what comes in at *place*. Their names begin with *version*, so that the log says which policy."""
    every = [_route(policy, route, version, number, place) for number, route in enumerate(policy.routes)]
    every.insert(0, _TWO_HOSTS)
    every.append(
        {
            "name": names.route_name(version, None),
            "match": {"prefix": ""},
            "direct_response": replies.no_route(policy),
        }
    )
    host = {"name": "every", "domains": ["*"], "routes": every}
    resource = {"name": place.name, "virtual_hosts": [host], "request_headers_to_remove": list(_ADDED)}
    return file(place.routes_file, ROUTES, [resource], f"http.{place.name}.rds.{place.name}.version_text")


def _route(policy: L7Policy, route: Route, version: int, number: int, place: names.Place) -> dict[str, Any]:
    said = {"name": names.route_name(version, number), "match": path_match(route.path)}
    assert route.pool is not None
    if not policy.pools[route.pool]:
        return said | {"direct_response": replies.nobody(route.pool)}
    return said | {"route": _onwards(names.reach(policy, route.pool, place))}


def _onwards(reach: names.Reach) -> dict[str, Any]:
    return {"cluster": reach.cluster, "timeout": "0s"}
