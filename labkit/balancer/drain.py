"""`Drain`: a backend that gets nothing new, seen from the notebook: how many connections it still has."""

import time
from collections.abc import Callable
from numbers import Real

from labkit.errors import LabError, PolicyError
from labkit.wording import shown

LOOK_SECONDS = 0.05


class Drain:
    """A backend taken out of rotation whose connections go on. left: counts what it still has, asked each time.

    A connection that has begun to close counts until both sides have closed it. At L7 those count that the proxy has to
    the backend; it closes each as soon as nothing is asked over it, so what is merely kept does not count for ever.
    """

    def __init__(self, name: str, left: Callable[[], int], is_out: Callable[[], bool]) -> None:
        self.name = name
        self._left = left
        self._is_out = is_out

    @property
    def left(self) -> int:
        """How many TCP connections still lead to the backend, in whatever mode and style they began.

        Of direct server return lb sees what clients send alone: such a connection counts until its client has been
        silent for 10 s after ending it, or for 15 minutes. LabNotRunning when the lab is over.
        """
        return self._left()

    @property
    def drained(self) -> bool:
        """Whether the last of them has ended, and none can begin: not where the backend is in rotation again."""
        return self._is_out() and self.left == 0

    def wait(self, seconds: float = 30.0) -> bool:
        """Wait until it is drained, at most *seconds*; whether it is. Nothing is cut: `Balancer.remove` does that."""
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 <= seconds < 1e9:
            raise PolicyError(f"wait({shown(seconds)}): give a number of seconds, as in drain.wait(10).")
        deadline = time.monotonic() + float(seconds)
        while not self.drained:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(LOOK_SECONDS, left))
        return True

    def __repr__(self) -> str:
        try:
            left, is_out = self.left, self._is_out()
        except LabError:
            return f"<{self.name} is draining>"
        if not is_out:
            return f"<{self.name} is in rotation again>"
        return f"<{self.name} is drained>" if not left else f"<{self.name} is draining: {left} connections left>"
