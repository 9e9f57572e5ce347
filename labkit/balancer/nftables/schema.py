"""The attributes of every kind of expression, as a table; packing and unpacking by it.

From the kernel's ``linux/netfilter/nf_tables.h``. An expression that is not in the table, and an attribute
that is not, is still kept: as the raw bytes the kernel sent.
"""

import struct
from collections.abc import Callable

from .netlink import as_int, as_text, attribute, attributes, nested, text, u32, u64
from .values import Expression, Value, Verdict

LIST_ELEMENT, EXPRESSION_NAME, EXPRESSION_DATA = 1, 1, 2

# For each expression its attributes in the kernel's order: "name" or "name:kind"; without a kind, a 32-bit number.
_TABLE = {
    "immediate": "dreg data:data",
    "cmp": "sreg op data:data",
    "range": "sreg op from:data to:data",
    "lookup": "set:text sreg dreg set_id flags",
    "dynset": "set:text set_id op key data timeout:u64 expression:one pad flags expressions:list",
    "payload": "dreg base offset len sreg csum_type csum_offset csum_flags",
    "exthdr": "dreg type:u8 offset len flags op sreg",
    "meta": "dreg key sreg",
    "rt": "dreg key",
    "socket": "key dreg level",
    "osf": "dreg ttl:u8 flags",
    "hash": "sreg dreg len modulus seed offset type set:text set_id",
    "ct": "dreg key direction:u8 sreg",
    "limit": "rate:u64 unit:u64 burst type flags",
    "connlimit": "count flags",
    "counter": "bytes:u64 packets:u64",
    "last": "set msecs:u64",
    "log": "group:u16 prefix:text snaplen qthreshold:u16 level flags",
    "queue": "num:u16 total:u16 flags:u16 sreg",
    "quota": "bytes:u64 flags pad consumed:u64",
    "reject": "type code:u8",
    "nat": "type family addr_min addr_max proto_min proto_max flags",
    "masq": "flags proto_min proto_max",
    "redir": "proto_min proto_max flags",
    "dup": "addr device",
    "fwd": "device addr family",
    "tproxy": "family addr port",
    "objref": "type name:text sreg set:text set_id",
    "numgen": "dreg modulus type offset",
    "fib": "dreg result flags",
    "bitwise": "sreg dreg len mask:data xor:data op data:data",
    "byteorder": "sreg dreg op len size",
    "notrack": "",
    "flow_offload": "table:text",
    "synproxy": "mss:u16 wscale:u8 flags",
    "xfrm": "dreg key dir:u8 spnum",
    "tunnel": "key dreg",
}
SCHEMA: dict[str, dict[int, tuple[str, str]]] = {
    name: {
        number: (word.partition(":")[0], word.partition(":")[2] or "u32")
        for number, word in enumerate(words.split(), 1)
    }
    for name, words in _TABLE.items()
}


def pack_data(kind: int, value: bytes | Verdict) -> bytes:
    """A value or a verdict (NFTA_DATA_*)."""
    if isinstance(value, Verdict):
        target = text(2, value.chain) if value.chain else b""
        return nested(kind, nested(2, u32(1, value.code), target))
    return nested(kind, attribute(1, value))


def unpack_data(data: bytes) -> bytes | Verdict:
    """What `pack_data` made; empty bytes if it holds neither."""
    for kind, body in attributes(data):
        if kind == 1:
            return body
        if kind == 2:
            found = dict(attributes(body))
            (code,) = struct.unpack("!i", found.get(1, b"\0\0\0\0"))
            return Verdict(code, as_text(found.get(2, b"")))
    return b""


def pack_expression(expression: Expression, kind: int = LIST_ELEMENT) -> bytes:
    """An expression as an element of a list of expressions. KeyError if it or an attribute is not in the table."""
    numbers = {name: (number, form) for number, (name, form) in SCHEMA[expression.name].items()}
    parts = []
    for name, value in expression.values.items():
        number, form = numbers[name]
        parts.append(_pack(number, form, value))
    return nested(kind, text(EXPRESSION_NAME, expression.name), nested(EXPRESSION_DATA, *parts))


def _pack(number: int, form: str, value: Value) -> bytes:
    match value:
        case Verdict() | bytes():
            return pack_data(number, value)
        case str():
            return text(number, value)
        case tuple():
            return nested(number, *(pack_expression(each) for each in value))
    if form == "u64":
        return u64(number, value)
    size = {"u8": 1, "u16": 2}.get(form)
    return attribute(number, value.to_bytes(size, "big")) if size else u32(number, value)


def unpack_expression(data: bytes) -> Expression:
    """One expression from the kernel."""
    found = dict(attributes(data))
    name = as_text(found.get(EXPRESSION_NAME, b""))
    return unpack_values(name, found.get(EXPRESSION_DATA, b""))


def unpack_values(name: str, data: bytes) -> Expression:
    """The attributes of an expression whose name is known (also the content of a named object)."""
    schema = SCHEMA.get(name, {})
    values: dict[str, Value] = {}
    for number, body in attributes(data):
        if number in schema:
            label, form = schema[number]
            values[label] = _UNPACK.get(form, as_int)(body)
    return Expression(name, values, data)


def unpack_list(data: bytes) -> tuple[Expression, ...]:
    """The expressions of a rule, a set or an element, in order."""
    return tuple(unpack_expression(body) for kind, body in attributes(data) if kind == LIST_ELEMENT)


_UNPACK: dict[str, Callable[[bytes], Value]] = {
    "text": as_text,
    "data": unpack_data,
    "list": unpack_list,
    "one": lambda data: (unpack_expression(data),),
}
