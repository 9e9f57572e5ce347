"""TLS secrets in a capture file: lines of the NSS key log inside pcapng's Decryption Secrets Block, and back.

Wireshark opens with them whatever stands behind the block (draft-ietf-opsawg-pcapng §4.7). Which leg a line belongs
to, the block cannot say: labkit's own `secrets` events do. What the lines open is the business of analysis.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from . import pcapng_format as pcapng

TLS_KEY_LOG: Final = 0x544C534B
_LINE: Final = re.compile(r"[A-Z0-9_]{1,64} [0-9a-fA-F]{1,128} [0-9a-fA-F]{1,256}")

Events = Sequence[Mapping[str, Any]]


def block(events: Iterable[Mapping[str, Any]]) -> bytes:
    """One Decryption Secrets Block with every line of the `secrets` events, each once; nothing without any."""
    lines = [line for line in _lines(events) if _LINE.fullmatch(line)]
    if not lines:
        return b""
    log = "".join(f"{line}\n" for line in lines).encode()
    return pcapng.block(pcapng.SECRETS, struct.pack("<II", TLS_KEY_LOG, len(log)) + log)


def read(body: bytes, order: str) -> list[str]:
    """The key log lines in a block's body; none if its secrets are of another kind. What is no such line is left out.

    order: the section's, "<" or ">".
    """
    if len(body) < 8:
        return []
    kind, length = struct.unpack_from(order + "II", body)
    if kind != TLS_KEY_LOG:
        return []
    every = body[8 : 8 + length].decode("ascii", "replace").splitlines()
    return [line for line in map(str.strip, every) if _LINE.fullmatch(line)]


def completed(events: Events, lines: Iterable[str], time_ns: int) -> Events:
    """*events*, and before them one `secrets` event of no known leg with the *lines* that none of them has.

    time_ns: its time, for a block has none.
    """
    known = set(_lines(events))
    new = [line for line in dict.fromkeys(lines) if line not in known]
    return ({"kind": "secrets", "time_ns": time_ns, "leg": None, "lines": new}, *events) if new else events


def _lines(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """All lines of the `secrets` events among *events*, in order, each once."""
    listed = (event.get("lines") for event in events if event.get("kind") == "secrets")
    found = (line for lines in listed if isinstance(lines, list | tuple) for line in lines)
    return list(dict.fromkeys(line for line in found if isinstance(line, str)))
