"""The one small protocol between an owner, the agents in its nodes, and the tasks they run.

A frame is a header (length of the body, task id, kind) and a body. Bodies are msgpack; the agent passes
the bodies of DATA frames on unread, so the same frames run on owner-agent and on agent-task streams.

===========  ================  =======================================================
kind         direction         body
===========  ================  =======================================================
START        owner to agent    {"target", "arguments"}: run it as task *id*
DATA         both              one message of the task's own
TERMINATE    owner to agent    none: SIGTERM to the task
KILL         owner to agent    none: SIGKILL to the task
LOAD         owner to agent    names of modules to import, for tasks to come (*id* is 0)
FAILED       task to owner     why the task's function ended: text with its traceback
EXIT         agent to owner    None if the task ended well, else the reason in words
HELLO        agent to owner    what it says of itself, where it is not the owner's own (*id* is 0)
===========  ================  =======================================================
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgpack

HEADER = struct.Struct("!IIB")
FRAME_LIMIT = 64 << 20  # bytes in one body; a stream that announces more is not ours


class NotOurs(ValueError):
    """What arrived is not of this protocol; says why."""


class Kind(IntEnum):
    START = 1
    DATA = 2
    TERMINATE = 3
    KILL = 4
    FAILED = 5
    EXIT = 6
    LOAD = 7
    HELLO = 8


def pack(message: Any) -> bytes:
    """Plain data as bytes. TypeError names what is not plain data."""
    try:
        return bytes(msgpack.packb(message, use_bin_type=True))
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"only plain data (None, bool, int, float, str, bytes, list, dict) travels: {error}") from error


def unpack(body: bytes) -> Any:
    """The plain data that `pack` made bytes of; tuples arrive as lists. `NotOurs` if it made no such bytes."""
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise NotOurs(f"a body is no message: {str(error) or type(error).__name__}") from error


def frame(task: int, kind: Kind, body: bytes = b"") -> bytes:
    """One frame, ready to send. ValueError if the body is over the limit."""
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {FRAME_LIMIT}; send it in parts")
    return HEADER.pack(len(body), task, kind) + body


class Decoder:
    """Bytes in any portions -> whole frames, in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, Kind, bytes]]:
        """Take *data*; yield (task, kind, body) for each frame it completes. `NotOurs` if it is none."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                length, task, kind = HEADER.unpack_from(self._buffer, start)
                if length > FRAME_LIMIT:
                    raise NotOurs(f"a frame announces {length} bytes, over the limit of {FRAME_LIMIT}")
                if kind not in Kind:
                    raise NotOurs(f"a frame is of an unknown kind, {kind}")
                end = start + HEADER.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(memoryview(self._buffer)[start + HEADER.size : end])
                start = end
                yield task, Kind(kind), body
        finally:
            del self._buffer[:start]
