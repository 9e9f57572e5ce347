"""What an engine sends of an attached container: frames of its own, of standard output and standard error.

A frame is a byte for the stream, three of padding, the length (4 bytes, big-endian), and that many bytes
(Docker Engine API, "Attach to a container").
"""

import struct
from collections.abc import Callable

_HEADER = struct.Struct(">BxxxL")
_ERROR = 2


class Demultiplexer:
    """Takes standard output out of what arrives; standard error is handed to *on_error*, as it comes."""

    def __init__(self, on_error: Callable[[bytes], None]) -> None:
        self._on_error = on_error
        self._buffer = bytearray()

    def __call__(self, data: bytes) -> bytes:
        self._buffer += data
        output, start = [], 0
        while len(self._buffer) - start >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._buffer, start)
            end = start + _HEADER.size + length
            if len(self._buffer) < end:
                break
            body = bytes(memoryview(self._buffer)[start + _HEADER.size : end])
            if stream == _ERROR:
                self._on_error(body)
            else:
                output.append(body)
            start = end
        del self._buffer[:start]
        return b"".join(output)
