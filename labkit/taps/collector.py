"""Taps at many vantage points, started together, stopped together: one consistent `Recording`.

The owner's side of `task`. A recording covers one window of time, from the moment the last tap was ready to the fence
at which all were stopped, so that no vantage point knows more than another.
"""

import _thread
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError, LabError
from labkit.recording import Recording
from labkit.runtime.protocol import Message, Node
from labkit.topology import Topology

from . import blocks, places
from .filters import compile_filter
from .limits import Limits, Tally
from .ring import RingSize, first_time_ns, last_time_ns, now_ns, packets_in
from .store import Store
from .tap import Tap

Event = Mapping[str, Any]
Events = Sequence[Event] | Callable[[], Sequence[Event]]

TASK: Final = "labkit.taps.task:main"
LIMIT_BYTES: Final = 1 << 30
_BACKLOG_BYTES: Final = 256 << 20  # that a tap may hold while its owner is slower than the traffic
_START_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 0.025
_SETTLE_SECONDS: Final = 0.5  # how long continuous traffic may put off the end
_FENCE_SECONDS: Final = 5.0  # without a word from any tap
_LOOK_SECONDS: Final = 0.002
_FOREVER: Final = 2**63 - 1


class Taps:
    """A capture: ``start()``, then traffic, then ``stop()``. All methods are thread-safe.

    vantages: names, all of the topology if empty. filter: only what passes is captured, see `filters`. without: what no
    capture is about, in the same words; the recording does not call it a filter. limits: after which the capture ends
    by itself. limit_bytes: memory for packets, which ends it too. What was ended is cut short at one time everywhere,
    and the recording's ``lacks`` says so. ring: size of the kernel ring of each tap; by their number if None.
    CaptureError for a wrong name or filter.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        topology: Topology,
        vantages: Sequence[str] = (),
        *,
        filter: str | None = None,
        without: str = "",
        limits: Limits | None = None,
        limit_bytes: int | None = None,
        ring: RingSize | None = None,
    ) -> None:
        chosen = places.choose(topology, vantages)
        text, hosts = filter or "", places.addresses(topology)
        wanted = compile_filter(filter, hosts) if filter is not None else None
        if without:
            wanted = compile_filter(f"({text}) and not ({without})" if text else f"not ({without})", hosts)
        self._filter = wanted.program if wanted else b""
        self._taps = [
            Tap(index, replace(vantage, filter=text), nodes[vantage.node]) for index, vantage in enumerate(chosen)
        ]
        self._limits = limits or Limits()
        self._tally = Tally(self._limits)
        self._ring = ring or RingSize.for_taps(len(chosen))
        self._limit_bytes = limit_bytes or max(LIMIT_BYTES, 4 * (self._limits.bytes or 0))
        self._store: Store | None = None
        self._stopping = threading.RLock()
        self._heard = 0.0  # when a tap last said something
        self._launching = threading.Lock()
        self._ended = False
        self._cut_ns = _FOREVER
        self._until_ns = _FOREVER
        self._cut_reason = ""
        self._recording: Recording | None = None

    @staticmethod
    def choose(topology: Topology, names: Sequence[str] = ()) -> tuple[str, ...]:
        """The vantage points that *names* (none: all) stand for, in path order. CaptureError for unknown names."""
        return tuple(vantage.name for vantage in places.choose(topology, names))

    def start(self) -> None:
        """Returns when every tap captures. CaptureError, with all taps stopped, when one cannot."""
        if self._store or self._ended:
            raise CaptureError("This capture was started already; make another one.")
        self._store = Store(self._limit_bytes)
        try:
            _thread.start_new_thread(self._launch, ())  # Thread.start() waits, and an interrupt then costs it its lock
            _wait_for(self._start_settled, _START_SECONDS)
            for tap in sorted(self._taps, key=lambda tap: tap.failure is None):
                if tap.failure or not tap.settled:
                    reason = tap.failure or f"its tap was not ready within {_START_SECONDS:.0f} s"
                    raise CaptureError(f"The capture at {tap.vantage.name} did not start: {reason}")
            if self._limits.seconds is not None:
                self._stop_taps(self._begin_ns + int(self._limits.seconds * 1e9))
        except BaseException:
            self.close()
            raise

    def stop(self, events: Events = (), lacks: Callable[[], Sequence[str]] = tuple) -> Recording:
        """What was captured, with *events* (or what they return when asked, once all packets are in).

        lacks: asked after that, what the events do not tell, in words.

        Waits first until no packet has been seen anywhere for a moment, so that what is in flight is in. Idempotent:
        the same recording again. When interrupted, all taps are ended; called again, it gives what had arrived.
        """
        with self._stopping:
            if self._recording is not None:
                return self._recording
            if not self._store:
                raise CaptureError("This capture is not running: it was never started, or was closed.")
            if not self._ended:
                try:
                    self._settle()
                    self._fence()
                finally:
                    self._end()
            happened = events() if callable(events) else events
            self._recording = self._gather(self._store, happened, lacks())
            self._store.close()
            return self._recording

    def close(self) -> None:
        """End all taps and throw away what was captured, unless `stop` has given it out. Idempotent."""
        self._end()
        if self._store:
            self._store.close()
            self._store = None

    # starting: tasks are started by a thread of its own, because an interrupt, which strikes the main thread, must not
    # come between starting a task and knowing about it

    def _launch(self) -> None:
        ring = self._ring
        backlog_bytes = min(_BACKLOG_BYTES, self._limit_bytes // len(self._taps))
        for tap in self._taps:
            with self._launching:
                if self._ended:
                    return
                try:
                    tap.task = tap.node.start(
                        TASK,
                        on_event=partial(self._hear, tap),
                        on_exit=partial(self._part, tap),
                        interface=tap.vantage.interface,
                        blocks=ring.blocks,
                        block_bytes=ring.block_bytes,
                        retire_ms=ring.retire_ms,
                        backlog_bytes=backlog_bytes,
                        filter=self._filter,
                    )
                except (LabError, OSError) as error:
                    self._part(tap, str(error))

    def _start_settled(self) -> bool:
        return all(tap.settled for tap in self._taps) or any(tap.failure for tap in self._taps)

    # listening: on the runtime's thread

    def _hear(self, tap: Tap, message: Message) -> None:
        self._heard = time.monotonic()
        if isinstance(message, bytes):
            self._keep(tap, message)
        else:
            tap.note(message)

    def _part(self, tap: Tap, reason: str | None) -> None:
        tap.fail(reason)

    def _keep(self, tap: Tap, chunk: bytes) -> None:
        first_ns, last_ns = first_time_ns(chunk), last_time_ns(chunk)
        tap.busy_ns = max(tap.busy_ns, last_ns)
        if first_ns >= self._cut_ns:
            return
        if refusal := self._no_room(tap, chunk):
            self._cut_reason = self._cut_reason or refusal
            self._cut(first_ns)
        elif self._tally.add(packets_in(chunk), len(chunk), last_ns) and self._cut_ns == _FOREVER:
            self._cut(self._tally.newest_ns + 1)  # what stands up to then is enough, and may still come from others

    def _no_room(self, tap: Tap, chunk: bytes) -> str:
        """Why a chunk cannot be kept; empty if it was."""
        try:
            if self._store and self._store.add(tap.index, chunk):
                return ""
            return f"it has used up the memory for one capture, {self._limit_bytes} bytes"
        except OSError as error:
            return f"this machine has no memory left for it ({error.strerror})"

    def _cut(self, cut_ns: int) -> None:
        """Nothing from *cut_ns* on is wanted: no tap need go on. Asked for elsewhere, for this thread must not wait."""
        self._cut_ns = min(self._cut_ns, cut_ns)
        threading.Thread(target=self._stop_taps, args=(self._cut_ns,), name="labkit taps", daemon=True).start()

    def _stop_taps(self, until_ns: int) -> None:
        for tap in self._taps:
            tap.ask({"op": "stop", "until_ns": until_ns})

    # stopping

    def _settle(self) -> None:
        begun = now_ns()
        for tap in self._taps:
            tap.ask({"op": "watch"})
        while not all(tap.over for tap in self._taps):
            now = now_ns()
            quiet = (now - max(begun, *(tap.busy_ns for tap in self._taps))) / 1e9
            left = min(_QUIET_SECONDS - quiet, _SETTLE_SECONDS - (now - begun) / 1e9)
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_SECONDS))

    def _fence(self) -> None:
        self._until_ns = now_ns()
        self._stop_taps(self._until_ns)
        self._heard = time.monotonic()
        while not all(tap.over for tap in self._taps) and time.monotonic() - self._heard < _FENCE_SECONDS:
            time.sleep(_LOOK_SECONDS)

    def _end(self) -> None:
        """No tap runs after this, whatever state it was in."""
        with self._launching:
            self._ended = True
        for tap in self._taps:
            if not tap.over:
                tap.kill()

    @property
    def _begin_ns(self) -> int:
        """When the last tap was ready."""
        return max(tap.ready_ns or 0 for tap in self._taps)

    def _gather(self, store: Store, events: Sequence[Event], unknown: Sequence[str]) -> Recording:
        data = store.data()
        chunks = sorted(store.chunks, key=lambda chunk: chunk.vantage)  # stable: ties in time go in path order
        rows = self._window(blocks.rows(data, chunks))
        kept, last_ns, reason = self._limits.first(rows, self._begin_ns, self._until_ns)
        rows = rows[:kept]
        if self._cut_reason and not reason:
            last_ns, reason = self._cut_ns - 1, self._cut_reason
        lacks = [lack for tap in self._taps for lack in tap.lacks]
        if reason:
            lacks.insert(0, f"everything after its first {len(rows)} packets: {reason}")
        happened = [*events, *(loss for tap in self._taps for loss in tap.losses)]
        if last_ns is not None:
            happened = [event for event in happened if _concerns(event, last_ns)]
        counts = np.bincount(rows["vantage"], minlength=len(self._taps)).tolist()
        return Recording(
            vantages=tuple(tap.vantage for tap in self._taps),
            packets=rows,
            data=data,
            loss={tap.vantage.name: tap.loss(count, last_ns) for tap, count in zip(self._taps, counts, strict=True)},
            events=tuple(sorted(happened, key=lambda event: int(event["time_ns"]))),
            lacks=(*lacks, *unknown),
        )

    def _window(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The rows of the common window, by time."""
        time_ns = rows["time_ns"]
        rows = rows[(time_ns >= self._begin_ns) & (time_ns <= self._until_ns) & (time_ns < self._cut_ns)]
        return rows[np.argsort(rows["time_ns"], kind="stable")]


def _concerns(event: Event, last_ns: int) -> bool:
    """Whether an event belongs to what was captured up to *last_ns*: it began by then, or says who is who."""
    began = event.get("started_ns") or event.get("since_ns") or event["time_ns"]
    return int(began) <= last_ns or event["kind"] in ("topology", "secrets")


def _wait_for(settled: Callable[[], bool], seconds: float) -> None:
    """Look again and again, for *seconds* at most: an interrupt within a Condition's wait can cost it its lock."""
    deadline = time.monotonic() + seconds
    while not settled() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
