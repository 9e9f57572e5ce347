"""Values of header fields and of the kernel's own data, written as nft writes them.

One function per kind of value; for most a table of names says it all. *order* is "big" for what stands in a
packet, "host" for what the kernel keeps.
"""

import functools
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


@functools.cache
def protocol_names() -> Mapping[int, str]:
    """Transport protocols by number: as in the system's list, and the few that rules need if there is none."""
    names = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp"}
    listed = Path("/etc/protocols")
    lines = listed.read_text(errors="replace").splitlines() if listed.exists() else []
    words = (line.split("#")[0].split() for line in lines)
    return names | {int(found[1]): found[0] for found in words if len(found) > 1 and found[1].isdigit()}


def _pairs(text: str) -> dict[int, str]:
    """``"1 one 2 two"`` as a table."""
    words = text.split()
    return {int(number, 0): name for number, name in zip(words[::2], words[1::2], strict=True)}


NAMES: dict[str, Mapping[int, str]] = {
    "nf_proto": _pairs("2 ipv4 10 ipv6"),
    "ether_type": _pairs("0x800 ip 0x806 arp 0x86dd ip6 0x8100 8021q 0x88a8 8021ad"),
    "arp_op": _pairs("1 request 2 reply 3 rrequest 4 rreply 8 inrequest 9 inreply 10 nak"),
    "ct_dir": _pairs("0 original 1 reply"),
    "pkttype": _pairs("0 host 1 broadcast 2 multicast 3 other"),
    "iface_type": _pairs("1 ether 512 ppp 768 ipip 769 ipip6 772 loopback 776 sit 778 ipgre"),
    "boolean": _pairs("0 missing 1 exists"),
    "fib_addrtype": _pairs(
        "0 unspec 1 unicast 2 local 3 broadcast 4 anycast 5 multicast 6 blackhole 7 unreachable 8 prohibit"
    ),
    "icmp_type": _pairs(
        "0 echo-reply 3 destination-unreachable 4 source-quench 5 redirect 8 echo-request 9 router-advertisement"
        " 10 router-solicitation 11 time-exceeded 12 parameter-problem 13 timestamp-request 14 timestamp-reply"
        " 15 info-request 16 info-reply 17 address-mask-request 18 address-mask-reply"
    ),
    "icmpv6_type": _pairs(
        "1 destination-unreachable 2 packet-too-big 3 time-exceeded 4 parameter-problem 128 echo-request"
        " 129 echo-reply 130 mld-listener-query 131 mld-listener-report 132 mld-listener-done 133 nd-router-solicit"
        " 134 nd-router-advert 135 nd-neighbor-solicit 136 nd-neighbor-advert 137 nd-redirect"
        " 138 router-renumbering 141 ind-neighbor-solicit 142 ind-neighbor-advert 143 mld2-listener-report"
    ),
    "icmp_code": _pairs(
        "0 net-unreachable 1 host-unreachable 2 prot-unreachable 3 port-unreachable 4 frag-needed"
        " 9 net-prohibited 10 host-prohibited 13 admin-prohibited"
    ),
    "icmpv6_code": _pairs(
        "0 no-route 1 admin-prohibited 3 addr-unreachable 4 port-unreachable 5 policy-fail 6 reject-route"
    ),
    "icmpx_code": _pairs("0 no-route 1 port-unreachable 2 host-unreachable 3 admin-prohibited"),
    "igmp_type": _pairs(
        "17 membership-query 18 membership-report-v1 22 membership-report-v2 23 leave-group 34 membership-report-v3"
    ),
    "ecn": _pairs("0 not-ect 1 ect1 2 ect0 3 ce"),
    "dscp": {8 * number: f"cs{number}" for number in range(8)}
    | {8 * level + 2 * drop: f"af{level}{drop}" for level in (1, 2, 3, 4) for drop in (1, 2, 3)}
    | {44: "va", 46: "ef"},
}

BITS: dict[str, Mapping[int, str]] = {
    "ct_state": _pairs("1 invalid 2 established 4 related 8 new 64 untracked"),
    "ct_status": _pairs("1 expected 2 seen-reply 4 assured 8 confirmed 16 snat 32 dnat 512 dying"),
    "ct_event": _pairs(
        "1 new 2 related 4 destroy 8 reply 16 assured 32 protoinfo 64 helper 128 mark 256 seqadj 512 secmark 1024 label"
    ),
    "tcp_flag": _pairs("1 fin 2 syn 4 rst 8 psh 16 ack 32 urg 64 ecn 128 cwr"),
}


def number_of(data: bytes, order: str) -> int:
    """The number that *data* holds, in network or host byte order."""
    return int.from_bytes(data, "big" if order == "big" else sys.byteorder)


def _interface(data: bytes, order: str) -> str:
    number = number_of(data, order)
    try:
        return f'"{socket.if_indextoname(number)}"'
    except OSError:
        return str(number)


def _name(data: bytes, _: str) -> str:
    """An interface's name; one without its terminating NUL is the beginning of names."""
    text = data.split(b"\0", 1)[0].decode(errors="replace")
    return f'"{text}{"*" if len(data) < 16 and not data.endswith(bytes(1)) else ""}"'


def _class(data: bytes, order: str) -> str:
    number = number_of(data, order)
    return f"{number >> 16:x}:{number & 0xFFFF:x}"


def _hour(data: bytes, order: str) -> str:
    """A time of the day; the kernel keeps it in UTC, people read it where they are."""
    seconds = (number_of(data, order) + time.localtime().tm_gmtoff) % 86400
    return f'"{seconds // 3600:02}:{seconds // 60 % 60:02}{f":{seconds % 60:02}" if seconds % 60 else ""}"'


def _date(data: bytes, order: str) -> str:
    moment = time.localtime(number_of(data, order) // 1_000_000_000)
    return f'"{time.strftime("%Y-%m-%d %H:%M:%S", moment)}"'


def _day(data: bytes, order: str) -> str:
    names = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
    return f'"{names[number_of(data, order) % 7]}"'


def _seconds(milliseconds: int) -> str:
    """A time as nft writes it: ``1h30m``; with a part of a second in ms."""
    parts, rest = [], milliseconds
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


WRITERS: dict[str, Callable[[bytes, str], str]] = {
    "ipv4_addr": lambda data, _: socket.inet_ntop(socket.AF_INET, data.ljust(4, b"\0")),
    "ipv6_addr": lambda data, _: socket.inet_ntop(socket.AF_INET6, data.ljust(16, b"\0")),
    "ether_addr": lambda data, _: data.hex(":"),
    "inet_proto": lambda data, order: protocol_names().get(number_of(data, order), str(number_of(data, order))),
    "mark": lambda data, order: f"0x{number_of(data, order):08x}",
    "hex": lambda data, order: f"0x{number_of(data, order):x}",
    "ifindex": _interface,
    "ifname": _name,
    "string": lambda data, _: f'"{data.split(b"\0", 1)[0].decode(errors="replace")}"',
    "classid": _class,
    "hour": _hour,
    "date": _date,
    "day": _day,
    "time": lambda data, order: _seconds(number_of(data, order)),
}


def write(kind: str, data: bytes, order: str) -> str:
    """One value of *kind*; a kind without names or a writer of its own is a decimal number.

    What does not fit its kind (an address of seven bytes) is shown as its bytes.
    """
    if kind in WRITERS:
        try:
            return WRITERS[kind](data, order)
        except ValueError:
            return f"0x{data.hex()}"
    number = number_of(data, order)
    if kind in BITS:
        return flags(kind, number) or f"0x{number:x}"
    if name := NAMES.get(kind, {}).get(number):
        return name
    return f"0x{number:0{2 * len(data)}x}" if kind in ("dscp", "ether_type") else str(number)


def flags(kind: str, number: int) -> str:
    """The names of the bits that are set, in the order of the bits; what has no name as one number."""
    names = [name for bit, name in BITS[kind].items() if number & bit]
    rest = number & ~sum(BITS[kind])
    return ",".join([*names, *([f"0x{rest:x}"] if rest else [])])


def duration(milliseconds: int) -> str:
    """A time-out as nft writes it."""
    return _seconds(milliseconds)


def prefix_of(first: int, last: int, bits: int) -> int | None:
    """The length of the prefix that is just the range first..last of *bits*-bit numbers; None if none is."""
    size = last - first + 1
    return None if size & (size - 1) or first & (size - 1) else bits - size.bit_length() + 1


def span(kind: str, first: bytes, last: bytes, order: str) -> str:
    """A range of values; of addresses as a prefix where it is one."""
    low, high = number_of(first, order), number_of(last, order)
    if low == high:
        return write(kind, first, order)
    if kind in ("ipv4_addr", "ipv6_addr"):
        length = prefix_of(low, high, 8 * len(first))
        if length is not None:
            return f"{write(kind, first, order)}/{length}"
    return f"{write(kind, first, order)}-{write(kind, last, order)}"
