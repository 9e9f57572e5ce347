"""One tap as its owner sees it: what its task has said so far, and whether it still runs."""

from dataclasses import dataclass, field
from typing import Any

from labkit.errors import LabError
from labkit.recording import Loss, Vantage
from labkit.runtime.protocol import Message, Node, Task


@dataclass(slots=True)
class Tap:
    """Times are Unix nanoseconds. busy_ns: when packets were last seen here. over: nothing more will come."""

    index: int
    vantage: Vantage
    node: Node
    task: Task | None = None
    ready_ns: int | None = None
    busy_ns: int = 0
    over: bool = False
    failure: str | None = None
    dropped: int | None = None
    losses: list[dict[str, Any]] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Started or failed: the start need not wait for it."""
        return self.ready_ns is not None or self.over

    def note(self, message: Message) -> None:
        """Take what the task says about itself (its chunks go elsewhere)."""
        match message:
            case {"ready": int(clock)}:
                self.ready_ns = clock
            case {"busy": int(clock)}:
                self.busy_ns = max(self.busy_ns, clock)
            case {"failed": str(why)}:
                self.fail(why)
            case {"lost": int(lost), "since_ns": int(since_ns), "until_ns": int(until_ns)}:
                self.losses.append(
                    {
                        "kind": "loss",
                        "time_ns": until_ns,
                        "since_ns": since_ns,
                        "vantage": self.vantage.name,
                        "dropped": lost,
                    }
                )
            case {"captured": int(), "dropped": int(dropped), "trouble": trouble}:
                self.dropped = dropped
                self.over = True
                if trouble:
                    self.lacks.append(f"perhaps packets at {self.vantage.name}: {trouble}")

    def fail(self, why: str | None) -> None:
        """It ended without being asked to."""
        if not self.over:
            self.over = True
            self.failure = (why or "its task ended").strip().splitlines()[-1]
            self.lacks.append(f"the last packets at {self.vantage.name}: its tap ended early ({self.failure})")

    def ask(self, order: dict[str, object]) -> None:
        """Send an order to the task, if it still runs."""
        if self.task and not self.over:
            try:
                self.task.send(order)
            except LabError as error:
                self.fail(str(error))

    def kill(self) -> None:
        """End the task at once, with whatever it has not sent."""
        self.fail("it was stopped")
        if self.task:
            self.task.stop(kill=True)

    def loss(self, captured: int, last_ns: int | None = None) -> Loss:
        """*captured*, and what was dropped; with *last_ns* without what was dropped after that time."""
        if self.dropped is None or last_ns is None:
            return Loss(captured, self.dropped)
        later = [int(loss["dropped"]) for loss in self.losses if int(loss["since_ns"]) > last_ns]
        return Loss(captured, self.dropped - sum(later))
