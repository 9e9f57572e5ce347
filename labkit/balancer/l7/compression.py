"""Answers that are made smaller on their way: which, and how their header fields change. Pure.

An answer is compressed where it is text, long enough, not compressed yet, and whole (RFC 9110 §8.4, §14), where its
sender does not forbid it (``no-transform``, RFC 9111 §5.2.2.6), and where the client takes gzip (§12.5.3).
"""

import re
import zlib
from collections.abc import Sequence

LEAST = 256  # bytes; shorter ones would hardly become smaller
TEXTS = (
    *("text/html", "text/plain", "text/css", "text/csv", "text/xml", "text/javascript", "text/markdown"),
    *("application/json", "application/javascript", "application/xml", "application/xhtml+xml", "image/svg+xml"),
    *("application/problem+json", "application/ld+json", "application/manifest+json"),
)
_QUALITY = re.compile(
    r"[ \t]*q=(?!0(?:\.0*)?[ \t]*$)(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*"
)  # above 0 (RFC 9110 §12.4.2)
_GZIP = 16 + zlib.MAX_WBITS
Lines = list[tuple[str, str]]


def accepts_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding says that gzip is taken: with a quality above 0, by name before ``*``."""
    taken: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        coding, semicolon, parameters = part.partition(";")
        taken.setdefault(coding.strip(), not semicolon or bool(_QUALITY.fullmatch(parameters)))
    return next((taken[coding] for coding in ("gzip", "x-gzip", "*") if coding in taken), False)


def worth(status: int, lines: Sequence[tuple[str, str]]) -> bool:
    """Whether an answer with these header fields is one to compress."""
    fields = {name.lower(): value for name, value in lines}
    length = fields.get("content-length", "")
    return (
        status not in (101, 204, 205, 206, 304)
        and "content-encoding" not in fields
        and "no-transform" not in fields.get("cache-control", "").lower()
        and fields.get("content-type", "").partition(";")[0].strip().lower() in TEXTS
        and not (length.isdecimal() and int(length) < LEAST)
    )


def compressed(lines: Sequence[tuple[str, str]]) -> Lines:
    """The header fields of an answer that is compressed now: another length, another validator (RFC 9110 §8.8.1)."""
    kept = [(name, value) for name, value in lines if name.lower() not in ("content-length", "accept-ranges")]
    weak = [
        (name, f"W/{value}" if name.lower() == "etag" and not value.startswith("W/") else value) for name, value in kept
    ]
    return [*weak, ("content-encoding", "gzip"), ("vary", "Accept-Encoding")]


class Gzip:
    """A body on its way: call it with each piece, and with nothing at the end."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(6, zlib.DEFLATED, _GZIP)

    def __call__(self, piece: bytes) -> bytes:
        return self._stream.compress(piece) if piece else self._stream.flush()
