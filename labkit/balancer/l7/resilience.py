"""What the balancer does when backends fail: values, judged when they are made. Pure."""

from dataclasses import dataclass
from typing import Any

from labkit.balancer.l7.numbers import seconds, whole
from labkit.errors import PolicyError
from labkit.wording import shown

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT = SAFE | {"PUT", "DELETE"}  # RFC 9110 §9.2.2: asked twice is as good as asked once


@dataclass(frozen=True, slots=True, init=False)
class Retries:
    """Ask again, at another backend if there is one: ``retries=Retries(2)``.

    times: at most so often. What never reached a backend (no connection) is asked again whatever it is; what was sent
    and not answered, or answered 502, 503 or 504, only where the method is idempotent (RFC 9110 §9.2.2) and the whole
    request is held (a body of at most 64 KiB). An answer that has begun is never asked for again.
    """

    times: int

    def __init__(self, times: Any = 1) -> None:
        object.__setattr__(self, "times", whole("Retries(…): times", times, 1, 10))


@dataclass(frozen=True, slots=True, init=False)
class Timeouts:
    """How long the balancer waits for a backend, in seconds: then it answers 503 (connect) or 504 (answer).

    connect: for the connection. answer: for the head of the answer, from the end of the request on.
    """

    connect: float
    answer: float

    def __init__(self, connect: Any = 5.0, answer: Any = 60.0) -> None:
        object.__setattr__(self, "connect", seconds("Timeouts(…): connect", connect, 0.05))
        object.__setattr__(self, "answer", seconds("Timeouts(…): answer", answer, 0.05))


@dataclass(frozen=True, slots=True, init=False)
class Ejection:
    """A backend that fails is left out for a while (outlier ejection): ``ejection=Ejection(failures=3, seconds=10)``.

    failures: so many in a row; a failure is no connection, no whole answer, or a 5xx. At most half of a pool is out
    (and one may always be), so that a pool that fails as a whole is asked all the same.
    """

    failures: int
    seconds: float

    def __init__(self, failures: Any = 5, seconds: Any = 30.0) -> None:
        object.__setattr__(self, "failures", whole("Ejection(…): failures", failures, 1, 1000))
        object.__setattr__(self, "seconds", _seconds("Ejection(…): seconds", seconds, 0.1))


@dataclass(frozen=True, slots=True, init=False)
class Circuit:
    """At most so many requests under way to one pool; more are answered 503 at once: ``circuit=Circuit(100)``."""

    requests: int

    def __init__(self, requests: Any) -> None:
        object.__setattr__(self, "requests", whole("Circuit(…): requests", requests, 1, 1_000_000))


_seconds = seconds


def one_of[T](argument: str, given: object, kind: type[T], example: str) -> T | None:
    """*given*, if it is a *kind* or None. PolicyError that shows how it is written."""
    if given is None or isinstance(given, kind):
        return given
    raise PolicyError(f"lab.balancer.l7({argument}={shown(given)}): write it as in {argument}={example}.")
