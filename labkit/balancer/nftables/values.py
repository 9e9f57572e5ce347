"""A set of nftables rules as frozen values: tables, chains, rules, expressions, sets and maps.

The same shapes are rendered from a policy, packed for the kernel, unpacked from its dump and written as
text. An expression is one instruction of the kernel's small rule machine (``payload``: load bytes of the
packet into a register; ``cmp``: compare a register; …). Nothing here talks to the kernel.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

TABLE = "labkit"  # the only table labkit writes


class Family(IntEnum):
    """Address family of a table (NFPROTO_*)."""

    INET = 1
    IP = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IP6 = 10


class Code(IntEnum):
    """What a verdict tells the kernel to do with the packet."""

    DROP = 0
    ACCEPT = 1
    QUEUE = 3
    CONTINUE = -1
    BREAK = -2
    JUMP = -3
    GOTO = -4
    RETURN = -5


class SetFlag(IntFlag):
    ANONYMOUS = 0x1
    CONSTANT = 0x2
    INTERVAL = 0x4
    MAP = 0x8
    TIMEOUT = 0x10
    DYNAMIC = 0x20
    OBJECT = 0x40
    CONCAT = 0x80


@dataclass(frozen=True, slots=True)
class Verdict:
    """Accept, drop, … or go on in *chain*."""

    code: int
    chain: str = ""


Value = int | str | bytes | Verdict | tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """One instruction. *values* by attribute name (see `schema`); *raw* is how the kernel sent it."""

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    raw: bytes = field(default=b"", compare=False)

    def number(self, key: str, default: int = 0) -> int:
        """A numeric attribute; *default* where the kernel left it out."""
        value = self.values.get(key, default)
        return value if isinstance(value, int) else default

    def data(self, key: str = "data") -> bytes:
        """A value to load or compare with; empty if there is none (or it is a verdict)."""
        value = self.values.get(key, b"")
        return value if isinstance(value, bytes) else b""

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""


def userdata(text: str, kind: int = 0) -> bytes:
    """A comment as nft keeps it beside a table, chain or rule (type, length, text with its NUL)."""
    body = text.encode() + b"\0"
    if len(body) > 129:
        raise ValueError(f"a comment has at most 128 bytes: {text!r}")
    return bytes((kind, len(body))) + body


def entry(kind: int, body: bytes) -> bytes:
    """One entry of a userdata field, as `entries` reads it."""
    return bytes((kind, len(body))) + body


def u32(number: int) -> bytes:
    """A number as it stands in registers and notes: 32 bits in this machine's order."""
    return struct.pack("=I", number)


def entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The entries of a userdata field: (type, bytes)."""
    while len(data) >= 2:
        kind, length = data[0], data[1]
        yield kind, data[2 : 2 + length]
        data = data[2 + length :]


def comment_in(data: bytes, kind: int = 0) -> str:
    """The comment kept in a userdata field; empty if there is none."""
    for found, body in entries(data):
        if found == kind:
            return body.rstrip(b"\0").decode(errors="replace")
    return ""


@dataclass(frozen=True, slots=True)
class Rule:
    expressions: tuple[Expression, ...]
    userdata: bytes = b""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is called from: kind (nat, filter, route), hook number, priority, policy, devices."""

    kind: str
    number: int
    priority: int
    policy: int = Code.ACCEPT
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None
    userdata: bytes = b""


@dataclass(frozen=True, slots=True)
class Element:
    """A member of a set; with *data* a pair of a map. *end* marks the first value after an interval."""

    key: bytes
    data: bytes | Verdict | None = None
    end: bool = False
    key_end: bytes = b""
    timeout: int = 0  # milliseconds
    expires: int = 0  # milliseconds
    userdata: bytes = b""
    object_name: str = ""
    catch_all: bool = False
    expressions: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Set:
    """A set, or with `SetFlag.MAP` a map. Types are nft's data type numbers, lengths bytes."""

    name: str
    flags: int
    key_type: int
    key_length: int
    data_type: int = 0
    data_length: int = 0
    elements: tuple[Element, ...] = ()
    timeout: int = 0
    gc_interval: int = 0
    size: int = 0
    policy: int = 0
    object_type: int = 0
    userdata: bytes = b""
    expressions: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Object:
    """A named counter, quota, limit, …: its kind is the kernel's number, its content an expression."""

    name: str
    kind: int
    content: Expression
    userdata: bytes = b""


@dataclass(frozen=True, slots=True)
class Flowtable:
    """A software fast path for forwarded flows."""

    name: str
    hook: int
    priority: int
    devices: tuple[str, ...]
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    family: int
    chains: tuple[Chain, ...] = ()
    sets: tuple[Set, ...] = ()
    objects: tuple[Object, ...] = ()
    flowtables: tuple[Flowtable, ...] = ()
    flags: int = 0
    userdata: bytes = b""

    def chain(self, name: str) -> Chain:
        """The chain called *name*; KeyError if there is none."""
        for chain in self.chains:
            if chain.name == name:
                return chain
        raise KeyError(name)

    def set(self, name: str) -> Set:
        """The set or map called *name*; KeyError if there is none."""
        for found in self.sets:
            if found.name == name:
                return found
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every table, in the kernel's order."""

    tables: tuple[Table, ...] = ()

    def table(self, name: str = TABLE, family: int = Family.INET) -> Table:
        """The table called *name*; KeyError if there is none."""
        for table in self.tables:
            if table.name == name and table.family == family:
                return table
        raise KeyError(name)
