"""What a set was declared for (``typeof ip ttl``), from the note that nft keeps with the set.

It names a header by nft's number and a field by its place in the header, or a key of ``meta``, ``ct``, …
`note` writes one for header fields, `slots_note` one for a map of slots.
"""

from collections.abc import Callable

from . import terms
from .datatypes import number_of
from .fields import FIELDS
from .pieces import INCREMENTAL, MARK
from .terms import HOST
from .values import Expression, entries, entry, u32

BYTE_ORDER, DATA_BYTE_ORDER, KEY, DATA = 0, 1, 3, 4  # entries of a set's userdata
HOST_ORDER = 1
HEADERS = {4: "icmp", 6: "udp", 7: "udplite", 8: "tcp", 9: "dccp", 10: "sctp", 11: "th", 12: "ip", 13: "ip6"}
HEADERS |= {14: "icmpv6", 15: "arp", 17: "ether"}
NO_DIRECTION = 0xFFFFFFFF
PAYLOAD, META, CT, CONCATENATED, NUMGEN, FIB = 7, 9, 12, 13, 23, 26  # nft's numbers of expressions
HOST_KEYS = entry(BYTE_ORDER, u32(HOST_ORDER))
"""The userdata of a set whose keys are numbers in this machine's order."""


def declared(userdata: bytes, entry: int = KEY) -> str:
    """The expression a set's keys (or data) were declared with; empty if it was a type, or one not known here."""
    return next((_written(body) for kind, body in entries(userdata) if kind == entry), "")


def note(*fields: str) -> bytes:
    """The userdata of a set whose keys are those header *fields*, joined (``"ip saddr", "tcp sport"``)."""
    parts = b"".join(entry(place, _noted(*field.split())) for place, field in enumerate(fields))
    return entry(BYTE_ORDER, u32(0)) + entry(KEY, _kind(CONCATENATED, parts))


def slots_note(slots: int) -> bytes:
    """The userdata of a map from slot to mark, which nft writes ``typeof numgen inc mod 1021 : meta mark``: the only
    type a hash's slot fits."""
    numgen = entry(0, u32(INCREMENTAL)) + entry(1, u32(slots)) + entry(2, u32(0))
    types = entry(KEY, _kind(NUMGEN, numgen)) + entry(DATA, _kind(META, entry(0, u32(MARK))))
    return HOST_KEYS + entry(DATA_BYTE_ORDER, u32(HOST_ORDER)) + types


def _noted(header: str, name: str) -> bytes:
    number = next(number for number, known in HEADERS.items() if known == header)
    place = [field.name for field in FIELDS[header]].index(name) + 1
    return _kind(PAYLOAD, entry(0, u32(number)) + entry(1, u32(place)))


def _kind(number: int, body: bytes) -> bytes:
    return entry(0, u32(number)) + entry(1, body)


def _written(data: bytes) -> str:
    found = dict(entries(data))
    write = _WRITERS.get(number_of(found.get(0, b""), HOST))
    return write(found.get(1, b"")) if write else ""


def _numbers(data: bytes) -> dict[int, int]:
    return {kind: number_of(body, HOST) for kind, body in entries(data)}


def _payload(data: bytes) -> str:
    found = _numbers(data)
    fields = FIELDS.get(HEADERS.get(found.get(0, 0), ""), ())
    place = found.get(1, 0) - 1
    return f"{fields[place].header} {fields[place].name}" if 0 <= place < len(fields) else ""


def _meta(data: bytes) -> str:
    return terms.meta(Expression("meta", {"key": _numbers(data).get(0, 0)})).text


def _ct(data: bytes) -> str:
    found = _numbers(data)
    values = {"key": found.get(0, 0)}
    if found.get(1, NO_DIRECTION) != NO_DIRECTION:
        values["direction"] = found[1]
    return terms.ct(Expression("ct", values)).text


def _numgen(data: bytes) -> str:
    found = _numbers(data)
    values = {"type": found.get(0, 0), "modulus": found.get(1, 0), "offset": found.get(2, 0)}
    return terms.numgen(Expression("numgen", values)).text


def _fib(data: bytes) -> str:
    found = _numbers(data)
    return terms.fib(Expression("fib", {"result": found.get(0, 0), "flags": found.get(1, 0)})).text


def _concatenated(data: bytes) -> str:
    parts = [_written(body) for _, body in entries(data)]
    return " . ".join(parts) if all(parts) else ""


_WRITERS: dict[int, Callable[[bytes], str]] = {
    PAYLOAD: _payload,
    META: _meta,
    CT: _ct,
    CONCATENATED: _concatenated,
    NUMGEN: _numgen,
    FIB: _fib,
}
