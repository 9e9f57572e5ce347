"""How many requests a route lets through: token buckets, one a key. Pure; the clock is the caller's."""

import math
from dataclasses import dataclass
from typing import Any

from labkit.balancer.l7.fields import TOKEN
from labkit.balancer.l7.numbers import seconds as seconds_of
from labkit.balancer.l7.numbers import whole
from labkit.balancer.l7.request import Watched
from labkit.errors import PolicyError
from labkit.wording import shown

_MOST_KEYS = 10_000  # buckets of one limit; the one that was used longest ago goes first


@dataclass(frozen=True, slots=True, init=False)
class RateLimit:
    """So many requests in so many seconds: ``limit=RateLimit(10, seconds=1, burst=20, by="client")``.

    A bucket of *burst* tokens (as many as *requests* unless given) is filled evenly; a request takes one, and finds 429
    with Retry-After where there is none. by: ``"client"``, a bucket for each address; ``"route"``, one for all; or
    ``"header:x-user"``, one for each value of a field, and one for those without it. Where the route's auth tells the
    backend in that field who asks, that is the value, whatever the client wrote there.
    """

    requests: int
    seconds: float
    burst: int
    by: str

    def __init__(self, requests: Any, seconds: Any = 1.0, burst: Any = None, by: Any = "client") -> None:
        burst = requests if burst is None else burst
        whole("RateLimit(…): requests", requests, 1, 1_000_000)
        whole("RateLimit(…): burst", burst, 1, 1_000_000)
        seconds_of("RateLimit(…): seconds", seconds, 0.001)
        header = by.removeprefix("header:") if isinstance(by, str) and by.startswith("header:") else None
        if by not in ("client", "route") and not (header and TOKEN.fullmatch(header)):
            raise PolicyError(
                f'RateLimit(by={shown(by)}): it is "client", "route", or a header field, as in "header:x-user".'
            )
        for name, value in (("requests", requests), ("seconds", float(seconds)), ("burst", burst), ("by", by)):
            object.__setattr__(self, name, value)

    @property
    def header(self) -> str | None:
        """The field whose values have a bucket each, if that is how."""
        return self.by.removeprefix("header:").lower() if self.by.startswith("header:") else None

    @property
    def interval(self) -> float:
        """Seconds from one token to the next."""
        return self.seconds / self.requests

    def key(self, request: Watched) -> str:
        """Whose bucket a request takes from."""
        if self.by == "route":
            return ""
        return request.client if self.by == "client" else self.key_of(request.header(self.header or ""))

    @staticmethod
    def key_of(value: str | None) -> str:
        """The bucket of those who have *value* in the field, or no such field: an empty value is one, too."""
        return "" if value is None else f"={value}"


class Buckets:
    """The buckets of one limit."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._full_at: dict[str, float] = {}  # when each will be full again; who is not here has a full one

    def take(self, key: str, now: float) -> float:
        """Take a token at the time *now* (s): 0.0, or the seconds until there is one."""
        limit = self._limit
        full_at = max(self._full_at.pop(key, now), now) + limit.interval
        wait = full_at - now - limit.burst * limit.interval
        if wait > 1e-9:
            self._full_at[key] = full_at - limit.interval
            return wait
        self._full_at[key] = full_at
        if len(self._full_at) > _MOST_KEYS:
            del self._full_at[next(iter(self._full_at))]
        return 0.0


def retry_after(seconds: float) -> str:
    """The value of Retry-After (RFC 9110 §10.2.3): whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))
