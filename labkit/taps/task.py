"""The task of one tap, inside its node: reads the ring, sends its blocks on, stops at a fence.

To the owner: ``{"ready": clock}`` once it captures, or ``{"failed": why}``; then bytes, each one chunk (see `layout`);
``{"busy": clock}`` while watching; ``{"lost", "since_ns", "until_ns"}`` whenever the kernel dropped packets; at
the end ``{"captured", "dropped", "trouble"}``. Clocks are Unix nanoseconds.
From the owner: ``{"op": "watch"}``: say so whenever packets arrive, without waiting for a block to fill;
``{"op": "stop", "until_ns"}``: send everything up to that time, then the statistics, and end.
"""

from dataclasses import dataclass
from typing import Final

from labkit.errors import CaptureError
from labkit.runtime.protocol import TaskLink

from .outbox import Outbox
from .ring import Ring, RingSize, last_time_ns, now_ns

_IDLE_SECONDS: Final = 60.0
_WATCH_SECONDS: Final = 0.004
_REORDERED_NS: Final = 1_000_000  # packets from several processors may stand in the ring this far out of order


def main(
    link: TaskLink, interface: str, blocks: int, block_bytes: int, retire_ms: int, backlog_bytes: int, filter: bytes
) -> None:
    """Capture *interface* until the owner says stop, or is gone; keep up to *backlog_bytes* that it cannot take yet.

    filter: a BPF program that packets must pass; empty: all do.
    """
    try:
        ring = Ring(interface, RingSize(blocks, block_bytes, retire_ms), filter)
    except CaptureError as error:
        link.send({"failed": str(error)})
        return
    try:
        outbox = Outbox(link, backlog_bytes)
        outbox.put({"ready": now_ns()})
        _Tap(link, ring, outbox).run()
    finally:
        ring.close()
    outbox.close()


@dataclass(slots=True)
class _Tap:
    """One capture under way. until_ns: the fence, once there is one; newest_ns: of the packets sent on."""

    link: TaskLink
    ring: Ring
    outbox: Outbox
    watching: bool = False
    until_ns: int | None = None
    newest_ns: int = 0
    dropped: int = 0
    trouble: str | None = None

    def run(self) -> None:
        pending = 0
        while not self._drained():
            self.ring.wait(self._patience(), self.link.fileno())
            self._forward()
            before, pending = pending, self.ring.pending()
            if self.watching and pending and pending != before:
                self.outbox.put({"busy": now_ns()})
            for order in self.link.poll():
                self._obey(order)
        captured, dropped = self.ring.statistics()
        self.outbox.put({"captured": captured, "dropped": dropped, "trouble": self.trouble})

    def _forward(self) -> None:
        self.trouble = self.ring.trouble() or self.trouble
        since_ns = self.newest_ns
        for chunk in self.ring.chunks():
            self.newest_ns = last_time_ns(chunk)
            self.outbox.put(chunk)
        if self.newest_ns != since_ns:
            self._count_losses(since_ns)

    def _count_losses(self, since_ns: int) -> None:
        """Say at once what was dropped since the blocks before, so that a recording knows when it was."""
        _, dropped = self.ring.statistics()
        if dropped > self.dropped:
            self.outbox.put({"lost": dropped - self.dropped, "since_ns": since_ns, "until_ns": self.newest_ns})
            self.dropped = dropped

    def _obey(self, order: dict[str, object]) -> None:
        match order:
            case {"op": "watch"}:
                self.watching = True
            case {"op": "stop", "until_ns": int(until_ns)}:
                self.until_ns = until_ns if self.until_ns is None else min(until_ns, self.until_ns)

    def _patience(self) -> float:
        if self.watching:
            return _WATCH_SECONDS
        left = _IDLE_SECONDS if self.until_ns is None else (self.until_ns - now_ns()) / 1e9
        return max(_WATCH_SECONDS, min(left, _IDLE_SECONDS))

    def _drained(self) -> bool:
        """All packets up to the fence were sent: a later one was, or none is left while the fence lies behind."""
        if self.until_ns is None:
            return False
        if self.newest_ns > self.until_ns + _REORDERED_NS:
            return True
        return now_ns() > self.until_ns and not self.ring.pending()
