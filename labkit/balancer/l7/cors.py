"""Which other sites' scripts may read the answers (CORS, the Fetch standard), as a value. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.balancer.l7.fields import TOKEN
from labkit.balancer.l7.numbers import whole
from labkit.errors import PolicyError
from labkit.wording import shown

_ORIGIN = re.compile(r"https?://[A-Za-z0-9._-]+(:[0-9]+)?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]+)?")  # RFC 6454 §6.2
Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, init=False)
class Cors:
    """``cors=Cors(["https://shop.test"], methods=["GET", "PUT"], headers=["x-lab"])``.

    origins: those that may; ``"*"`` is any, and then never with credentials. A preflight of one of them is answered by
    the balancer, 200; of another it gets no permission, and the browser refuses by itself. max_age: seconds that a
    browser may remember it.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    credentials: bool
    max_age: int

    def __init__(
        self,
        origins: Any,
        methods: Any = ("GET", "HEAD", "POST"),
        headers: Any = (),
        credentials: Any = False,
        max_age: Any = 600,
    ) -> None:
        found = (origins,) if isinstance(origins, str) else _texts("origins", origins)
        for origin in found:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise PolicyError(
                    f'Cors({shown(origin)}): an origin is a scheme and a host, as in "https://shop.test".'
                )
        if not found:
            raise PolicyError('Cors([]): name an origin, as in Cors(["https://shop.test"]), or leave cors out.')
        if not isinstance(credentials, bool) or (credentials and "*" in found):
            raise PolicyError("Cors(credentials=…): it is True or False, and True needs origins by name, not '*'.")
        object.__setattr__(self, "origins", found)
        for name, given in (("methods", methods), ("headers", headers)):
            words = _texts(name, given)
            for word in words:
                if not TOKEN.fullmatch(word):
                    raise PolicyError(f"Cors({name}=[{shown(word)}]): each is one word.")
            object.__setattr__(self, name, words)
        object.__setattr__(self, "credentials", credentials)
        object.__setattr__(self, "max_age", whole("Cors(…): max_age", max_age, 0, 86_400))

    def allows(self, origin: str | None) -> bool:
        return origin is not None and ("*" in self.origins or origin in self.origins)

    def preflight(self, origin: str) -> Lines:
        """The header fields of the answer to a preflight of *origin*, which is allowed."""
        fields = [*self.granted(origin), ("access-control-allow-methods", ",".join(self.methods))]
        if self.headers:
            fields.append(("access-control-allow-headers", ",".join(self.headers)))
        return [*fields, ("access-control-max-age", str(self.max_age))]

    def granted(self, origin: str) -> Lines:
        """What is added to an answer for *origin*, which is allowed."""
        fields = [("access-control-allow-origin", origin), ("vary", "origin")]
        return [*fields, ("access-control-allow-credentials", "true")] if self.credentials else fields


def is_preflight(method: str, names: Iterable[str]) -> bool:
    """Whether a browser asks here for permission, and nothing else."""
    return method == "OPTIONS" and {"origin", "access-control-request-method"} <= {name.lower() for name in names}


def _texts(argument: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise PolicyError(f"Cors({argument}={shown(given)}): it is a list of texts.")
    return tuple(given)
