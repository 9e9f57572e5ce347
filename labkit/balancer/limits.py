"""How long and how large a request may be before the balancer refuses it."""

import math
from dataclasses import dataclass, fields

from labkit.errors import PolicyError
from labkit.wording import shown

_MOST_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client of the L7 balancer may ask of its patience and memory. PolicyError for what is no limit.

    header_seconds: for a whole head, from its first byte on; then 408. idle_seconds: without any request; then the
    connection is closed without an answer. body_seconds: without a further byte of a body; then 408.
    head_bytes, fields: of a head, and of a trailer section; beyond, 431. line_bytes: of a request line (414), of one
    field's line (431), of all extensions of a request's chunks together (400). body_bytes: of a body; beyond, 413.

    >>> Limits(header_seconds=2).idle_seconds
    75.0
    """

    header_seconds: float = 10.0
    idle_seconds: float = 75.0
    body_seconds: float = 30.0
    head_bytes: int = 64 * 1024
    fields: int = 100
    line_bytes: int = 8 * 1024
    body_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "body_bytes" and value is None:
                continue
            if name.endswith("_seconds"):
                _check(name, value, (int, float), "a number of seconds above 0")
            else:
                _check(name, value, (int,), "a whole number above 0" + (", or None" if name == "body_bytes" else ""))


def _check(name: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value <= _MOST_BYTES or math.isnan(value):  # type: ignore[arg-type, operator]
        raise PolicyError(f"Limits: {name} must be {wanted}, not {shown(value)}.")
