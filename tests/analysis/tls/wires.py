"""TLS and other conversations on the wire of `tests.analysis.wire`, with the secrets beside them."""

from collections.abc import Iterable, Sequence

from tests.analysis.wire import START, Link, Nat, Talk, Wire

SEGMENT = 1400


def carry(talk: Talk, pieces: Iterable[tuple[int, bytes]], size: int = SEGMENT) -> Talk:
    """What both sides put on the wire, in segments of at most *size* bytes, each acknowledged."""
    for by, piece in pieces:
        for at in range(0, len(piece), size):
            talk.send(by, "PA", piece[at : at + size])
            talk.send(1 - by, "A")
    return talk


def secrets(lines: Sequence[str], leg: str | None = "front") -> dict[str, object]:
    return {"kind": "secrets", "time_ns": START - 1, "leg": leg, "lines": list(lines)}


def on_wire(pieces: Iterable[tuple[int, bytes]], way: Nat | Link | None = None, *, keys: Sequence[str] = ()) -> Wire:
    """One connection with these pieces, and its keys."""
    wire = Wire()
    carry(Talk(wire, way or Link(dport=443)).open(), pieces).close()
    if keys:
        wire.events.append(secrets(keys))
    return wire
