"""What a runtime is to everything above it: nodes that run tasks. Nothing here runs anything.

A *task* is a function named ``"package.module:function"``, started inside a node in a process of its own
and called as ``function(link, **arguments)``; `TaskLink` is its side of the stream, `Task` the caller's.
A *call* is a short function run in the node's resident worker process (each call in a thread of its own;
module state lives as long as the node) whose return value comes back.

Messages, arguments and results are plain data: None, bool, int, float, str, bytes, list, dict
(tuples arrive as lists).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # nodes import this module, and a topology is none of their business
    from labkit.topology import Topology

Message = Any


class TaskLink(Protocol):
    """The task's own side, inside the node."""

    node: str

    def send(self, message: Message) -> None:
        """Send one message to the owner. Thread-safe. Raises BrokenPipeError when the owner is gone."""

    def receive(self, timeout: float | None = None) -> Message:
        """Next message from the owner. TimeoutError after *timeout* seconds; EOFError when the owner is gone."""

    def poll(self) -> list[Message]:
        """All messages that are here already, without waiting; EOFError when the owner is gone."""

    def fileno(self) -> int:
        """Becomes readable when there is something to `poll` (for select, or asyncio's add_reader)."""


class Task(Protocol):
    """A running task, as its owner outside the node holds it. All methods are thread-safe."""

    name: str

    def send(self, message: Message) -> None:
        """Raises what `check` raises."""

    def check(self) -> None:
        """TaskError when the task has ended, LabNotRunning when its whole node is gone."""

    def receive(self, timeout: float | None = None) -> Message:
        """Next message (not with ``on_event``). TimeoutError; at the end of all messages what `check` raises."""

    @property
    def running(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> str | None:
        """Wait for the end: None if it ended well or was stopped, else the reason. TimeoutError."""

    def stop(self, timeout: float = 1.0, *, kill: bool = False) -> None:
        """End it: SIGTERM, after *timeout* seconds SIGKILL; at once SIGKILL with kill=True. Idempotent."""


class Node(Protocol):
    """A host of the lab. raw_sockets: whether it has a network of its own, into which crafted frames may be sent."""

    name: str
    raw_sockets: bool

    def start(
        self,
        target: str,
        /,
        *,
        on_event: Callable[[Message], None] | None = None,
        on_exit: Callable[[str | None], None] | None = None,
        **arguments: Any,
    ) -> Task:
        """Start *target* as a task. The callbacks run on the runtime's reader thread and must not block."""

    def call(self, target: str, /, *arguments: Any, timeout: float | None = 60.0) -> Any:
        """Run *target* in the node's worker. Its LabError is raised here again; other exceptions as TaskError.

        LabNotRunning when the node is gone, or goes meanwhile.
        """

    def administer(self, target: str, /, *arguments: Any) -> None:
        """Run *target* with the right to change the host's network, for faults; its result is not passed on.

        Errors as of `call`; RuntimeUnavailable where nobody has that right.
        """


class Runtime(Protocol):
    """Where nodes live."""

    name: str

    def start(self, topology: "Topology", preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> "Topology":
        """Build the lab; all or nothing. *preload* names modules that every node should have imported, *at_balancer*
        those that the balancer should have too.

        Returns the topology as it was built: the one given, or the same on other subnets where those were taken.
        """

    @property
    def nodes(self) -> Mapping[str, Node]: ...

    @property
    def running(self) -> bool:
        """Whether the lab was built and is still there."""

    @property
    def cause(self) -> str:
        """What ended a lab that was not stopped, in words ("the agent of alice ended"); else empty."""

    def know(self, names: Mapping[str, str]) -> None:
        """Have every node's name resolution find these too: name -> address. They stay until the lab ends."""

    def stop(self) -> None:
        """End everything. Idempotent."""
