"""What an engine cannot do of a policy, in words: asked before anything is switched. Pure."""

from collections.abc import Callable, Iterator

from labkit.balancer.l7.code import called
from labkit.balancer.policy import L7Policy

_INSTEAD = {
    "when": "say it with path, method, headers, query, cookies, json, form or body",
    "transform_request": "leave it out",
    "transform_response": "leave it out",
}


def lacks(engine: str, policy: L7Policy) -> list[str]:
    """Each thing in *policy* that *engine* cannot do, with the remedy; [] if it can carry it out."""
    return list(_LACKS[engine](policy))


def _runs_no_python(policy: L7Policy) -> Iterator[str]:
    for route in policy.routes:
        for argument, instead in _INSTEAD.items():
            function = getattr(route, argument)
            if function is not None:
                yield (
                    f"Route({route.label!r}, {argument}={called(function)}): the engine envoy runs no Python. "
                    f'Use lab.balancer.l7(engine="mitmproxy"), or {instead}.'
                )


_LACKS: dict[str, Callable[[L7Policy], Iterator[str]]] = {
    "mitmproxy": lambda policy: iter(()),
    "envoy": _runs_no_python,
}
