"""The L4 engine as its owner outside the node holds it: what to forward goes in, rules and decisions come out."""

import threading
from collections.abc import Sequence
from itertools import count
from typing import Any

from labkit.errors import EngineError, TaskError
from labkit.runtime.protocol import Node, Task
from labkit.topology import Topology

from ..policy import Forward
from .wanted import check, plain

TARGET = "labkit.balancer.nftables.task:main"
PATIENCE = 30.0  # seconds for one answer; they take milliseconds


class NftablesEngine:
    """Forwards listeners by rules in the kernel of *node*. All methods are thread-safe."""

    def __init__(self, node: Node, topology: Topology) -> None:
        self._node = node
        self._vips = [str(topology.vip4), str(topology.vip6) if topology.vip6 else None]
        self._lock = threading.RLock()
        self._task: Task | None = None
        self._numbers = count(1)
        self._forgotten = self._lost = 0

    def start(self) -> None:
        """Start the task in the node, unless it runs. The kernel's rules are left as they are."""
        with self._lock:
            if self._task is None or not self._task.running:
                self._task = self._node.start(TARGET, vips=self._vips)

    def apply(self, forwards: Sequence[Forward]) -> None:
        """Forward these from the next connection on, and nothing else; in one transaction, restarting nothing.

        Starts the task if it is not running. PolicyError for what nftables cannot do, EngineError if the
        kernel refuses: in both cases the rules that were in force stay.
        """
        check(forwards)
        with self._lock:
            self.start()
            self._ask("apply", forwards=plain(forwards))

    def text(self) -> str:
        """The rules in force in the node, all tables, as ``nft -s list ruleset`` writes them."""
        return str(self._ask("text"))

    def reads(self) -> list[str]:
        """The names (see labkit.recording) of the fields that the rules in force load."""
        return list(self._ask("reads"))

    def decisions(self, since_ns: int = 0) -> list[dict[str, Any]]:
        """The ``decision`` events since *since_ns* (Unix time), oldest first, complete up to the call.

        Afterwards `forgotten` and `lost` say what is missing.
        """
        found: list[dict[str, Any]] = []
        start: int | None = 0
        with self._lock:
            while start is not None:
                answer = self._ask("decisions", start=start, since_ns=since_ns)
                found += answer["decisions"]
                start = answer["next"]
                self._forgotten, self._lost = answer["forgotten"], answer["lost"]
        return sorted(found, key=lambda decision: int(decision["time_ns"]))  # two CPUs may have queued them crosswise

    @property
    def forgotten(self) -> int:
        """Decisions too long ago to be kept, as of the last `decisions`."""
        return self._forgotten

    @property
    def lost(self) -> int:
        """Connections whose report the kernel could not queue, as of the last `decisions`."""
        return self._lost

    def settings(self) -> list[str]:
        """The sysctls that could not be set in the node, with reasons; see `sysctls`."""
        return list(self._ask("settings"))

    def stop(self) -> None:
        """End the task; the rules stay in the kernel. Idempotent."""
        with self._lock:
            if self._task is not None:
                self._task.stop()
                self._task = None

    def _ask(self, operation: str, **arguments: Any) -> Any:
        with self._lock:
            if self._task is None:
                raise EngineError(f"The L4 engine on {self._node.name} is not started: call apply() first.")
            number = next(self._numbers)
            try:
                self._task.send({"id": number, "op": operation, **arguments})
                answer = self._task.receive(PATIENCE)
                while answer["id"] != number:  # of a call that was interrupted
                    answer = self._task.receive(PATIENCE)
            except TaskError as error:
                raise EngineError(
                    f"The L4 engine on {self._node.name} ended; its rules stay in the kernel and go on forwarding. "
                    f"Switch with lab.balancer.l4() or .l7() to start it again. {error}"
                ) from error
            except TimeoutError as error:
                raise EngineError(
                    f"The L4 engine on {self._node.name} has not answered {operation!r} for {PATIENCE:.0f} s; "
                    "stop the lab and start it again."
                ) from error
            if "error" in answer:
                raise EngineError(answer["error"])
            return answer["result"]
