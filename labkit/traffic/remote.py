"""How the objects a user holds reach a host's worker, and how what went wrong there becomes a `TrafficError`."""

import contextlib
import itertools
from typing import Any

from labkit.errors import LabError, TrafficError
from labkit.runtime.protocol import Node
from labkit.wording import short

MARGIN = 5.0
_numbers = itertools.count(1)


def new_key(kind: str) -> str:
    """A key of this process's own for something to be held in a worker."""
    return f"{kind}-{next(_numbers)}"


class Line:
    """The line to the worker of one host. Thread-safe."""

    def __init__(self, client: str, node: Node) -> None:
        self.client = client
        self._node = node

    @property
    def raw_sockets(self) -> bool:
        """Whether crafted frames can be sent from there."""
        return self._node.raw_sockets

    def ask(
        self, doing: str, target: str, *arguments: Any, timeout: float | None, give_up: str | None = None
    ) -> dict[str, Any]:
        """Call *target* (``"module:function"`` of this package) and return its answer.

        doing: what the user wanted, for the message. timeout: seconds the function itself may take. give_up: the
        key to close in the worker if the user interrupts. TrafficError where the wire is to blame.
        """
        patience = None if timeout is None else timeout + MARGIN
        try:
            answer: dict[str, Any] = self._node.call(f"labkit.traffic.{target}", *arguments, timeout=patience)
        except Exception:
            raise
        except BaseException:  # an interrupt ends this call alone
            if give_up is not None:
                self.close(give_up)
            raise
        if "failed" in answer:
            raise self.error(doing, answer["failed"])
        return answer

    def error(self, doing: str, failed: dict[str, str]) -> TrafficError:
        """The error for what a worker or a task reported as failed."""
        error = TrafficError(f"{self.client}: {short(doing)} failed ({failed['cause']}): {failed['detail']}")
        error.cause = failed["cause"]
        return error

    def close(self, key: str) -> None:
        """Close what the worker holds under *key*. Idempotent; a lab that is gone has closed it already."""
        with contextlib.suppress(LabError):
            self._node.call("labkit.traffic.held:close", key, timeout=MARGIN)


class Held:
    """Something a host's worker holds for the user until `close`. A context manager."""

    def __init__(self, line: Line, key: str) -> None:
        self._line = line
        self._key = key

    def close(self) -> None:
        """Close it. Idempotent."""
        self._line.close(self._key)

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
