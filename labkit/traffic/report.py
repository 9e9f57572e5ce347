"""What a load did: `LoadReport` when it is over, `Load` while it runs. The owner's side."""

import contextlib
import html
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import TaskError, TrafficError
from labkit.runtime.protocol import Node
from labkit.traffic.remote import Line
from labkit.traffic.spec import check_flag, check_seconds, check_whole
from labkit.wording import shown

STARTING = 10.0
MOST_CONNECTIONS = 10_000
MOST_REQUESTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the beginning of a request (connecting included) to the end of its answer; None without answers."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The counts of a load.

    requests: all that ended, answered or not. failed: those without an answer; errors: failed ones by cause.
    seconds: from the first request to the last answer. by_backend: answered, by the backend's own word (a balancer's
    own answers are in none). by_status: answered, by HTTP status.
    """

    requests: int
    failed: int
    seconds: float
    latency: Latency
    by_backend: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.requests - self.failed

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def _repr_html_(self) -> str:
        median = "none" if self.latency.p50 is None else f"{self.latency.p50 * 1000:.1f} ms"
        rows = {
            "requests": self.requests,
            "failed": self.failed,
            "answers per second": f"{self.rate:.0f}",
            "median latency": median,
            **{f"answered by {name}": count for name, count in self.by_backend.items()},
            **{f"failed: {cause}": count for cause, count in self.errors.items()},
        }
        head = "<th style='text-align:left'>"
        cells = "".join(f"<tr>{head}{html.escape(name)}</th><td>{value}</td></tr>" for name, value in rows.items())
        return f"<table>{cells}</table>"


class Load:
    """A load that runs in the background, with live counts: ``requests``, ``failed``, ``by_backend``, …"""

    def __init__(self, line: Line, node: Node, doing: str, arguments: Mapping[str, Any]) -> None:
        self._line = line
        self._doing = doing
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._failed: dict[str, str] | None = None
        self._reason: str | None = None
        self._counts: dict[str, Any] = {
            "requests": 0, "failed": 0, "seconds": 0.0, "by_backend": {}, "by_status": {}, "errors": {}
        }  # fmt: skip
        self._latency: Latency | None = None
        self._task = node.start("labkit.traffic.load:main", on_event=self._told, on_exit=self._exited, **arguments)
        try:
            self._begun.wait(STARTING)
        except BaseException:
            self._task.stop(kill=True)
            raise
        if self._failed is not None:
            raise line.error(doing, self._failed)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def requests(self) -> int:
        return int(self._counts["requests"])

    @property
    def failed(self) -> int:
        return int(self._counts["failed"])

    @property
    def seconds(self) -> float:
        return float(self._counts["seconds"])

    @property
    def by_backend(self) -> dict[str, int]:
        return dict(self._counts["by_backend"])

    @property
    def by_status(self) -> dict[int, int]:
        return dict(self._counts["by_status"])

    @property
    def errors(self) -> dict[str, int]:
        return dict(self._counts["errors"])

    def stop(self) -> LoadReport:
        """Begin no more requests, wait for those under way, and report. Idempotent."""
        if self.running:
            with contextlib.suppress(TaskError):  # it has just ended by itself
                self._task.send({"op": "stop"})
        return self.wait()

    def wait(self) -> LoadReport:
        """Wait for the end, and report. TaskError if the load died. An interrupt ends the load."""
        try:
            self._ended.wait()
        except BaseException:
            self._task.stop(kill=True)
            raise
        if self._latency is None:
            with contextlib.suppress(TaskError):  # the lab is gone: LabNotRunning
                self._task.check()
            raise TaskError(f"{self._line.client}: {self._doing} ended without a report: {self._reason or 'stopped'}")
        return LoadReport(latency=self._latency, **self._counts)

    def _told(self, message: dict[str, Any]) -> None:
        if "failed" in message:
            self._failed = message["failed"]
        elif "progress" in message:
            self._counts = message["progress"]
        elif "report" in message:
            report = message["report"]
            self._latency = Latency(**report.pop("latency"))
            self._counts = report
        self._begun.set()

    def _exited(self, reason: str | None) -> None:
        self._reason = reason
        self._ended.set()
        self._begun.set()

    def __repr__(self) -> str:
        return f"<{self._doing} from {self._line.client}, {'running' if self.running else 'ended'}>"


def load_arguments(
    spec: Mapping[str, Any], connections: int, seconds: float, requests: int | None, new_connections: bool
) -> dict[str, Any]:
    """What the load task is started with (*spec*: of one request). TrafficError for numbers that make no sense."""
    if check_whole("connections", connections) > MOST_CONNECTIONS:
        raise TrafficError(f"a load has at most {MOST_CONNECTIONS} connections at a time, not {shown(connections)}")
    if requests is not None:
        check_whole("requests", requests, 1, MOST_REQUESTS)
    return {
        **{name: spec[name] for name in ("url", "headers", "cookies", "timeout")},
        "connections": connections,
        "seconds": check_seconds("seconds", seconds),
        "requests": requests,
        "new_connections": check_flag("new_connections", new_connections),
    }
