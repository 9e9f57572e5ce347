"""Messages between the proxy and a process of functions: plain data, with its length in front."""

import struct
from typing import Any

import msgpack

LENGTH = struct.Struct(">I")
MOST = 64 << 20  # bytes of one message; a length beyond it is none of ours


def packed(message: Any) -> bytes:
    """*message* as bytes for the wire."""
    body: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> Any:
    """The message in *body*. ValueError if it is none."""
    return msgpack.unpackb(body, unicode_errors="surrogatepass")
