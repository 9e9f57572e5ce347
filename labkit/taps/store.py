"""Where captured chunks are kept until the capture ends: one anonymous memory file, bounded in size.

An anonymous file has no name, so a killed process leaves nothing behind; being memory, it never makes the thread that
receives packets wait for a disk; and it can be mapped as one piece at the end without a copy. Where the system has none
(it is Linux's), an unnamed temporary file stands in.
"""

import mmap
import os
import sys
import tempfile
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.errors import CaptureError

from .blocks import Chunk


class Store:
    """Chunks in order of arrival, up to *limit_bytes* in all. Thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.chunks: list[Chunk] = []
        self._used = 0
        self._lock = threading.Lock()
        self._file: int | None = _anonymous_file()

    def add(self, vantage: int, chunk: bytes) -> bool:
        """Keep a chunk of one tap. False when it does not fit any more (OSError: not even the system has room)."""
        with self._lock:
            if self._file is None or self._used + len(chunk) > self.limit_bytes:
                return False
            _write(self._file, chunk, self._used)
            self.chunks.append(Chunk(vantage, self._used, len(chunk)))
            self._used += (len(chunk) + 7) & ~7
            return True

    def data(self) -> npt.NDArray[np.uint8]:
        """All that is kept, as one array over the file; it lives as long as somebody holds it."""
        with self._lock:
            if self._file is None or not self._used:
                return np.zeros(0, np.uint8)
            os.ftruncate(self._file, self._used)
            try:
                return np.frombuffer(_mapped(self._file, self._used), np.uint8)
            except OSError:  # no descriptor or no map is left: a copy does as well
                return _copied(self._file, self._used)

    def close(self) -> None:
        """Let go of the file; arrays given out stay valid. Idempotent."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _mapped(file: int, size: int) -> Any:
    """The file as memory. It keeps a descriptor open only where Python knows no better (before 3.13)."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(file, size, trackfd=False)
    return mmap.mmap(file, size)


def _copied(file: int, size: int) -> npt.NDArray[np.uint8]:
    data = np.empty(size, np.uint8)
    done = 0
    while done < size:
        done += os.preadv(file, [memoryview(data)[done:]], done)
    return data


def _anonymous_file() -> int:
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("labkit-capture")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise CaptureError(
            f"A capture cannot be kept: {error.strerror}. Let go of captures that you no longer need (del cap), "
            "or raise the limit of open files (ulimit -n)."
        ) from error


def _write(file: int, chunk: bytes, position: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(file, view, position)
        view, position = view[written:], position + written
