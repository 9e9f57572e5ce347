"""What a proxy told of its TLS secrets, kept at the owner's side until a capture asks for it."""

from collections import deque
from typing import Any

_KEPT = 20_000  # handshakes, about 1 kB each; the oldest go first
_OLD = 1_000  # of those from before the time asked for, of which it is not known whether they were still open


class KeyLog:
    """The secrets of the last handshakes. Filled by one thread, asked from any.

    ends_unknown: nobody says which connections have ended, so that many from before are given for nothing.
    """

    def __init__(self, ends_unknown: bool = False) -> None:
        self._ends_unknown = ends_unknown
        self._told: deque[dict[str, Any]] = deque()
        self._forgotten_ns = 0  # when the newest of them was agreed on (Unix time)
        self._open: dict[str, dict[str, Any]] = {}

    def put(self, message: dict[str, Any]) -> None:
        """A ``secrets`` message."""
        self._told.append(message)
        self._open[message["connection"]] = message
        if len(self._told) > _KEPT:
            oldest = self._told.popleft()
            self._forgotten_ns = int(oldest["time_ns"])
            self._open.pop(oldest["connection"], None)

    def close(self, connection: str, time_ns: int) -> None:
        """The connection has ended."""
        message = self._open.pop(connection, None)
        if message is not None:
            message["ended_ns"] = time_ns

    def close_all(self, time_ns: int) -> None:
        """The proxy has ended, and all its connections with it."""
        for connection in list(self._open):
            self.close(connection, time_ns)

    def lacks(self, since_ns: int) -> list[str]:
        """What `since` cannot tell, in words."""
        forgotten = self._forgotten_ns >= since_ns or (self._ends_unknown and len(self._before(since_ns)) > _OLD)
        return ["the TLS secrets of the oldest connections at L7"] if forgotten else []

    def since(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events of connections that were open at *since_ns* (Unix time) or later, oldest first.

        What was agreed on before is stamped with *since_ns*, as rules that were in force then are.
        """
        told = [message for message in list(self._told) if message.get("ended_ns", since_ns) >= since_ns]
        if self._ends_unknown:
            told = [*self._before(since_ns)[-_OLD:], *(one for one in told if one["time_ns"] >= since_ns)]
        return [
            {
                "kind": "secrets",
                "time_ns": max(message["time_ns"], since_ns),
                "leg": message["leg"],
                "lines": message["lines"],
            }
            for message in told
        ]

    def _before(self, since_ns: int) -> list[dict[str, Any]]:
        """What was agreed on before, and is not known to have ended by then."""
        return [
            message
            for message in list(self._told)
            if message["time_ns"] < since_ns <= message.get("ended_ns", since_ns)
        ]
