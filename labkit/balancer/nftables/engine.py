"""The L4 engine as its owner outside the node holds it: what to forward goes in, rules and decisions come out.

The kernel forwards, the engine's task only sets its rules and keeps its record. So the task's death stops no traffic:
another is started at once, and what the dead one knew is a `Gap`, never passed over in silence.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from labkit.errors import EngineError, LabError, TaskError
from labkit.runtime.protocol import Node, Task
from labkit.topology import Topology

from ..inward import Inward
from ..policy import Forward
from .inward import plain as plain_inward
from .wanted import beside, check, plain

TARGET = "labkit.balancer.nftables.task:main"
PATIENCE = 30.0  # seconds for one answer; they take milliseconds
SHORT_LIVED = 1.0  # seconds; who dies sooner is not started again unasked


@dataclass(frozen=True, slots=True)
class Gap:
    """A time (Unix, ns) of which the decisions are not known, because the task that had them ended."""

    begun_ns: int
    ended_ns: int
    reason: str

    def __str__(self) -> str:
        span = f"from {_clock(self.begun_ns)} to {_clock(self.ended_ns)} UTC"
        return f"the L4 decisions {span}: the engine's task ended ({self.reason})"


class NftablesEngine:
    """Forwards listeners by rules in the kernel of *node*. All methods are thread-safe.

    on_death: called with the reason, on a thread of its own, when the task ended unasked and another has been started.
    """

    def __init__(self, node: Node, topology: Topology, on_death: Callable[[str], None] = lambda _: None) -> None:
        self._node = node
        self._vips = [str(topology.vip4), str(topology.vip6) if topology.vip6 else None]
        self._beside = beside(topology)
        self._lock = threading.RLock()
        self._on_death = on_death
        self._task: Task | None = None
        self._begun_ns = 0
        self._forwards: list[dict[str, Any]] = []
        self._gaps: list[Gap] = []
        self._numbers = count(1)
        self._forgotten = self._lost = 0
        self._incomplete_ns = 0  # the newest moment at which a report was lost or forgotten

    def start(self) -> None:
        """Start the task in the node, unless it runs. The kernel's rules are left as they are."""
        with self._lock:
            if self._task is not None and self._task.running:
                return
            before, begun_ns = self._task, self._begun_ns
            self._begun_ns = time.time_ns()
            self._task = self._node.start(
                TARGET, on_exit=self._ended, vips=self._vips, forwards=self._forwards, beside=self._beside
            )
            if before is not None:
                self._ask("settings")  # from its answer on it keeps the record
                self._gaps.append(Gap(begun_ns, time.time_ns(), _last_line(before.wait(0))))

    def apply(self, forwards: Sequence[Forward], inward: Sequence[Inward] = ()) -> tuple[int, int]:
        """Forward these from the next connection on, and nothing else; in one transaction, restarting nothing.

        inward: what is sent on to a proxy on lb itself.

        Starts the task if it is not running. PolicyError for what nftables cannot do, EngineError if the
        kernel refuses: in both cases the rules that were in force stay. Gives the generations of the kernel's rules
        before and afterwards: every change, by whomever, makes a new one.
        """
        check(forwards)
        with self._lock:
            self.start()
            before, after = self._ask("apply", forwards=plain(forwards), inward=plain_inward(inward))
            self._forwards = plain(forwards)
            return before, after

    def text(self) -> str:
        """The rules in force in the node, all tables, as ``nft -s list ruleset`` writes them."""
        return str(self._ask("text"))

    def reads(self) -> list[str]:
        """The names (see labkit.recording) of the fields that the rules in force load."""
        return list(self._ask("reads"))

    def dump(self) -> tuple[str, list[str]]:
        """`text` and `reads` of one moment, for the price of one."""
        listing, names = self._ask("dump")
        return str(listing), list(names)

    def decisions(self, since_ns: int = 0) -> list[dict[str, Any]]:
        """The ``decision`` events since *since_ns* (Unix time), oldest first, complete up to the call.

        Afterwards `forgotten`, `lost` and `lacks` say what is missing.
        """
        found: list[dict[str, Any]] = []
        start: int | None = 0
        with self._lock:
            while start is not None:
                answer = self._ask("decisions", start=start, since_ns=since_ns)
                found += answer["decisions"]
                start = answer["next"]
                self._forgotten, self._lost = answer["forgotten"], answer["lost"]
                self._incomplete_ns = answer["incomplete_ns"]
        return sorted(found, key=lambda decision: int(decision["time_ns"]))  # two CPUs may have queued them crosswise

    @property
    def forgotten(self) -> int:
        """Decisions too long ago to be kept, as of the last `decisions`."""
        return self._forgotten

    @property
    def lost(self) -> int:
        """Connections whose report the kernel could not queue, as of the last `decisions`."""
        return self._lost

    def lacks(self, since_ns: int = 0) -> list[str]:
        """What the last `decisions` could not tell of the time since *since_ns* (Unix time), in words."""
        with self._lock:
            found = [str(gap) for gap in self._gaps if gap.ended_ns > since_ns]
            if self._incomplete_ns > since_ns:
                found.append(f"L4 decisions: {self._lost} reports were lost and {self._forgotten} forgotten in all")
            return found

    def settings(self) -> list[str]:
        """The sysctls that could not be set in the node, with reasons; see `sysctls`."""
        return list(self._ask("settings"))

    def flows(self) -> list[dict[str, Any]]:
        """The connections that the kernel tracks at this moment, as `flows.plain` writes them."""
        found: list[dict[str, Any]] = []
        start: int | None = 0
        with self._lock:
            while start is not None:
                answer = self._ask("flows", start=start)
                found += answer["flows"]
                start = answer["next"]
        return found

    def cut(self, addresses: Sequence[str]) -> dict[str, int]:
        """Reset the connections that were forwarded to *addresses*, and no others; see `cut.cut`."""
        return dict(self._ask("cut", addresses=list(addresses)))

    def stop(self) -> None:
        """End the task; the rules stay in the kernel. Idempotent."""
        with self._lock:
            task, self._task = self._task, None
            if task is not None:
                task.stop()

    def _ended(self, reason: str | None) -> None:
        """The task is over (reader thread, which must not wait)."""
        if reason is not None:
            threading.Thread(target=self._revive, args=(reason,), name="labkit L4 engine", daemon=True).start()

    def _revive(self, reason: str) -> None:
        with suppress(LabError):  # the whole lab is gone
            with self._lock:
                if self._task is None or time.time_ns() - self._begun_ns < SHORT_LIVED * 1e9:
                    return
                self.start()
            self._on_death(_last_line(reason))

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


def _clock(time_ns: int) -> str:
    """The time of day, to the millisecond."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def _last_line(reason: str | None) -> str:
    return (reason or "it was stopped").strip().splitlines()[-1]
