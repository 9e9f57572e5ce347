"""Who may ask, how often, and how much: a route's part of Envoy's own filters for that. Pure."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from labkit.balancer.l7.auth import ApiKey, Basic, ClientCertificate, Jwt
from labkit.balancer.l7.cors import Cors
from labkit.balancer.l7.rates import RateLimit
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

from . import door, lua
from .discovery import TYPES

FILTERS = f"{TYPES}envoy.extensions.filters.http."
USER = "x-labkit-user"  # in which filters leave the user's name; a script gives it the name that is wanted
NO_SUCH_LIMIT = {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
_MOST_KEYS = 10_000
_LEAST_INTERVAL = 0.05  # seconds; Envoy fills no bucket more often
Config = dict[str, Any]


COMPRESSING: Config = {
    "@type": f"{FILTERS}compressor.v3.CompressorPerRoute",
    "overrides": {"response_direction_config": {}},
}


def of_route(policy: L7Policy, route: Route, *, upgrading: bool) -> dict[str, Config]:
    """The configuration of each filter that *route* needs, by the filter's name."""
    found: dict[str, Config] = {}
    if route.cors:
        found["cors"] = _cors(route.cors)
    if isinstance(route.auth, ApiKey):
        found["api_key"] = _api_key(route.auth)
    elif isinstance(route.auth, Basic):
        found["basic"] = _basic(route.auth)
    elif isinstance(route.auth, Jwt):
        requirement = f"jwt{_jwts(policy).index(route.auth)}"
        found["jwt"] = {"@type": f"{FILTERS}jwt_authn.v3.PerRouteConfig", "requirement_name": requirement}
    elif isinstance(route.auth, ClientCertificate):
        found["certificate"] = lua.whole(door.certificate(route.auth))
    if route.auth and route.auth.user and not isinstance(route.auth, ClientCertificate):  # its script says so itself
        found["user"] = lua.whole(_NAMED.replace("$USER", USER).replace("$NAME", route.auth.user))
    if route.limit:
        found["limit"] = _limit(route.limit)
    most = largest_body(policy, route)
    if most is not None and not upgrading:  # it would wait for the end of what never ends
        found["buffer"] = {
            "@type": f"{FILTERS}buffer.v3.BufferPerRoute",
            "buffer": {"max_request_bytes": min(most, 2**32 - 1)},
        }
    return found


def largest_body(policy: L7Policy, route: Route) -> int | None:
    """The most bytes that a request of *route* may carry, if there is a limit; 0 was refused (`abilities`)."""
    return min((size for size in (route.max_body, policy.limits.body_bytes) if size is not None), default=None)


def jwt_filter(policy: L7Policy) -> Config:
    """The keys of all routes' tokens: the one filter that cannot be told by a route."""
    providers = {f"jwt{number}": _provider(one) for number, one in enumerate(_jwts(policy))}
    requirements = {name: {"provider_name": name} for name in providers}
    return {
        "@type": f"{FILTERS}jwt_authn.v3.JwtAuthentication",
        "providers": providers,
        "requirement_map": requirements,
    }


def _jwts(policy: L7Policy) -> list[Jwt]:
    found: dict[Jwt, None] = {}
    for route in policy.routes:
        if isinstance(route.auth, Jwt):
            found[route.auth] = None
    return list(found)


def _cors(cors: Cors) -> Config:
    origins: list[Mapping[str, str]] = [
        {"prefix": ""} if origin == "*" else {"exact": origin} for origin in cors.origins
    ]
    return {
        "@type": f"{FILTERS}cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "allow_methods": ",".join(cors.methods),
        **({"allow_headers": ",".join(cors.headers)} if cors.headers else {}),
        "allow_credentials": cors.credentials,
        "max_age": str(cors.max_age),
    }


def _api_key(auth: ApiKey) -> Config:
    return {
        "@type": f"{FILTERS}api_key_auth.v3.ApiKeyAuthPerRoute",
        "credentials": [{"key": key, "client": name} for name, key in auth.keys],
        "key_sources": [{"header": auth.header}],
        **({"forwarding": {"header": USER}} if auth.user else {}),
    }


def _basic(auth: Basic) -> Config:
    return {"@type": f"{FILTERS}basic_auth.v3.BasicAuthPerRoute", "users": {"inline_string": htpasswd(auth)}}


def htpasswd(auth: Basic) -> str:
    """The one format that Envoy reads."""
    return "".join(
        f"{name}:{{SHA}}{base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()}\n"
        for name, password in auth.users
    )


def _provider(auth: Jwt) -> Config:
    secret = base64.urlsafe_b64encode(auth.key.encode()).rstrip(b"=").decode()
    keys = {"keys": [{"kty": "oct", "alg": "HS256", "k": secret}]}
    return {
        **({"issuer": auth.issuer} if auth.issuer else {}),
        **({"audiences": [auth.audience]} if auth.audience else {}),
        "from_headers": [
            {"name": "Authorization", "value_prefix": f"{word} "} for word in ("Bearer", "bearer", "BEARER")
        ],
        "local_jwks": {"inline_string": json.dumps(keys)},
        "forward": True,
        "require_expiration": True,
        "clock_skew_seconds": 1,
        **({"claim_to_headers": [{"header_name": USER, "claim_name": "sub"}]} if auth.user else {}),
    }


def _limit(limit: RateLimit) -> Config:
    at_once = max(1, math.ceil(_LEAST_INTERVAL / limit.interval))
    bucket = {
        "max_tokens": limit.burst,
        "tokens_per_fill": at_once,
        "fill_interval": f"{limit.interval * at_once:.6f}s",
    }
    config: Config = {
        "@type": f"{FILTERS}local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "filter_enabled": {"default_value": {"numerator": 100}},
        "filter_enforced": {"default_value": {"numerator": 100}},
        "token_bucket": bucket if limit.by == "route" else {**NO_SUCH_LIMIT, "fill_interval": bucket["fill_interval"]},
        "response_headers_to_add": [
            {"header": {"key": "Retry-After", "value": str(max(1, math.ceil(limit.interval)))}}
        ],
    }
    if limit.by == "client":
        config |= _each([{"remote_address": {}}], ["remote_address"], bucket)
    elif limit.header:
        said = {"request_headers": {"header_name": limit.header, "descriptor_key": "key"}}
        silent = {
            "header_value_match": {
                "descriptor_key": "none",
                "descriptor_value": "none",
                "expect_match": False,
                "headers": [{"name": limit.header, "present_match": True}],
            }
        }
        config |= _each([said, silent], ["key", "none"], bucket)
    return config


# What the filter found out goes into the field that the route names; what the client wrote there goes out.
_NAMED = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local user = headers:get("$USER")
  headers:remove("$NAME")
  if user ~= nil then headers:add("$NAME", user) end
  headers:remove("$USER")
end
"""


def _each(actions: list[Config], keys: list[str], bucket: Config) -> Config:
    """A bucket for each value of each of *actions*."""
    return {
        "rate_limits": [{"actions": [action]} for action in actions],
        "descriptors": [
            {"entries": [{"key": key, **({"value": "none"} if key == "none" else {})}], "token_bucket": bucket}
            for key in keys
        ],
        "max_dynamic_descriptors": _MOST_KEYS,
    }
