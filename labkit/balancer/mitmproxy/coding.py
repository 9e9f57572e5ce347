"""Content codings undone (RFC 9110 §8.4.1), with a limit on what comes out: a few bytes can stand for gigabytes.

gzip, deflate, br and zstd: what mitmproxy reads too.
"""

import zlib
from collections.abc import Callable

import brotli
import zstandard

_PIECE = 64  # bytes that go into zstd at a time: each four of them may become 128 KiB, and no limit can be given


class TooLong(ValueError):
    """More comes out than may."""


def decoded(codings: str, data: bytes, most: int) -> bytes:
    """*data* without its *codings* (a Content-Encoding field). ValueError for what is unknown or broken, and TooLong
    for more than *most* bytes."""
    names = [name for each in codings.split(",") if (name := each.strip().lower()) not in ("", "identity")]
    for name in reversed(names):
        if name not in _DECODERS:
            raise ValueError(f"the content coding {name} is not known here")
        try:
            data = _DECODERS[name](data, most + 1) if data else data
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise ValueError(f"its content coding {name} is broken ({error})") from error
        if len(data) > most:
            raise TooLong(f"it has more than {most} bytes without its content coding {name}")
    return data


def _gzip(data: bytes, most: int) -> bytes:
    made = b""
    while data and len(made) < most:
        part, data = _inflated(data, 16 + zlib.MAX_WBITS, most - len(made))
        made += part
    return made


def _deflate(data: bytes, most: int) -> bytes:
    try:
        return _inflated(data, zlib.MAX_WBITS, most)[0]
    except zlib.error:
        return _inflated(data, -zlib.MAX_WBITS, most)[0]  # many send it without zlib's frame


def _inflated(data: bytes, bits: int, most: int) -> tuple[bytes, bytes]:
    """What comes out, and what follows it."""
    machine = zlib.decompressobj(bits)
    made = machine.decompress(data, most)
    if not machine.eof and len(made) < most:
        raise zlib.error("it ends too early")
    return made, machine.unused_data


def _br(data: bytes, most: int) -> bytes:
    machine = brotli.Decompressor()
    made: bytes = machine.process(data, output_buffer_limit=most)
    if not machine.is_finished() and len(made) < most:
        raise brotli.error("it ends too early")
    return made


def _zstd(data: bytes, most: int) -> bytes:
    made = bytearray()
    while data and len(made) < most:  # frame by frame
        machine = zstandard.ZstdDecompressor().decompressobj()
        taken = 0
        while not machine.eof and taken < len(data) and len(made) < most:
            made += machine.decompress(data[taken : taken + _PIECE])
            taken += _PIECE
        if not machine.eof and len(made) < most:
            raise zstandard.ZstdError("it ends too early")
        data = machine.unused_data + data[taken:]
    return bytes(made)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _br,
    "zstd": _zstd,
}
