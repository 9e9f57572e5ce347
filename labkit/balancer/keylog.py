"""What a proxy told of its TLS secrets, kept at the owner's side until a capture asks for it."""

from collections import deque
from typing import Any

_KEPT = 20_000  # handshakes, about 1 kB each; the oldest go first


class KeyLog:
    """The secrets of the last handshakes. Filled by one thread, asked from any."""

    def __init__(self) -> None:
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
        return ["the TLS secrets of the oldest connections at L7"] if self._forgotten_ns >= since_ns else []

    def since(self, since_ns: int) -> list[dict[str, Any]]:
        """The ``secrets`` events of connections that were open at *since_ns* (Unix time) or later, oldest first.

        What was agreed on before is stamped with *since_ns*, as rules that were in force then are.
        """
        return [
            {
                "kind": "secrets",
                "time_ns": max(message["time_ns"], since_ns),
                "leg": message["leg"],
                "lines": message["lines"],
            }
            for message in list(self._told)
            if message.get("ended_ns", since_ns) >= since_ns
        ]
