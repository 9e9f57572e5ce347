"""pcapng's numbers and small shapes (draft-ietf-opsawg-pcapng): blocks and options as bytes, and back.

Pure: bytes in, bytes out. `pcapng_writer` says which blocks a recording becomes, `pcapng_reader` what the blocks of a
file mean; what labkit adds of its own is described in docs/pcapng.md.
"""

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError

SECTION = 0x0A0D0D0A  # the same in both byte orders
INTERFACE = 1
OLD_PACKET = 2
SIMPLE_PACKET = 3
STATISTICS = 5
PACKET = 6
SECRETS = 0xA
EVIDENCE = 0x80007ED9  # labkit's own: a local-use type, which Wireshark skips (it lists custom blocks as packets)
OFFSETS = 0x80007EDA  # labkit's own too: how long the packet blocks are that follow
BYTE_ORDER = 0x1A2B3C4D

OPT_END = 0
OPT_COMMENT = 1
OPT_FLAGS = 2  # of a packet
OPT_PACKET_ID = 5
OPT_APPLICATION = 4  # of a section
OPT_NAME = 2  # of an interface
OPT_DESCRIPTION = 3
OPT_RESOLUTION = 9
OPT_FILTER = 11
OPT_OFFSET = 14
OPT_RECEIVED = 4  # of statistics
OPT_DROPPED = 5
OPT_OS_DROPPED = 7
OPT_DELIVERED = 8

DOCUMENTATION_PEN = 32473  # RFC 5612: the enterprise number for examples (0x7ED9)
SMALLEST_SECTION = 28  # bytes of a section header block without options
PACKET_OVERHEAD = 32  # bytes of an enhanced packet block around its data, without options
MICROSECONDS, NANOSECONDS = 6, 9
FILTER_TEXT = 0  # the first byte of a filter option: a pcap-filter(7) expression follows


def padded(size: int) -> int:
    """*size* rounded up to the 32-bit boundary on which everything in pcapng stands."""
    return size + 3 & ~3


def block(kind: int, body: bytes) -> bytes:
    """A whole block, little-endian, the body filled up with zeros."""
    length = padded(len(body)) + 12
    return struct.pack("<II", kind, length) + body.ljust(length - 12, b"\0") + struct.pack("<I", length)


def option(code: int, value: bytes) -> bytes:
    """One option, little-endian. CaptureError when a value is over the format's 65,535 bytes."""
    if len(value) > 0xFFFF:
        raise CaptureError(f"pcapng cannot keep a text of {len(value)} bytes: use 65,535 at most.")
    return struct.pack("<HH", code, len(value)) + value.ljust(padded(len(value)), b"\0")


def options(*pairs: tuple[int, bytes]) -> bytes:
    """Options with their end mark, little-endian. CaptureError when a value is too long for one."""
    return b"".join(option(*pair) for pair in pairs) + struct.pack("<HH", OPT_END, 0)


def read_options(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The options in *body*, in file order, up to the end mark or the first that does not fit."""
    position = 0
    head = struct.Struct(order + "HH")
    while position + head.size <= len(body):
        code, length = head.unpack_from(body, position)
        position += head.size
        if code == OPT_END or position + length > len(body):
            return
        yield code, body[position : position + length]
        position += padded(length)


def text(value: bytes) -> str:
    """Text of an option; what is not UTF-8 is replaced, never refused."""
    return value.decode("utf-8", "replace").rstrip("\0")


def number(value: bytes, order: str, signed: bool = False) -> int:
    """Integer of an option, of any length."""
    return int.from_bytes(value, "little" if order == "<" else "big", signed=signed)


def nanoseconds(ticks: npt.NDArray[np.uint64], resolution: int) -> npt.NDArray[np.int64]:
    """Ticks (uint64 array) of an if_tsresol as Unix nanoseconds (int64); what lies outside 1970-2262 is clipped.

    resolution: the option's byte. Powers of ten, or with the top bit set powers of two, of a second.
    """
    exponent = resolution & 0x7F
    last = np.uint64(2**63 - 1)
    billion = np.uint64(10**9)
    if resolution & 0x80:
        if exponent > 63:
            return (ticks.astype(np.float64) * (1e9 / 2.0**exponent)).astype(np.int64)
        seconds = ticks >> np.uint64(exponent)
        fraction = ticks & np.uint64((1 << exponent) - 1)
        rest = (fraction.astype(np.float64) * (1e9 / 2.0**exponent)).astype(np.uint64)
    elif exponent == NANOSECONDS:
        return np.asarray(np.minimum(ticks, last), np.int64)
    elif exponent > NANOSECONDS:
        finer = exponent - NANOSECONDS
        return (ticks // np.uint64(10**finer) if finer <= 19 else np.zeros_like(ticks)).astype(np.int64)
    else:
        seconds, fraction = np.divmod(ticks, np.uint64(10**exponent))
        rest = fraction * np.uint64(10 ** (NANOSECONDS - exponent))
    total = np.minimum(seconds, last // billion + np.uint64(1)) * billion + rest
    return np.asarray(np.minimum(total, last), np.int64)
