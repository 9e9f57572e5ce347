"""Statements that do something with the packet, each as nft writes it: counter, log, limit, reject, nat, …

One function per statement: (expression, the line being written) -> text.
"""

from collections.abc import Callable
from typing import Protocol

from .datatypes import NAMES, write
from .fields import NETWORK, Context
from .terms import BIG, HOST, Term
from .values import Expression, Family, Table


class Line(Protocol):
    """The rule being written, as far as a statement asks about it."""

    @property
    def table(self) -> Table: ...

    @property
    def context(self) -> Context: ...

    def term(self, register: int) -> Term:
        """What *register* holds."""

    def value(self, register: int) -> str:
        """What *register* holds, as a value to send to."""

    def forget(self, base: int) -> None:
        """Take back a match that what follows implies."""


UNITS = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit")
DEFAULT_LEVEL, DEFAULT_BURST = 4, 5
ALL_LOG_FLAGS = 0x2F
NAT_FLAGS = {4: "random", 16: "fully-random", 8: "persistent"}
NETMAP = 64
ADDRESSES = {Family.IP: ("ip", "ipv4_addr"), Family.IP6: ("ip6", "ipv6_addr")}
OBJECTS = {1: "counter name", 2: "quota name", 3: "ct helper set", 4: "limit name", 7: "ct timeout set"}
OBJECTS |= {8: "meta secmark set", 9: "ct expectation set", 10: "synproxy name"}


def scaled(count: int) -> str:
    """Bytes in the largest unit that divides them."""
    for unit, size in (("mbytes", 1 << 20), ("kbytes", 1 << 10)):
        if count and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def limit(expression: Expression, _: object = None) -> str:
    over = "over " if expression.number("flags") & 1 else ""
    unit = UNITS.get(expression.number("unit"), f"{expression.number('unit')}s")
    burst, rate = expression.number("burst"), expression.number("rate")
    if expression.number("type"):
        more = f" burst {scaled(burst)}" if burst else ""
        return f"limit rate {over}{scaled(rate)}/{unit}{more}"
    more = f" burst {burst} packets" if burst != DEFAULT_BURST else ""
    return f"limit rate {over}{rate}/{unit}{more}"


def quota(expression: Expression, _: object = None) -> str:
    return f"quota {'over ' if expression.number('flags') & 1 else ''}{scaled(expression.number('bytes'))}"


def _log(expression: Expression, _: Line) -> str:
    bits = expression.number("flags")
    tcp = ",".join(name for bit, name in ((1, "sequence"), (2, "options")) if bits & bit)
    if bits & ALL_LOG_FLAGS == ALL_LOG_FLAGS:
        words = ["flags all"]
    else:
        words = [f"flags tcp {tcp}"] if tcp else []
        words += [f"flags {name}" for bit, name in ((4, "ip options"), (8, "skuid"), (32, "ether")) if bits & bit]
    parts = [
        f'prefix "{expression.text("prefix")}"' if expression.text("prefix") else "",
        f"group {expression.number('group')}" if "group" in expression.values else "",
        f"snaplen {expression.number('snaplen')}" if expression.number("snaplen") else "",
        f"queue-threshold {expression.number('qthreshold')}" if expression.number("qthreshold") else "",
    ]
    level = expression.number("level", DEFAULT_LEVEL)
    if level != DEFAULT_LEVEL and "group" not in expression.values:
        parts.append(f"level {LEVELS[level] if level < len(LEVELS) else level}")
    return " ".join(part for part in ("log", *parts, *words) if part)


def _reject(expression: Expression, line: Line) -> str:
    kind, code = expression.number("type"), bytes([expression.number("code")])
    if kind == 1:
        return "reject with tcp reset"
    if kind == 2:
        return "reject" if code == b"\1" else f"reject with icmpx {write('icmpx_code', code, BIG)}"
    if line.table.family == Family.INET:
        line.forget(NETWORK)
    six = line.context.network == "ip6"
    name = NAMES["icmpv6_code" if six else "icmp_code"].get(code[0], str(code[0]))
    if line.table.family in (Family.IP, Family.IP6) and name == "port-unreachable":
        return "reject"
    return f"reject with {'icmpv6' if six else 'icmp'} {name}"


def _ports(expression: Expression, line: Line) -> str:
    """``:80`` or ``:80-90``; empty if no port is given, or if it comes out of a map with the address."""
    if "proto_min" not in expression.values:
        return ""
    low, high = (line.term(expression.number(name)) for name in ("proto_min", "proto_max"))
    if "proto_max" not in expression.values or expression.number("proto_max") == expression.number("proto_min"):
        high = low
    if not low.data:
        return "" if low.text.startswith("reg ") else f":{low.text}"
    first, last = (write("inet_service", term.data, BIG) for term in (low, high))
    return f":{first}" if first == last else f":{first}-{last}"


def _nat(expression: Expression, line: Line) -> str:
    family = expression.number("family")
    name, kind = ADDRESSES.get(Family(family), ("", "hex")) if family in list(Family) else ("", "hex")
    address, ports = _addresses(expression, line, kind), _ports(expression, line)
    if address and ports and name == "ip6":
        address = "-".join(f"[{each}]" for each in address.split("-"))
    bits = expression.number("flags")
    said = line.table.family == Family.INET and address
    parts = [
        "dnat" if expression.number("type") else "snat",
        name if said else "",
        "prefix" if bits & NETMAP else "",
        "to" if address or ports else "",
        address + ports,
    ]
    return " ".join(part for part in parts if part) + _flags(bits)


def _addresses(expression: Expression, line: Line, kind: str) -> str:
    if "addr_min" not in expression.values:
        return ""
    low, high = line.term(expression.number("addr_min")), line.term(expression.number("addr_max"))
    if not low.data:
        return low.text
    first = write(kind, low.data, BIG)
    last = write(kind, high.data, BIG) if high.data else first
    return first if first == last else f"{first}-{last}"


def _flags(bits: int) -> str:
    words = ",".join(name for bit, name in NAT_FLAGS.items() if bits & bit)
    return f" {words}" if words else ""


def _to_ports(name: str) -> Callable[[Expression, Line], str]:
    def written(expression: Expression, line: Line) -> str:
        ports = _ports(expression, line)
        return f"{name}{f' to {ports}' if ports else ''}{_flags(expression.number('flags'))}"

    return written


def _fwd(expression: Expression, line: Line) -> str:
    device = write("ifindex", line.term(expression.number("device")).data, HOST)
    if "addr" not in expression.values:
        return f"fwd to {device}"
    name, kind = ADDRESSES[Family(expression.number("family"))]
    address = line.term(expression.number("addr"))
    return f"fwd {name} to {write(kind, address.data, BIG) if address.data else address.text} device {device}"


def _objref(expression: Expression, line: Line) -> str:
    if "sreg" in expression.values:
        key = line.term(expression.number("sreg")).text
        return f"{OBJECTS.get(expression.number('type'), 'object')} {key} map @{expression.text('set')}"
    return f'{OBJECTS.get(expression.number("type"), "object")} "{expression.text("name")}"'


def _connlimit(expression: Expression, _: Line) -> str:
    return f"ct count {'over ' if expression.number('flags') & 1 else ''}{expression.number('count')}"


def _queue(expression: Expression, line: Line) -> str:
    bits, first = expression.number("flags"), expression.number("num")
    words = ",".join(name for bit, name in ((1, "bypass"), (2, "fanout")) if bits & bit)
    last = first + max(expression.number("total", 1), 1) - 1
    target = line.term(expression.number("sreg")).text if "sreg" in expression.values else str(first)
    return f"queue {f'flags {words} ' if words else ''}to {target}{f'-{last}' if last > first else ''}"


ACTIONS: dict[str, Callable[[Expression, Line], str]] = {
    "counter": lambda _, __: "counter",
    "notrack": lambda _, __: "notrack",
    "last": lambda _, __: "last",
    "limit": limit,
    "quota": quota,
    "log": _log,
    "reject": _reject,
    "nat": _nat,
    "masq": _to_ports("masquerade"),
    "redir": _to_ports("redirect"),
    "objref": _objref,
    "connlimit": _connlimit,
    "fwd": _fwd,
    "queue": _queue,
}
