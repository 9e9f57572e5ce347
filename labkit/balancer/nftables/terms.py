"""What a rule loads into a register, as nft writes it: ``ip daddr``, ``ct state``, ``meta mark``, …"""

from dataclasses import dataclass, replace

from .datatypes import BITS, flags, number_of, write
from .fields import Context, Field
from .values import Expression

HOST, BIG = "host", "big"
BASES = {0: "ll", 1: "nh", 2: "th", 3: "ih"}

# key -> (name, type, byte order); "meta" is written before the name where the name has no dash of its own
META = {
    0: ("length", "integer", HOST),
    1: ("protocol", "ether_type", BIG),
    2: ("priority", "classid", HOST),
    3: ("mark", "mark", HOST),
    4: ("iif", "ifindex", HOST),
    5: ("oif", "ifindex", HOST),
    6: ("iifname", "ifname", BIG),
    7: ("oifname", "ifname", BIG),
    8: ("iiftype", "iface_type", HOST),
    9: ("oiftype", "iface_type", HOST),
    10: ("skuid", "integer", HOST),
    11: ("skgid", "integer", HOST),
    12: ("nftrace", "integer", HOST),
    13: ("rtclassid", "integer", HOST),
    14: ("secmark", "integer", HOST),
    15: ("nfproto", "nf_proto", HOST),
    16: ("l4proto", "inet_proto", HOST),
    17: ("ibrname", "ifname", BIG),
    18: ("obrname", "ifname", BIG),
    19: ("pkttype", "pkttype", HOST),
    20: ("cpu", "integer", HOST),
    21: ("iifgroup", "integer", HOST),
    22: ("oifgroup", "integer", HOST),
    23: ("cgroup", "integer", HOST),
    24: ("random", "integer", BIG),
    26: ("iifkind", "ifname", BIG),
    27: ("oifkind", "ifname", BIG),
    30: ("time", "date", HOST),
    31: ("day", "day", HOST),
    32: ("hour", "hour", HOST),
    33: ("sdif", "ifindex", HOST),
    34: ("sdifname", "ifname", BIG),
}
BARE = {4, 5, 6, 7, 21, 22}  # meta keys that are written without "meta"
CT = {
    0: ("state", "ct_state", HOST),
    1: ("direction", "ct_dir", HOST),
    2: ("status", "ct_status", HOST),
    3: ("mark", "mark", HOST),
    4: ("secmark", "integer", HOST),
    5: ("expiration", "time", HOST),
    6: ("helper", "string", BIG),
    7: ("l3proto", "nf_proto", HOST),
    8: ("saddr", "hex", BIG),
    9: ("daddr", "hex", BIG),
    10: ("protocol", "inet_proto", HOST),
    11: ("proto-src", "inet_service", BIG),
    12: ("proto-dst", "inet_service", BIG),
    14: ("packets", "integer", HOST),
    15: ("bytes", "integer", HOST),
    16: ("avgpkt", "integer", HOST),
    17: ("zone", "integer", HOST),
    18: ("event", "ct_event", HOST),
    19: ("ip saddr", "ipv4_addr", BIG),
    20: ("ip daddr", "ipv4_addr", BIG),
    21: ("ip6 saddr", "ipv6_addr", BIG),
    22: ("ip6 daddr", "ipv6_addr", BIG),
    23: ("id", "integer", BIG),
}
DIRECTIONS = {0: "original ", 1: "reply "}
FIB_KEYS = {1: "saddr", 2: "daddr", 4: "mark", 8: "iif", 16: "oif"}
FIB_RESULTS = {1: ("oif", "ifindex", HOST), 2: ("oifname", "ifname", BIG), 3: ("type", "fib_addrtype", HOST)}
FIB_PRESENT = 32
SOCKET = {0: ("transparent", "integer"), 1: ("mark", "mark"), 2: ("wildcard", "integer")}
TCP_OPTIONS = {2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp"}
IP6_EXTENSIONS = {0: "hbh", 43: "rt", 44: "frag", 60: "dst", 135: "mh"}


@dataclass(frozen=True, slots=True)
class Term:
    """What a register holds: how it is written, how its values are, and where it came from.

    fields: the neighbouring header fields that one load covers. whole: False if it is only the first bytes of a field.
    """

    text: str
    type: str = "hex"
    order: str = BIG
    load: Expression | None = None
    fields: tuple[Field, ...] = ()
    whole: bool = True
    mask: bytes = b""
    xor: bytes = b""
    data: bytes = b""  # of an immediate: the value itself


def payload(expression: Expression, context: Context) -> Term:
    """A piece of the packet: the field that it is, or where it lies."""
    base, start = expression.number("base"), expression.number("offset") * 8
    length = expression.number("len") * 8
    header = context.header(base) or ("th" if base == 2 else "")
    found = context.overlapped(expression, (header,)) if header else []
    if found and found[0].offset == start:
        first = found[0]
        if found[-1].end == start + length:
            return Term(f"{first.header} {first.name}", first.type, BIG, expression, tuple(found))
        if len(found) == 1 and first.type in ("ipv4_addr", "ipv6_addr"):
            return Term(f"{first.header} {first.name}", first.type, BIG, expression, (first,), whole=False)
    return Term(f"@{BASES.get(base, base)},{start},{length}", "hex", BIG, expression, tuple(found), whole=False)


def meta(expression: Expression) -> Term:
    key = expression.number("key")
    name, kind, order = META.get(key, (str(key), "hex", HOST))
    return Term(name if key in BARE else f"meta {name}", kind, order, expression)


def ct(expression: Expression) -> Term:
    key = expression.number("key")
    name, kind, order = CT.get(key, (str(key), "hex", HOST))
    direction = DIRECTIONS[expression.number("direction")] if "direction" in expression.values else ""
    return Term(f"ct {direction}{name}", kind, order, expression)


def numgen(expression: Expression) -> Term:
    how = "random" if expression.number("type") else "inc"
    return Term(f"numgen {how} mod {expression.number('modulus')}{_offset(expression)}", "integer", HOST, expression)


def jhash(expression: Expression, hashed: str) -> Term:
    """*hashed*: what the hash is made of; empty for the kernel's own symmetric hash."""
    seed = f" seed 0x{expression.number('seed'):x}" if "seed" in expression.values else ""
    how = "symhash" if expression.number("type") else f"jhash {hashed}"
    return Term(f"{how} mod {expression.number('modulus')}{seed}{_offset(expression)}", "integer", HOST, expression)


def _offset(expression: Expression) -> str:
    return f" offset {expression.number('offset')}" if expression.number("offset") else ""


def fib(expression: Expression) -> Term:
    bits = expression.number("flags")
    name, kind, order = FIB_RESULTS.get(expression.number("result"), ("?", "hex", HOST))
    keys = " . ".join(word for bit, word in FIB_KEYS.items() if bits & bit)
    return Term(f"fib {keys} {name}", "boolean" if bits & FIB_PRESENT else kind, order, expression)


def socket(expression: Expression) -> Term:
    name, kind = SOCKET.get(expression.number("key"), (str(expression.number("key")), "hex"))
    return Term(f"socket {name}", kind, HOST, expression)


def exthdr(expression: Expression) -> Term:
    """A TCP option or an IPv6 extension header, or a piece of it."""
    number, option = expression.number("type"), expression.number("op") == 1
    kind = "tcp option" if option else "exthdr"
    name = (TCP_OPTIONS if option else IP6_EXTENSIONS).get(number, str(number))
    if expression.number("flags") & 1:
        return Term(f"{kind} {name}", "boolean", BIG, expression)
    if option and (number, expression.number("offset"), expression.number("len")) == (2, 2, 2):
        return Term("tcp option maxseg size", "integer", BIG, expression)
    where = f"@{name},{expression.number('offset') * 8},{expression.number('len') * 8}"
    return Term(f"{kind} {where}", "hex", BIG, expression)


def bitwise(term: Term, expression: Expression) -> Term:
    """*term* with some of its bits; what it means depends on what it is compared with."""
    return replace(term, mask=expression.data("mask"), xor=expression.data("xor"))


def arithmetic(term: Term) -> str:
    """*term* as a value to store: with its mask as the operations that nft writes."""
    if not term.mask:
        return write(term.type, term.data, term.order) if term.data else term.text
    mask, xor = number_of(term.mask, term.order), number_of(term.xor, term.order)
    every = (1 << 8 * len(term.mask)) - 1
    size = len(term.mask)

    def number(value: int) -> str:
        return write(term.type, value.to_bytes(size, "big"), BIG)

    if not xor:
        return f"{term.text} & {number(mask)}"
    if mask == every:
        return f"{term.text} ^ {number(xor)}"
    if mask == every ^ xor:
        return f"{term.text} | {number(xor)}"
    return f"{term.text} & {number(mask | xor)} | {number(xor)}"


def stored(target: Term, kept: Term) -> str:
    """A value written into the packet: over a whole field, or over the bits of a wider piece that the mask clears."""
    if kept.mask:
        length = len(kept.mask) * 8
        cleared = number_of(kept.mask, BIG) ^ ((1 << length) - 1)
        found = _masked_field(target, cleared, length)
        if found:
            field, shift = found
            value = (number_of(kept.xor, BIG) >> shift).to_bytes((field.length + 7) // 8, "big")
            return f"{field.header} {field.name} set {write(field.type, value, BIG)}"
    value_text = write(target.type, kept.data, BIG) if kept.data else arithmetic(kept)
    return f"{target.text} set {value_text}"


def masked(term: Term, word: str, data: bytes) -> str:
    """A comparison (*word* is ``==``, ``!=``, …) of the bits of *term* that its mask leaves."""
    mask, value = number_of(term.mask, term.order), number_of(data, term.order)
    if term.type in BITS and len(term.fields) <= 1:
        return _bits(term, word, mask, value)
    length = len(term.mask) * 8
    negation = "!= " if word == "!=" else ""
    ones = mask.bit_count()
    if term.type in ("ipv4_addr", "ipv6_addr") and mask == (1 << length) - (1 << (length - ones)):
        return f"{term.text} {negation}{write(term.type, data, term.order)}/{ones}"
    field = _masked_field(term, mask, length)
    if field:
        narrow, shift = field
        text = write(narrow.type, (value >> shift).to_bytes((narrow.length + 7) // 8, "big"), BIG)
        return f"{narrow.header} {narrow.name} {_sign(word)}{text}"
    return f"{term.text} & {write(term.type, term.mask, term.order)} {word} {write(term.type, data, term.order)}"


def _bits(term: Term, word: str, mask: int, value: int) -> str:
    names = flags(term.type, mask)
    if not value and word in ("==", "!="):
        return f"{term.text} {'! ' if word == '==' else ''}{names}"
    if mask.bit_count() > 1 and word in ("==", "!="):
        return f"{term.text} {_sign(word)}{flags(term.type, value)} / {names}"
    return f"{term.text} & {names} {word} {flags(term.type, value)}"


def _sign(word: str) -> str:
    return "" if word == "==" else f"{word} "


def _masked_field(term: Term, mask: int, length: int) -> tuple[Field, int] | None:
    """The field narrower than the load whose bits are just those of the mask, and how far left they are."""
    if not term.load:
        return None
    begin = term.load.number("offset") * 8
    for field in term.fields:
        shift = length - (field.end - begin)
        if shift >= 0 and mask == ((1 << field.length) - 1) << shift:
            return field, shift
    return None
