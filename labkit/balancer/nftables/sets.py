"""Sets and maps in nftables syntax: inside a rule (``{ 80, 443 }``) or as blocks of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import typeof
from .datatypes import duration, number_of, span, write
from .terms import BIG, HOST
from .values import Code, Element, Expression, Set, SetFlag, Verdict, comment_in, entries

Show = Callable[[Sequence[Expression]], str]  # statements kept with an element, as text

# nft's numbers of data types -> (our name, byte order, values on a line of a named set, bytes)
TYPES: dict[int, tuple[str, str, int, int]] = {
    2: ("nf_proto", HOST, 5, 1),
    4: ("integer", BIG, 5, 4),
    5: ("string", BIG, 1, 0),
    7: ("ipv4_addr", BIG, 2, 4),
    8: ("ipv6_addr", BIG, 1, 16),
    9: ("ether_addr", BIG, 1, 6),
    10: ("ether_type", BIG, 1, 2),
    11: ("arp_op", BIG, 5, 2),
    12: ("inet_proto", BIG, 5, 1),
    13: ("inet_service", BIG, 5, 2),
    14: ("icmp_type", BIG, 1, 1),
    15: ("tcp_flag", BIG, 5, 1),
    19: ("mark", HOST, 5, 4),
    20: ("ifindex", HOST, 1, 4),
    21: ("iface_type", HOST, 1, 2),
    23: ("classid", HOST, 1, 4),
    24: ("uid", HOST, 5, 4),
    25: ("gid", HOST, 5, 4),
    26: ("ct_state", HOST, 2, 4),
    27: ("ct_dir", HOST, 2, 1),
    28: ("ct_status", HOST, 2, 4),
    29: ("icmpv6_type", BIG, 1, 1),
    31: ("pkttype", HOST, 2, 1),
    32: ("icmp_code", BIG, 1, 1),
    33: ("icmpv6_code", BIG, 1, 1),
    36: ("dscp", BIG, 1, 1),
    37: ("ecn", BIG, 1, 1),
    38: ("fib_addrtype", HOST, 1, 4),
    39: ("boolean", BIG, 1, 1),
    41: ("ifname", HOST, 1, 16),
}
TYPE_BITS, VERDICT = 6, 0xFFFFFF00
OBJECTS = {1: "counter", 2: "quota", 3: "ct helper", 4: "limit", 7: "ct timeout", 8: "secmark", 10: "synproxy"}
KEY_BYTE_ORDER, DATA_BYTE_ORDER, MERGE, COMMENT = 0, 1, 2, 7  # userdata
VERDICTS = {
    Code.DROP: "drop",
    Code.ACCEPT: "accept",
    Code.CONTINUE: "continue",
    Code.RETURN: "return",
    Code.JUMP: "jump",
    Code.GOTO: "goto",
    Code.QUEUE: "queue",
    Code.BREAK: "break",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a set's key: how its values are written, and how many bytes they take."""

    type: str
    order: str
    size: int


def verdict(found: Verdict) -> str:
    word = VERDICTS.get(Code(found.code), str(found.code)) if found.code in list(Code) else str(found.code)
    return f"{word} {found.chain}".rstrip()


def type_names(number: int, length: int, userdata: bytes = b"", order_entry: int = KEY_BYTE_ORDER) -> list[Part]:
    """The parts of a key or datum whose type nft gave *number* (six bits a part)."""
    order = next((number_of(body, HOST) for kind, body in entries(userdata) if kind == order_entry), 0)
    numbers: list[int] = []
    while number:
        numbers.insert(0, number & ((1 << TYPE_BITS) - 1))
        number >>= TYPE_BITS
    parts = []
    for each in numbers or [0]:
        name, default, _, size = TYPES.get(each, ("integer", BIG, 1, length))
        if len(numbers) == 1:
            size = size if length == 2 * size else length  # twice: the map leads to ranges
            default = {1: HOST, 2: BIG}.get(order, default) if name == "integer" else default
        parts.append(Part(name, default, size))
    return parts


def elements(found: Set, keys: Sequence[Part], data: Sequence[Part], show: Show) -> list[str]:
    """The members in order, as nft writes them; ``key : datum`` in maps."""
    ordered = sorted(found.elements, key=lambda element: (element.catch_all, _weight(element, keys), not element.end))
    written = []
    for place, element in enumerate(ordered):
        if element.end:
            continue
        key = "*" if element.catch_all else _key(element, ordered[place + 1 : place + 2], found, keys)
        written.append(key + _extras(element, found, show) + _datum(element, data))
    return written


def _weight(element: Element, keys: Sequence[Part]) -> int:
    if len(keys) == 1:
        return _number(element.key, keys[0])
    return int.from_bytes(b"".join(_split(element.key, keys)), "little")  # as nft does: the last part weighs most


def _number(data: bytes, part: Part) -> int:
    return number_of(data, HOST if part.type == "ifname" else part.order)


def _split(data: bytes, parts: Sequence[Part]) -> list[bytes]:
    """A concatenation's parts; each begins at a multiple of four bytes."""
    found, offset = [], 0
    for part in parts:
        found.append(data[offset : offset + part.size])
        offset += (part.size + 3) & ~3
    return found


def joined(data: bytes, parts: Sequence[Part], end: bytes = b"") -> str:
    """A value of one or more parts; with *end* a range of each."""
    if len(parts) == 1 and not end:
        return write(parts[0].type, data, parts[0].order)
    ends = _split(end or data, parts)
    each = zip(_split(data, parts), ends, parts, strict=True)
    return " . ".join(span(part.type, first, last, part.order) for first, last, part in each)


def _key(element: Element, following: Sequence[Element], found: Set, keys: Sequence[Part]) -> str:
    if element.key_end or not found.flags & SetFlag.INTERVAL or len(keys) > 1:
        return joined(element.key, keys, element.key_end)
    size, part = len(element.key), keys[0]
    last = _number(following[0].key, part) - 1 if following else (1 << 8 * size) - 1
    return span(part.type, element.key, last.to_bytes(size, "big" if part.order == BIG else "little"), part.order)


def _extras(element: Element, found: Set, show: Show) -> str:
    statements = f" {show(element.expressions)}" if element.expressions else ""
    timeout = f" timeout {duration(element.timeout)}" if element.timeout and element.timeout != found.timeout else ""
    comment = comment_in(element.userdata)
    return statements + timeout + (f' comment "{comment}"' if comment else "")


def _datum(element: Element, data: Sequence[Part]) -> str:
    if element.object_name:
        return f' : "{element.object_name}"'
    match element.data:
        case None:
            return ""
        case Verdict() as found:
            return f" : {verdict(found)}"
        case bytes() as value:
            half = len(value) // 2
            if len(data) == 1 and data[0].size == half:
                return f" : {span(data[0].type, value[:half], value[half:], data[0].order)}"
            return f" : {joined(value, data)}"


def block(found: Set, show: Show) -> list[str]:
    """A named set or map as lines, without the table's indentation."""
    keys = type_names(found.key_type, found.key_length, found.userdata)
    data = type_names(found.data_type, found.data_length, found.userdata, DATA_BYTE_ORDER)
    is_map = bool(found.flags & (SetFlag.MAP | SetFlag.OBJECT))
    lines = [f"{'map' if is_map else 'set'} {found.name} {{"]
    what = typeof.declared(found.userdata)
    lines.append(f"\t{'typeof' if what else 'type'} {what or _joined_types(keys)}{_maps_to(found, data, bool(what))}")
    lines += [f"\t{line}" for line in _properties(found, show)]
    members = elements(found, keys, data, show)
    if members:
        numbers = found.key_type
        per_line = TYPES.get(numbers, ("", "", 1, 0))[2]
        rows = [", ".join(members[place : place + per_line]) for place in range(0, len(members), per_line)]
        lines.append("\telements = { " + ",\n\t\t\t     ".join(rows) + " }")
    return [*lines, "}"]


def _joined_types(parts: Sequence[Part]) -> str:
    return " . ".join(part.type for part in parts)


def _maps_to(found: Set, data: Sequence[Part], declared: bool) -> str:
    """What a map's keys lead to; empty for a set."""
    if found.flags & SetFlag.OBJECT:
        return f" : {OBJECTS.get(found.object_type, found.object_type)}"
    if not found.flags & SetFlag.MAP:
        return ""
    if found.data_type == VERDICT:
        return " : verdict"
    return f" : {(declared and typeof.declared(found.userdata, typeof.DATA)) or _joined_types(data)}"


def _properties(found: Set, show: Show) -> list[str]:
    shown = SetFlag.CONSTANT | SetFlag.DYNAMIC | SetFlag.INTERVAL | SetFlag.TIMEOUT
    bits = SetFlag(found.flags) & shown
    if bits == SetFlag.TIMEOUT and found.timeout:  # the time-out itself says so
        bits = SetFlag(0)
    words = [
        name
        for bit, name in (
            (SetFlag.CONSTANT, "constant"),
            (SetFlag.DYNAMIC, "dynamic"),
            (SetFlag.INTERVAL, "interval"),
            (SetFlag.TIMEOUT, "timeout"),
        )
        if bits & bit
    ]
    comment = comment_in(found.userdata, COMMENT)
    merge = any(kind == MERGE and any(body) for kind, body in entries(found.userdata))
    constant = bool(found.flags & SetFlag.CONSTANT)
    candidates = (
        "policy memory" if found.policy == 1 and not constant else "",
        f"size {found.size}" if found.size and not constant else "",
        f"flags {','.join(words)}" if words else "",
        show(found.expressions) if found.expressions else "",
        f"timeout {duration(found.timeout)}" if found.timeout else "",
        "auto-merge" if merge else "",
        f"gc-interval {duration(found.gc_interval)}" if found.gc_interval else "",
        f'comment "{comment}"' if comment else "",
    )
    return [line for line in candidates if line]
