"""What is out of a fault's reach: packets of listeners that are forwarded directly (``l4(style="dsr")``).

They are passed on where they enter lb, before its connection tracking, rules and routes, and no answer comes back to
it. A fault of these has no effect there, and does not begin.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from labkit.errors import FaultError
from labkit.topology import Listener


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a fault has no effect on what is forwarded directly. local: it has one on what ends in lb itself, at L7."""

    why: str
    local: bool


UNTRACKED = Miss("packets are passed on before connection tracking, so its table stays as it is", True)
UNTRANSLATED = Miss("nothing is translated, so no source port is taken", False)
PAST_ROUTES = Miss("packets are passed on without a look at lb's routes, and answers never come to lb", True)
UNDROPPED = Miss("packets are passed on before lb can drop them, and the hosts of the dead servers answer", False)


class Forwarding(Protocol):
    """What the balancer forwards now."""

    @property
    def forwarded(self) -> tuple[Listener, ...]:
        """The listeners whose connections pass through unopened."""

    @property
    def direct(self) -> tuple[Listener, ...]:
        """Those of them whose packets are passed on directly."""


def check(called: str, miss: Miss, forwarding: Forwarding, listeners: Iterable[Listener]) -> None:
    """FaultError if the fault *called* so has no effect now, in a lab of these *listeners*."""
    direct = forwarding.direct
    if direct and set(listeners if miss.local else forwarding.forwarded) <= set(direct):
        raise FaultError(
            f'{called} would have no effect with style="dsr": {miss.why}. Use lab.balancer.l4(style="dnat") or "full" '
            "first; of the faults, backend_killed works with every style."
        )
