"""`Route`: which requests, and what becomes of them. A frozen value; what it holds is judged by `plan`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from labkit.balancer.l7.actions import Answer, Edit, Redirect
from labkit.balancer.l7.auth import Auth
from labkit.balancer.l7.code import called
from labkit.balancer.l7.cors import Cors
from labkit.balancer.l7.patterns import Regex, Tests, written
from labkit.balancer.l7.rates import RateLimit
from labkit.balancer.l7.route_refusals import missing_refusal, unknown_refusal
from labkit.errors import PolicyError
from labkit.wording import short, shown

ANY = "*"
FUNCTIONS = ("when", "transform_request", "transform_response")  # the arguments that are functions of the user's


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Route:
    """Requests that are all that is asked here go to *pool*; of a list of routes the first that matches wins.

    path: ``*`` stands for any run of characters, ``"/api/*"``; or a regular expression, ``re.compile(r"/v\\d+/.*")``,
    that covers the whole path. host: the same, without the port. method: one, or a list. headers, query, cookies: name
    -> the value it has to have, ``re.compile(...)``, True (it is there), or False (it is not). json, form: the same of
    fields in a body of up to 64 KiB, as in ``json={"user.role": "admin"}``; body: a text that is in it. websocket: True
    for upgrades alone, False for all but them. when: a function of the `Request` that says whether it matches: True,
    False or None. name: what the record calls the route.

    Instead of going to a pool a request may get a `Redirect` (redirect, a path or URL for short) or an `Answer` of the
    balancer's own (respond, a status for short). On its way: rewrite gives it another path, as in ``"/v2/*"``; request
    and response are an `Edit` of header fields. Before that: auth (`ApiKey`, `Basic`, `Jwt`, `ClientCertificate`) and
    limit (`RateLimit`) may refuse it, cors (`Cors`) answers preflights, max_body is the most bytes it may carry.
    timeout: seconds for the backend to begin its answer. transform_request, transform_response: functions of the
    `Message` that give its new body, bytes or text, or None to leave it as it is; the body is held for that, up to
    1 MiB.

    Functions run in processes of their own beside the proxy (engine mitmproxy), 1 s a call at most; what they raise is
    in ``lab.balancer.rule_errors()``.

    PolicyError for any other argument, and where one is missing.

    >>> Route("/api/*", pool="api")
    >>> Route("*", pool="images", headers={"x-beta": "1"})
    >>> Route("/old/*", redirect="/new/*")
    """

    path: str | Regex = ANY
    pool: str | None = None
    name: str | None = None
    method: tuple[str, ...] = ()
    host: str | Regex | None = None
    headers: Tests = ()
    query: Tests = ()
    cookies: Tests = ()
    json: tuple[tuple[str, Any], ...] = ()
    form: Tests = ()
    body: str | None = None
    websocket: bool | None = None
    when: Callable[..., Any] | None = None
    redirect: Redirect | None = None
    respond: Answer | None = None
    rewrite: str | None = None
    request: Edit | None = None
    response: Edit | None = None
    auth: Auth | None = None
    limit: RateLimit | None = None
    cors: Cors | None = None
    max_body: int | None = None
    timeout: float | None = None
    transform_request: Callable[..., Any] | None = None
    transform_response: Callable[..., Any] | None = None

    def __init__(self, path: Any = None, pool: Any = None, **asked: Any) -> None:
        known = [one.name for one in fields(Route)]
        for name in asked:
            if name not in known:
                raise PolicyError(unknown_refusal(name, known))
        if path is None:
            raise PolicyError(missing_refusal("path"))
        if pool is None and asked.get("redirect") is None and asked.get("respond") is None:
            raise PolicyError(missing_refusal("pool"))
        given = {"path": path, "pool": pool, **asked}
        for one in fields(Route):
            value = _frozen(one.name, given[one.name]) if one.name in given else one.default
            object.__setattr__(self, one.name, value)

    @property
    def label(self) -> str:
        """Its name, or else all that it asks for, on one line."""
        if self.name:
            return self.name
        parts = ["|".join(self.method)] if self.method else []
        parts += [str(self.host)] if self.host is not None else []
        parts.append(str(self.path))
        parts += [f"header {each}" for each in written(": ", self.headers)]
        parts += [f"query {each}" for each in written("=", self.query)]
        parts += [f"cookie {each}" for each in written("=", self.cookies)]
        parts += [f"json {place}={value!r}" for place, value in self.json]
        parts += [f"form {each}" for each in written("=", self.form)]
        parts += [f"body {self.body!r}"] if self.body is not None else []
        parts += [] if self.websocket is None else ["websocket" if self.websocket else "no websocket"]
        parts += [f"when {called(self.when)}"] if self.when else []
        return short(" ".join(parts))

    @property
    def opens_body(self) -> bool:
        """Whether it looks into the body."""
        return bool(self.json or self.form or self.body is not None or self.when)

    def __repr__(self) -> str:
        given = [(one.name, getattr(self, one.name)) for one in fields(self) if _is_given(self, one)]
        return f"Route({', '.join(f'{name}={_thawed(name, value)}' for name, value in given)})"


_MAPPINGS = ("headers", "query", "cookies", "json", "form")


def _frozen(name: str, value: Any) -> Any:
    """*value* as the route keeps it, where it is of a kind that can be kept; `plan` refuses the others."""
    if name in _MAPPINGS and isinstance(value, Mapping):
        return tuple((key, _regex(each)) for key, each in value.items())
    if name == "method":
        methods = (value,) if isinstance(value, str) else value
        if isinstance(methods, list) and not methods:
            raise PolicyError("Route(method=[]) names no method, and would match nothing: leave method out for any.")
        return tuple(methods) if isinstance(methods, list | tuple) else value
    if name == "redirect" and isinstance(value, str):
        return Redirect(value)
    if name == "respond" and isinstance(value, int):
        return Answer(value)
    return _regex(value) if name in ("path", "host") else value


def _regex(value: Any) -> Any:
    if not isinstance(value, re.Pattern):
        return value
    try:
        return Regex.of(value)
    except ValueError as error:
        raise PolicyError(f"Route(...) cannot ask for re.compile({value.pattern!r}): {error}.") from None


def _is_given(route: Route, one: "Field[Any]") -> bool:
    return one.name in ("path", "pool") or getattr(route, one.name) != one.default


def _thawed(name: str, value: Any) -> str:
    """As it was written, as far as it can be."""
    if isinstance(value, Regex):
        return f"re.compile({value.pattern!r})"
    if (
        name in _MAPPINGS
        and isinstance(value, tuple)
        and all(isinstance(one, tuple) and len(one) == 2 for one in value)
    ):
        return f"{{{', '.join(f'{_thawed("", key)}: {_thawed("", each)}' for key, each in value)}}}"
    if name == "method" and isinstance(value, tuple):
        return _thawed("", value[0] if len(value) == 1 else list(value))
    if name in FUNCTIONS:
        return called(value)
    try:
        return repr(value)
    except Exception:  # a number of too many digits, or an object that cannot be written: `plan` refuses it
        return shown(value)
