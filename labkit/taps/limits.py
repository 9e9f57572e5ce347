"""After how much a capture ends by itself, and what is kept then. Pure.

The limits hold for all vantage points together, so that none knows more than another: what is kept is what came first
by time. While packets arrive they are counted roughly and cheaply (`Tally`), to end the taps in time; what is kept is
decided exactly at the end (`Limits.first`).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError
from labkit.wording import shown

from . import layout

_PACKET_OVERHEAD: Final = 104  # bytes at most that a packet takes in a chunk beside its own


@dataclass(frozen=True, slots=True)
class Limits:
    """packets, bytes (of frames) and seconds at most, None: no limit. CaptureError for what is no such number."""

    packets: int | None = None
    bytes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, kinds, most in (("packets", int, 1 << 62), ("bytes", int, 1 << 62), ("seconds", int | float, 10**9)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, kinds) and value is not True and 0 < value <= most):
                what = "a whole number from 1" if kinds is int else "a number above 0"
                raise CaptureError(f"A capture's limit {name} is {what}, not {shown(value)}; leave it out for none.")

    def first(self, rows: npt.NDArray[Any], begin_ns: int, end_ns: int) -> tuple[int, int | None, str]:
        """How many of *rows* (in time order) are kept, the last time that counts (None: no limit was reached), and why.

        begin_ns, end_ns: from when to when there was a capture.
        """
        count, last_ns, why = len(rows), None, ""
        if self.seconds is not None and begin_ns + int(self.seconds * 1e9) < end_ns:
            last_ns = begin_ns + int(self.seconds * 1e9)
            count = int(np.searchsorted(rows["time_ns"], last_ns, side="right"))
            why = f"the limit seconds={self.seconds:g} was reached"
        if self.packets is not None and count >= self.packets:
            count, why = self.packets, f"the limit packets={self.packets} was reached"
            last_ns = int(rows["time_ns"][count - 1])
        if self.bytes is not None:
            total = np.cumsum(rows["captured"][:count], dtype=np.int64)
            if count and total[-1] >= self.bytes:
                count = int(np.searchsorted(total, self.bytes, side="right"))
                why = f"the limit bytes={self.bytes} was reached"
                last_ns = int(rows["time_ns"][count - 1]) if count else begin_ns
        return count, last_ns, why


@dataclass(slots=True)
class Tally:
    """What has arrived so far, never more than there was: enough of it means that a limit is reached for certain."""

    limits: Limits
    packets: int = 0
    bytes: int = 0
    newest_ns: int = 0

    def add(self, packets: int, length: int, last_ns: int) -> bool:
        """Count a chunk of so many packets and bytes; whether a limit is reached by what stands up to `newest_ns`."""
        self.packets += packets
        self.bytes += max(0, length - layout.BLOCK_HEADER - packets * _PACKET_OVERHEAD)
        self.newest_ns = max(self.newest_ns, last_ns)
        packets_enough = self.limits.packets is not None and self.packets >= self.limits.packets
        return packets_enough or (self.limits.bytes is not None and self.bytes >= self.limits.bytes)
