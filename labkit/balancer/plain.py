"""Policies as plain data and back, so that they can travel into a node: frozen values, and nothing that runs.

What comes back is equal to what went in, but for functions: they are packed once, and stay packed as `Code`.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

from labkit.balancer.l7 import (
    actions,
    auth,
    balance,
    code,
    cors,
    forwarded,
    patterns,
    rates,
    resilience,
    route,
    sticky,
    tls,
)
from labkit.balancer.l7.code import Code
from labkit.balancer.limits import Limits
from labkit.balancer.policy import Forward, L7Policy, Named, Relay, Target
from labkit.topology import Listener

_KINDS: tuple[type[Any], ...] = (
    actions.Answer, actions.Edit, actions.Redirect, auth.ApiKey, auth.Basic, auth.ClientCertificate, auth.Jwt,
    balance.Balance, code.Code, cors.Cors, forwarded.Forwarded, patterns.Regex, rates.RateLimit, resilience.Circuit,
    resilience.Ejection, resilience.Retries, resilience.Timeouts, route.Route, sticky.Sticky, tls.Tls, Forward,
    L7Policy, Limits, Listener, Named, Relay, Target,
)  # fmt: skip
_VALUES = {kind.__qualname__: kind for kind in _KINDS}
_KIND = "value"


def to_plain(value: Any, pack: Callable[[Any], Code] | None = None) -> Any:
    """*value* as None, bool, int, float, str, bytes, list and dict. pack: for functions; TypeError without."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, tuple | list):
        return [to_plain(each, pack) for each in value]
    if isinstance(value, Mapping):
        return {"mapping": [[key, to_plain(each, pack)] for key, each in value.items()]}
    if is_dataclass(value) and type(value).__name__ in _VALUES:
        parts = {one.name: to_plain(getattr(value, one.name), pack) for one in fields(value)}
        return {_KIND: type(value).__name__, "parts": parts}
    if callable(value) and pack is not None:
        return to_plain(pack(value))
    raise TypeError(f"{type(value).__name__} is no part of a policy")


def from_plain(plain: Any) -> Any:
    """What `to_plain` was given: sequences are tuples, and mappings cannot be changed."""
    if isinstance(plain, list):
        return tuple(map(from_plain, plain))
    if not isinstance(plain, dict):
        return plain
    if "mapping" in plain:
        return MappingProxyType({key: from_plain(each) for key, each in plain["mapping"]})
    made = object.__new__(_VALUES[plain[_KIND]])
    for name, each in plain["parts"].items():
        object.__setattr__(made, name, from_plain(each))
    return made
