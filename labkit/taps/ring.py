"""A TPACKET_V3 ring on one interface: the kernel writes packets into shared memory, whole blocks come out.

Nothing is done per packet here; what the blocks hold is read by `blocks` on the owner's side. Needs CAP_NET_RAW in the
network namespace it runs in. See Documentation/networking/packet_mmap.rst of the kernel.
"""

import array
import errno
import fcntl
import mmap
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from labkit.errors import CaptureError

from . import layout

SOL_PACKET: Final = 263
SO_ATTACH_FILTER: Final = 26
PACKET_RX_RING: Final = 5
PACKET_STATISTICS: Final = 6
PACKET_VERSION: Final = 10
TPACKET_V3: Final = 2
ETH_P_ALL: Final = 3
MOST_BLOCK_BYTES: Final = 1 << 20
SIOCETHTOOL: Final = 0x8946
ETHTOOL_GSET: Final = 1
_FILTER_STEP: Final = 8  # bytes of a struct sock_filter
_HELD_SECONDS: Final = 1.0  # for how long a ring takes what its link can carry at most while nobody reads it
_FRAME_BYTES: Final = 2048  # V3 packs packets densely; the kernel only checks that this divides a block


@dataclass(frozen=True, slots=True)
class RingSize:
    """How much a ring holds, and how long (milliseconds) a packet may wait in a block that is not full.

    However few the packets are, the kernel closes a block every retire_ms: a ring that nobody reads is full after
    blocks * retire_ms, if its bytes do not fill it earlier. The kernel wants block_bytes to be a multiple of its page
    size; what is larger than a block is cut (frames have up to 64 KiB).
    """

    blocks: int = 32
    block_bytes: int = 128 << 10
    retire_ms: int = 40

    def __post_init__(self) -> None:
        if self.blocks < 2 or self.retire_ms < 1:
            raise ValueError("a ring needs 2 blocks and 1 ms at least")
        if self.block_bytes % mmap.PAGESIZE or not 0 < self.block_bytes <= MOST_BLOCK_BYTES:
            raise ValueError(f"block_bytes must be a multiple of {mmap.PAGESIZE} up to {MOST_BLOCK_BYTES}")

    @property
    def total_bytes(self) -> int:
        return self.blocks * self.block_bytes

    @classmethod
    def for_taps(cls, taps: int) -> "RingSize":
        """Of each of so many taps: 16 MiB for a few, 4 MiB for very many."""
        return cls(blocks=max(32, min(128, 512 // max(1, taps))))

    def for_link(self, bytes_per_second: int | None) -> "RingSize":
        """This size, or less where the link is too slow to fill it before it is read."""
        if not bytes_per_second:
            return self
        blocks_per_second = max(bytes_per_second / self.block_bytes, 1000 / self.retire_ms)
        return replace(self, blocks=min(self.blocks, int(blocks_per_second * _HELD_SECONDS) + 2))


class Ring:
    """Captures on *interface* from construction to `close`; both directions, whole frames.

    size: at most; a slow link gets less. filter: a program of classic BPF (see `filters`), which the kernel runs before
    a packet enters the ring; empty: every packet does.

    CaptureError when the interface does not exist, the privilege is missing or the memory is refused.
    """

    def __init__(self, interface: str, size: RingSize | None = None, filter: bytes = b"") -> None:
        self.interface = interface
        self._filter = filter
        self._size = size or RingSize()
        self._next = 0  # the block that is read next; the kernel fills it, or already has
        self._captured = 0
        self._dropped = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: hears nothing yet
        except OSError as error:
            raise _refused(interface, self._size, error) from error
        try:
            self._size = self._size.for_link(_bytes_per_second(self._socket, interface))
            self._map = self._attach()
        except CaptureError:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            raise _refused(interface, self._size, error) from error
        self._words = memoryview(self._map).cast("I")

    def _attach(self) -> mmap.mmap:
        size = self._size
        frames = size.total_bytes // _FRAME_BYTES
        request = struct.pack("7I", size.block_bytes, size.blocks, _FRAME_BYTES, frames, size.retire_ms, 0, 0)
        if self._filter:  # before anything can be heard
            self._attach_filter()
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        memory = mmap.mmap(self._socket.fileno(), size.total_bytes)
        try:
            self._socket.bind((self.interface, ETH_P_ALL))
        except OSError:
            memory.close()
            raise
        return memory

    def _attach_filter(self) -> None:
        steps = array.array("B", self._filter)
        address, size = steps.buffer_info()
        try:
            program = struct.pack("HP", size // _FILTER_STEP, address)  # struct sock_fprog
            self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        except OSError as error:
            raise CaptureError(
                f"Interface {self.interface!r} cannot be captured: the kernel refuses a filter of "
                f"{size // _FILTER_STEP} instructions ({error.strerror}); use a shorter one."
            ) from error

    def fileno(self) -> int:
        """Readable when a block is ready (for select)."""
        return self._socket.fileno()

    def chunks(self) -> Iterator[bytes]:
        """The blocks that are ready now, oldest first, each given back to the kernel once copied."""
        for _ in range(self._size.blocks):
            start = self._next * self._size.block_bytes
            if not self._word(layout.BLOCK_STATUS) & layout.STATUS_USER:
                return
            chunk = self._map[start : start + self._word(layout.BLOCK_LENGTH)]
            self._words[(start + layout.BLOCK_STATUS) // 4] = 0
            self._next = (self._next + 1) % self._size.blocks
            yield chunk

    def pending(self) -> int:
        """Packets in the block that the kernel is still filling (or that waits to be read)."""
        return self._word(layout.BLOCK_PACKETS)

    def wait(self, seconds: float, other: int = -1) -> None:
        """Until a block is ready, *other* (a descriptor) is readable, or the time is up."""
        watched = select.poll()
        watched.register(self._socket, select.POLLIN)
        if other >= 0:
            watched.register(other, select.POLLIN)
        watched.poll(max(0.0, seconds) * 1000)

    def trouble(self) -> str | None:
        """What befell the interface since the last call, in words; None if nothing."""
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not number:
            return None
        return _TROUBLES.get(number, f"interface {self.interface}: {errno.errorcode.get(number, number)}")

    def statistics(self) -> tuple[int, int]:
        """Packets (captured, dropped) since the start. Dropped: the ring was full."""
        answer = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)  # reading resets the kernel's counts
        packets, drops, _ = struct.unpack("3I", answer)
        self._captured += packets - drops
        self._dropped += drops
        return self._captured, self._dropped

    def close(self) -> None:
        """Stop capturing and free the ring. Idempotent."""
        self._words.release()
        self._map.close()
        self._socket.close()

    def _word(self, offset: int) -> int:
        return self._words[(self._next * self._size.block_bytes + offset) // 4]


_TROUBLES: Final = {errno.ENETDOWN: "its interface went down during the capture"}


def first_time_ns(chunk: bytes) -> int:
    """Time stamp of the oldest packet in a chunk."""
    return _time_ns(chunk, layout.BLOCK_FIRST_TIME)


def last_time_ns(chunk: bytes) -> int:
    """Time stamp of the newest packet in a chunk."""
    return _time_ns(chunk, layout.BLOCK_LAST_TIME)


def packets_in(chunk: bytes) -> int:
    """How many packets a chunk holds."""
    return int(struct.unpack_from("I", chunk, layout.BLOCK_PACKETS)[0])


def _time_ns(chunk: bytes, offset: int) -> int:
    seconds, nanoseconds = struct.unpack_from("2I", chunk, offset)
    return int(seconds) * 10**9 + int(nanoseconds)


def now_ns() -> int:
    """The clock of the packets' time stamps."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def _bytes_per_second(any_socket: socket.socket, interface: str) -> int | None:
    """What the link carries by its driver's word (struct ethtool_cmd); None if it does not say."""
    command = array.array("B", struct.pack("II36x", ETHTOOL_GSET, 0))
    request = struct.pack("16sP", interface.encode()[:15], command.buffer_info()[0])
    try:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
    except OSError:
        return None
    low, high = struct.unpack_from("H", command, 12)[0], struct.unpack_from("H", command, 28)[0]
    megabits = low | high << 16
    return megabits * 125_000 if 0 < megabits < 0xFFFFFFFF else None


def _refused(interface: str, size: RingSize, error: OSError) -> CaptureError:
    there = ", ".join(name for _, name in socket.if_nameindex())
    reasons = {
        errno.ENODEV: f"it does not exist; there are: {there}",
        errno.EPERM: "the node lacks the privilege CAP_NET_RAW; grant it to the node",
        errno.ENOMEM: f"the kernel has no {size.total_bytes} bytes for its ring; use a smaller RingSize",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return CaptureError(f"Interface {interface!r} cannot be captured: {reason}.")
