"""Until when somebody has to act, checked by one wake-up of mitmproxy's at a time."""

import time
from collections.abc import Iterator

from mitmproxy.proxy import commands

_NEVER = float("inf")


class Deadline:
    """Cheap to move: a wake-up is asked for only when none is due before it, and never taken back."""

    def __init__(self) -> None:
        self._at = self._next_wakeup = _NEVER

    def after(self, seconds: float | None) -> None:
        """It is *seconds* from now; None: never."""
        self._at = _NEVER if seconds is None else time.monotonic() + seconds

    def wakeups(self) -> Iterator[commands.RequestWakeup]:
        """What to ask for, after the deadline was moved or a wake-up has come."""
        if self._at < self._next_wakeup:
            self._next_wakeup = self._at
            yield commands.RequestWakeup(max(0.0, self._at - time.monotonic()))

    def passed(self) -> bool:
        """Whether it is over, asked at a wake-up."""
        now = time.monotonic()
        if now >= self._next_wakeup:
            self._next_wakeup = _NEVER
        return now >= self._at
