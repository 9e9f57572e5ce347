"""What a `Route` holds, judged: each refusal names the route, what is wrong, and how it is written. Pure."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from labkit.balancer.l7.actions import Answer, Edit, Redirect
from labkit.balancer.l7.auth import ApiKey, Basic, ClientCertificate, Jwt
from labkit.balancer.l7.cors import Cors
from labkit.balancer.l7.fields import TOKEN
from labkit.balancer.l7.patterns import Regex
from labkit.balancer.l7.rates import RateLimit
from labkit.balancer.l7.rewriting import template_refusal
from labkit.balancer.l7.route import Route
from labkit.balancer.l7.route_refusals import EXAMPLE, pattern_refusal
from labkit.errors import PolicyError
from labkit.wording import encodable, shown

_HOST = re.compile(r"[a-z0-9_.*:\[\]-]+", re.IGNORECASE)
_VALUES: dict[str, tuple[tuple[type, ...], str]] = {
    "redirect": ((Redirect,), '"/new/*"'),
    "respond": ((Answer,), 'Answer(200, "ok")'),
    "rewrite": ((str,), '"/v2/*"'),
    "request": ((Edit,), 'Edit(set={"x-lab": "1"})'),
    "response": ((Edit,), 'Edit(set={"x-lab": "1"})'),
    "auth": ((ApiKey, Basic, Jwt, ClientCertificate), 'ApiKey({"alice": "secret"})'),
    "limit": ((RateLimit,), "RateLimit(10, seconds=1)"),
    "cors": ((Cors,), 'Cors(["https://shop.test"])'),
    "max_body": ((int,), "1_000_000"),
    "timeout": ((int, float), "5"),
}
_LARGEST = sys.float_info.max
_MOST = 8192  # characters of a value; no larger one fits into a request's head


def checked_routes(routes: object) -> tuple[Route, ...]:
    """*routes*, if they are a list of sound routes. Raises PolicyError."""
    example = f"[{EXAMPLE}]"
    if isinstance(routes, str | Mapping) or not isinstance(routes, Sequence):
        raise PolicyError(
            f"lab.balancer.l7(routes={shown(routes)}): routes is a list of Route values, as in {example}."
        )
    if not routes:
        raise PolicyError(
            "lab.balancer.l7(routes=[]) would answer every request with 404: give at least one route, "
            f"as in {example}, or leave routes out for one route a pool."
        )
    for route in routes:
        if not isinstance(route, Route):
            raise PolicyError(f"lab.balancer.l7(): {shown(route)} is not a Route: write it as in {example}.")
        _check(route)
    return tuple(routes)


def _check(route: Route) -> None:
    if not isinstance(route.path, Regex) and (reason := pattern_refusal(route.path)):
        raise PolicyError(f"Route({shown(route.path)}) can match no path: {reason}")
    wrong = next(_wrong(route), None)
    if wrong:
        raise PolicyError(f"Route({shown(_plain(route.path))}, …): {wrong}")


def _plain(path: str | Regex) -> str:
    return path.pattern if isinstance(path, Regex) else path


def _wrong(route: Route) -> Iterator[str]:
    if route.name is not None and not (isinstance(route.name, str) and route.name.isprintable() and route.name):
        yield f"name={shown(route.name)}: a name is text on one line."
    yield from _wrong_method(route.method)
    yield from _wrong_host(route.host)
    yield from _wrong_tests("headers", route.headers, '{"x-beta": "1"}', names=TOKEN, what="a header field's name")
    yield from _wrong_tests("query", route.query, '{"version": "2"}')
    yield from _wrong_tests("cookies", route.cookies, '{"beta": "1"}', names=TOKEN, what="a cookie's name")
    yield from _wrong_tests("json", route.json, '{"user.role": "admin"}', numbers=True)
    yield from _wrong_tests("form", route.form, '{"action": "buy"}')
    if route.body is not None and not (isinstance(route.body, str) and route.body and encodable(route.body)):
        yield f"body={shown(route.body)}: it is a text that has to be in the body."
    if route.websocket is not None and not isinstance(route.websocket, bool):
        yield f"websocket={shown(route.websocket)}: True is upgrades alone, False is all but them."
    if route.when is not None and not callable(route.when):
        yield f"when={shown(route.when)}: it is a function of the request, as in when=lambda request: request.path."
    for argument in ("transform_request", "transform_response"):
        if not (getattr(route, argument) is None or callable(getattr(route, argument))):
            yield (
                f"{argument}={shown(getattr(route, argument))}: it is a function of the message, "
                f"as in {argument}=lambda message: message.body.upper()."
            )
    yield from _wrong_values(route)
    yield from _wrong_action(route)


def _wrong_values(route: Route) -> Iterator[str]:
    for argument, (kinds, example) in _VALUES.items():
        value = getattr(route, argument)
        if value is not None and not isinstance(value, kinds):
            what = type(value).__name__ if argument == "auth" else shown(value)  # lest it shows a secret
            yield f"{argument}={what}: write it as in {argument}={example}."
    if route.max_body is not None and (isinstance(route.max_body, bool) or not 0 <= route.max_body <= 1 << 40):
        yield f"max_body={shown(route.max_body)}: it is a number of bytes."
    if route.timeout is not None and (isinstance(route.timeout, bool) or not 0.05 <= route.timeout <= 86_400):
        yield f"timeout={shown(route.timeout)}: it is a time in seconds, from 0.05 on."


def _wrong_action(route: Route) -> Iterator[str]:
    ways = [name for name in ("pool", "redirect", "respond") if getattr(route, name) is not None]
    if len(ways) > 1:
        yield f"it has {' and '.join(ways)}, and a request can go one way only: leave one of them out."
    if route.pool is None:
        for name in ("rewrite", "request", "timeout", "transform_request", "transform_response"):
            if getattr(route, name) is not None:
                yield f"{name} is for requests that go to a pool, and these do not: leave it out."
    if isinstance(route.rewrite, str):
        if (reason := pattern_refusal(re.sub(r"\\\d", "x", route.rewrite))) or route.rewrite.startswith("*"):
            yield f"rewrite={shown(route.rewrite)}: {reason or 'a path begins with a slash.'}"
        elif reason := template_refusal(route.rewrite, route.path):
            yield f"rewrite={shown(route.rewrite)}: {reason}."
    if route.redirect and (reason := template_refusal(route.redirect.to, route.path)):
        yield f"redirect={shown(route.redirect.to)}: {reason}."


def _wrong_method(methods: object) -> Iterator[str]:
    if not isinstance(methods, tuple):
        yield f'method={shown(methods)}: it is a method\'s name, or a list of them, as in method="GET".'
        return
    for method in methods:
        if not isinstance(method, str) or not TOKEN.fullmatch(method):
            yield f'method={shown(method)}: a method is one word, as in method="GET".'
        elif method != method.upper():
            right = shown(method.upper())
            yield f"method={shown(method)}: methods are told apart by case (RFC 9110 §9.1): write {right}."


def _wrong_host(host: object) -> Iterator[str]:
    if host is None or isinstance(host, Regex):
        return
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        yield f'host={shown(host)}: it is a host\'s name, * for any run of characters, as in host="*.shop.test".'
    elif re.search(r"[^\]]:\d*$|\]:", host) and host.count(":") < 2 + ("]" in host) * 9:
        yield f"host={shown(host)}: hosts are matched without their port: leave it out."


def _wrong_tests(
    argument: str,
    tests: object,
    example: str,
    names: "re.Pattern[str] | None" = None,
    what: str = "a name",
    numbers: bool = False,
) -> Iterator[str]:
    if not isinstance(tests, tuple) or not all(isinstance(one, tuple) and len(one) == 2 for one in tests):
        yield f"{argument}={shown(tests)}: it is name and value, as in {argument}={example}."
        return
    for name, test in tests:
        about = f"{argument}={{{shown(name)}: {shown(test)}}}"
        if not isinstance(name, str) or not name or not encodable(name) or (names and not names.fullmatch(name)):
            yield f"{about}: {shown(name)} is not {what}. Write it as in {argument}={example}."
        elif numbers and isinstance(test, int | float) and not isinstance(test, bool):
            if not abs(test) <= _LARGEST:
                yield f"{about}: JSON has no such number that everybody reads alike (RFC 8259 §6)."
        elif not isinstance(test, str | bool | Regex):
            yield (
                f"{about}: a value is text, re.compile(...), True (it is there) or False (it is not), "
                f"as in {argument}={example}."
            )
        elif isinstance(test, str) and not _sendable(argument, test):
            yield f"{about}: no {argument.removesuffix('s')} can have this value."


def _sendable(argument: str, text: str) -> bool:
    """Whether a request can have it there: header fields are one line of latin-1, without blanks around it, and
    the quotes around a cookie's value are none of it."""
    if len(text) > _MOST or not encodable(text):
        return False
    if argument == "headers":
        return text == text.strip(" \t") and not re.search(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]", text)
    return argument != "cookies" or not re.search(r'[\x00-\x20;\x7f]|[^\x00-\xff]|^".*"$', text)
