"""The HTTP filters that every listener has from the beginning, in their order.

A filter that a route may ask for is installed here once, ``disabled``, and switched on by the route's
``typed_per_filter_config``: to add one later would replace the listener, and close its WebSockets.
"""

from typing import Any

from labkit.balancer.l7.compression import LEAST, TEXTS
from labkit.balancer.policy import L7Policy

from . import edge, lua
from .discovery import TYPES
from .paths import PLAIN_TARGET, SCRIPT

ROUTER: dict[str, Any] = {
    "name": "router",
    "typed_config": {"@type": f"{TYPES}envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True},
}


def _paths() -> dict[str, Any]:
    """Has the route chosen by the normalized path, for targets that are not normalized already: the others skip it."""
    input_ = {"@type": f"{TYPES}envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": ":path"}
    plain = {
        "single_predicate": {
            "input": {"name": "target", "typed_config": input_},
            "value_match": {"safe_regex": {"google_re2": {}, "regex": PLAIN_TARGET}},
        }
    }
    skip = {"@type": f"{TYPES}envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}
    matcher = {"matchers": [{"predicate": plain, "on_match": {"action": {"name": "skip", "typed_config": skip}}}]}
    script = {**lua.INSTALLED, "default_source_code": {"inline_string": SCRIPT}}
    return {
        "name": "paths",
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "xds_matcher": {"matcher_list": matcher},
            "extension_config": {"name": "paths", "typed_config": script},
        },
    }


def installed(policy: L7Policy) -> list[dict[str, Any]]:
    """All of them; the router is the last. Of the *policy* only the keys of tokens cannot be told by routes."""
    return [
        _off("door", lua.INSTALLED),
        _off("bodies", lua.INSTALLED),  # has the route chosen anew: before paths, which has the last word on that
        _paths(),
        _off("cors", {"@type": f"{edge.FILTERS}cors.v3.Cors"}),
        _off("api_key", {"@type": f"{edge.FILTERS}api_key_auth.v3.ApiKeyAuth"}),
        _off("basic", {"@type": f"{edge.FILTERS}basic_auth.v3.BasicAuth", **_NOBODY}),
        _off("jwt", edge.jwt_filter(policy)),
        _off("certificate", lua.INSTALLED),
        _off("user", lua.INSTALLED),  # before limits, which may count by it
        _off("limit", {"@type": f"{edge.FILTERS}local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit"}),
        _off("buffer", {"@type": f"{edge.FILTERS}buffer.v3.Buffer", "max_request_bytes": 1 << 31}),
        _off("before", lua.INSTALLED),
        _off("session", {"@type": f"{edge.FILTERS}stateful_session.v3.StatefulSession"}),
        _off("after", lua.INSTALLED),
        _off("compress", _GZIP),
        ROUTER,
    ]


_NOBODY = {
    "users": {"inline_string": "nobody:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n"},
    "forward_username_header": edge.USER,
}
_GZIP = {
    "@type": f"{edge.FILTERS}compressor.v3.Compressor",
    "response_direction_config": {
        "common_config": {"min_content_length": LEAST, "content_type": list(TEXTS)},
        "disable_on_etag_header": False,
    },
    "compressor_library": {
        "name": "gzip",
        "typed_config": {"@type": f"{TYPES}envoy.extensions.compression.gzip.compressor.v3.Gzip"},
    },
}


def _off(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A filter that does nothing until a route asks for it."""
    return {"name": name, "typed_config": config, "disabled": True}
