"""The HTTP filters that every listener has from the beginning, in their order.

A filter that a route may ask for is installed here once, ``disabled``, and switched on by the route's
``typed_per_filter_config``: to add one later would replace the listener, and close its WebSockets.
"""

from typing import Any

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
    lua = {
        "@type": f"{TYPES}envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": SCRIPT},
        "clear_route_cache": False,  # the script says when
    }
    return {
        "name": "paths",
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "xds_matcher": {"matcher_list": matcher},
            "extension_config": {"name": "paths", "typed_config": lua},
        },
    }


def installed() -> list[dict[str, Any]]:
    """All of them; the router is the last."""
    return [_paths(), ROUTER]
