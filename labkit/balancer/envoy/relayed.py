"""Lines of Envoy's log about connections that it relayed, as the ``relay`` events of `labkit.recording.model`. Pure.

Of each connection there are two lines: when its other half was made, and when it was over. The first makes the event,
the second completes it; who looks in between sees a connection without an end.
"""

import json
from collections.abc import Mapping
from typing import Any

from .requests import endpoint, failure

_MARK = b'"kind":"Tcp'
_MOST_OPEN = 200_000


class Open:
    """The events of connections that have not ended."""

    def __init__(self) -> None:
        self._events: dict[str, dict[str, Any]] = {}

    def take(self, line: bytes, life: int, ports: Mapping[int, int]) -> dict[str, Any] | None:
        """The event that a line begins; None for one that completes the event begun before.

        ports: Envoy's own port -> the one that clients ask for.
        """
        event = event_of(line, life, ports)
        if event is None:
            return None
        known = self._events.pop(event["relay"], None)
        if event["ended_ns"] is None:
            self._events[event["relay"]] = event
            if len(self._events) > _MOST_OPEN:
                del self._events[next(iter(self._events))]
            return event
        if known is None:
            return event
        known |= event
        return None


def is_one(line: bytes) -> bool:
    """Whether a line tells of a relayed connection."""
    return _MARK in line


def of_this_moment(event: dict[str, Any]) -> dict[str, Any]:
    """An event as it is now, whatever completes it later."""
    return dict(event) if event["kind"] == "relay" and event["ended_ns"] is None else event


def event_of(line: bytes, life: int, ports: Mapping[int, int]) -> dict[str, Any] | None:
    """The event of one line by itself."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    began, over = int(told["began"]), told["kind"] == "TcpConnectionEnd"
    chosen = began + (told.get("chosen") or 0)
    ended = began + int(told.get("lasted") or 0) * 1_000_000 if over else None
    if ended is not None:
        ended = max(ended, began + (told.get("connected") or told.get("chosen") or 0))
    front = [endpoint(told["client"]), endpoint(told["server"])]
    front[1][1] = ports.get(front[1][1], front[1][1])
    network = "ip6" if ":" in front[0][0] else "ip"
    read = told["read"].split()
    named = "tls.sni" in read
    back = told.get("back_client") and told.get("back_server") and told.get("backend")
    return {
        "kind": "relay",
        "time_ns": ended if ended is not None else chosen,
        "relay": f"envoy{life}-{told['front']}",
        "rule": told["rule"],
        "backend": told.get("backend"),
        "read": read,
        "held": [f"{network}.src", f"{network}.dst", "tcp.sport", "tcp.dport", *(["tls.sni", "tls.alpn"] * named)],
        "sni": told.get("sni") if named else None,
        "started_ns": began,
        "decided_ns": chosen,
        "ended_ns": ended,
        "front": {"id": f"envoy{life}-{told['front']}", "client": front[0], "server": front[1]},
        "back": {
            "id": f"envoy{life}-{told.get('back')}",
            "client": endpoint(told["back_client"]),
            "server": endpoint(told["back_server"]),
        }
        if back
        else None,
        "bytes_out": told.get("sent") if over else None,
        "bytes_in": told.get("answered") if over else None,
        "error": failure(told),
    }
