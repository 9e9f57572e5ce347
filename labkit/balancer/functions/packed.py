"""Functions out of the notebook: each is packed once for a policy, by value."""

from collections.abc import Sequence
from typing import Any

from labkit.balancer.l7.code import Code, called
from labkit.balancer.l7.route import FUNCTIONS, Route
from labkit.errors import PolicyError, TaskError
from labkit.pickled import LARGEST, pickle


class Packer:
    """Packs the functions of a policy's routes; until others are taken it gives the same, so that a change of rotation
    does not make functions forget what they have kept."""

    def __init__(self) -> None:
        self.routes: Sequence[Route] = ()  # taken last
        self._codes: dict[int, Code] = {}

    def take(self, routes: Sequence[Route]) -> None:
        """Pack those of *routes*. PolicyError, naming the route, for what cannot leave the notebook."""
        codes: dict[int, Code] = {}
        for route in routes:
            for argument in FUNCTIONS:
                function = getattr(route, argument)
                if function is not None and id(function) not in codes:
                    codes[id(function)] = _packed(route, argument, function)
        total = sum(len(code.data) for code in codes.values())
        if total > LARGEST:
            raise PolicyError(
                f"The functions of the routes have {total} bytes together, with all that they refer to, and "
                f"{LARGEST} can be sent to the proxy: have them refer to less."
            )
        self.routes, self._codes = routes, codes

    def __call__(self, function: Any) -> Code:
        """The packed *function* of the routes taken last."""
        return self._codes[id(function)]

    def __bool__(self) -> bool:
        return bool(self._codes)


def _packed(route: Route, argument: str, function: Any) -> Code:
    try:
        return Code(called(function), pickle(function))
    except TaskError as error:
        raise PolicyError(f"Route({route.label!r}, {argument}={called(function)}): {error}.") from error
