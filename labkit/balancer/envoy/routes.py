"""A policy's routes as Envoy's: one route configuration for each place where Envoy listens.

A route of ours becomes up to three of Envoy's, of one name: for upgrades, which no time-out may end; for methods that
may be asked twice, where the policy asks again; and for the rest.
"""

import re
from collections.abc import Iterator
from typing import Any

from labkit.balancer.l7.actions import LONGEST_ANSWER
from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.paths import unescaped
from labkit.balancer.l7.patterns import Regex
from labkit.balancer.l7.resilience import IDEMPOTENT
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy

from . import bodies, door, edge, edits, lua, matches, names, refused, replies, scripts, sessions
from .discovery import ROUTES, TYPES, File, file
from .paths import REWRITES

_ADDED = ("x-envoy-external-address", "x-envoy-internal")  # by Envoy, for Envoys behind it
_NAMES_OF_STATUS = {
    301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT",
}  # fmt: skip


def routes_file(policy: L7Policy, version: int, place: names.Place) -> File:
    """The routes for what comes in at *place*. Their names begin with *version*, so that the log says which policy."""
    if door.redirects(policy, place):
        return _file(policy, place, [_nothing(policy, version)])
    every = refused.routes()
    every += [
        one for number, route in enumerate(policy.routes) for one in _routes(policy, route, version, number, place)
    ]
    every.append({**_nothing(policy, version), **edits.of_answers(None, edits.said(policy, place))})
    return _file(policy, place, every)


def _nothing(policy: L7Policy, version: int) -> dict[str, Any]:
    """What answers where no route matches."""
    return {
        "name": names.route_name(version, None),
        "match": {"prefix": ""},
        "direct_response": replies.no_route(policy),
    }


def _file(policy: L7Policy, place: names.Place, every: list[dict[str, Any]]) -> File:
    host: dict[str, Any] = {"name": "every", "domains": ["*"], "routes": every}
    host["request_headers_to_remove"] = [edits.SAID_PROTO]  # later than what is done for all hosts
    told = {"door": door.script(policy, place), "bodies": bodies.script(policy)}
    host["typed_per_filter_config"] = {name: lua.whole(script) for name, script in told.items() if script}
    resource = {
        "name": place.name,
        "virtual_hosts": [host],
        "request_headers_to_remove": edits.removed(policy, (*_ADDED, edge.USER, *bodies.names(policy))),
        "request_headers_to_add": edits.of_requests(
            policy, secure=place.listener.protocol == "https", six=place.family == 6
        ),
        "most_specific_header_mutations_wins": True,  # a route's edits come last
        "max_direct_response_body_size_bytes": LONGEST_ANSWER,
    }
    return file(place.routes_file, ROUTES, [resource], f"http.{place.name}.rds.{place.name}.version_text")


def _routes(policy: L7Policy, route: Route, version: int, number: int, place: names.Place) -> Iterator[dict[str, Any]]:
    match = matches.match(route)
    said = {
        "name": names.route_name(version, number),
        **edits.of_answers(route.response, edits.said(policy, place)),
    }
    if route.rewrite or route.redirect:
        said["metadata"] = {"filter_metadata": {"paths": {REWRITES: True}}}
    if route.pool is None or not policy.pools[route.pool]:
        config = edge.of_route(policy, route, upgrading=True)
        if route.redirect:
            config["before"] = scripts.remembering()
        own = _own(route)
        added = [*own.get("response_headers_to_add", []), *said.get("response_headers_to_add", [])]
        gone = [*own.get("response_headers_to_remove", []), *said.get("response_headers_to_remove", [])]
        changed = {"response_headers_to_add": added, "response_headers_to_remove": gone}
        yield said | {"match": match, "typed_per_filter_config": config, **own, **changed}
        return
    reach = names.reach(policy, route.pool, place)
    most = edge.largest_body(policy, route)
    if most is not None and route.websocket is not False:  # no filter measures the body of what may become a tunnel
        yield {
            **said,
            "match": matches.only(match, matches.UPGRADING, matches.longer_than(most)),
            "direct_response": replies.too_large(most),
            "typed_per_filter_config": edge.of_route(policy, route, upgrading=True),
        }
    said |= edits.of_route(route.request, "request")
    for only, upgrading, repeatable in _kinds(policy, route):
        key = [_KEY] if upgrading and place.multiplexed else []
        yield {
            **said,
            **({"request_headers_to_add": [*said.get("request_headers_to_add", []), *key]} if key else {}),
            "match": matches.only(match, *only),
            "route": _onwards(policy, route, reach, upgrading=upgrading, repeatable=repeatable),
            "typed_per_filter_config": _filters(policy, route, reach, place, upgrading=upgrading),
        }


def _kinds(policy: L7Policy, route: Route) -> Iterator[tuple[list[dict[str, Any]], bool, bool]]:
    """Conditions, whether it is for upgrades, and whether it may be asked twice."""
    if route.websocket is not False:
        yield [matches.UPGRADING], True, False
    if route.websocket is not True:
        if policy.retries:
            yield [matches.NOT_UPGRADING, matches.methods(IDEMPOTENT)], False, True
        yield [matches.NOT_UPGRADING], False, False


def _own(route: Route) -> dict[str, Any]:
    """What the balancer answers itself."""
    if route.redirect:
        return {"redirect": _redirect(route)}
    if route.respond:
        extra = [edits.fixed(name, value) for name, value in route.respond.headers]
        body = {"body": {"inline_string": route.respond.text}} if route.respond.text else {}
        kind = [] if any(name.lower() == "content-type" for name, _ in route.respond.headers) or not body else [_PLAIN]
        return {
            "direct_response": {"status": route.respond.status, **body},
            "response_headers_to_add": [*kind, *extra],
            "response_headers_to_remove": ["location"],  # Envoy's own in answers 201 and 3xx; they are removed first
        }
    assert route.pool is not None
    return {"direct_response": replies.nobody(route.pool)}


# Who asks for a WebSocket in HTTP/2 sends no key (RFC 8441 §5), and a backend that is asked in HTTP/1.1 refuses without
# (RFC 6455 §4.2.1). It is no secret, and nobody compares what comes back.
_KEY = {**edits.fixed("Sec-WebSocket-Key", "bGFia2l0LWJhbGFuY2VyIQ=="), "append_action": "ADD_IF_ABSENT"}
_PLAIN = edits.fixed("content-type", "text/plain; charset=utf-8")


def _redirect(route: Route) -> dict[str, Any]:
    assert route.redirect
    to = route.redirect.to
    found: dict[str, Any] = {"response_code": _NAMES_OF_STATUS[route.redirect.status]}
    if "://" in to:
        scheme, _, rest = to.partition("://")
        authority, slash, path = rest.partition("/")
        host, colon, port = authority.rpartition(":") if re.search(r":\d+$", authority) else (authority, "", "")
        found |= {"scheme_redirect": scheme, "host_redirect": host}
        found |= {"port_redirect": int(port)} if colon else {}
        to = f"{slash}{path}" or "/"
    if "?" in to:  # caught pieces and a query at once are refused before
        return found | {"path_redirect": to}
    return found | {"regex_rewrite": _rewriting(route.path, to)}


def _rewriting(path: str | Regex, template: str) -> dict[str, Any]:
    """A path that is put in the place of what *path* covers."""
    if isinstance(path, Regex):
        pattern, substitution = path.pattern, template
    else:
        pieces = [matches.literal(piece) for piece in unescaped(path).split("*")]
        between = [*["(.*?)"] * (len(pieces) - 2), "(.*)"]
        pattern = pieces[0] + "".join(map(str.__add__, between, pieces[1:])) if len(pieces) > 1 else pieces[0]
        number = iter(range(1, 10))
        substitution = "".join(f"\\{next(number)}" if one == "*" else one for one in template)
    return {"pattern": {"regex": f"^(?:{pattern})$"}, "substitution": substitution}


def _onwards(
    policy: L7Policy, route: Route, reach: names.Reach, *, upgrading: bool, repeatable: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"cluster": reach.cluster, "timeout": "0s"}
    if route.rewrite:
        found["regex_rewrite"] = _rewriting(route.path, route.rewrite)
    balance = policy.balance.get(reach.pool, Balance())
    if balance.algorithm == "consistent_hash":
        found["hash_policy"] = [_hashed(balance.by)]
    if upgrading:
        return found
    answer = route.timeout or policy.timeouts.answer
    retry: dict[str, Any] = {"per_try_idle_timeout": names.duration(answer)}
    if policy.retries:
        again = "connect-failure,refused-stream" + (",reset,gateway-error" if repeatable else "")
        previous = f"{TYPES}envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        retry |= {
            "retry_on": again,
            "num_retries": policy.retries.times,
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
            "retry_host_predicate": [{"name": "previous", "typed_config": {"@type": previous}}],
            "host_selection_retry_max_attempts": 5,
        }
    patience = max(policy.limits.body_seconds, answer + 1)
    return found | {"retry_policy": retry, "idle_timeout": names.duration(patience)}


def _hashed(by: str) -> dict[str, Any]:
    kind, _, name = by.partition(":")
    if kind == "client":
        return {"connection_properties": {"source_ip": True}}
    return {"header": {"header_name": name}} if kind == "header" else {"cookie": {"name": name}}


def _filters(
    policy: L7Policy, route: Route, reach: names.Reach, place: names.Place, *, upgrading: bool
) -> dict[str, Any]:
    found = edge.of_route(policy, route, upgrading=upgrading)
    if policy.sticky:
        secure = place.listener.protocol == "https"
        found["session"] = sessions.session_filter(policy.sticky, secure=secure)
    if script := scripts.before(policy, route, reach, place, upgrading=upgrading):
        found["before"] = script
    if script := scripts.after(policy):
        found["after"] = script
    if policy.compress:
        found["compress"] = edge.COMPRESSING
    return found
