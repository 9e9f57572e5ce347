"""The headers' fields as tables: where each lies, what nft calls it, what a recording calls it.

A rule says "load 2 bytes at 2 of the transport header"; which field that is depends on what the rule has
found out before: a `Context` learns it from the comparisons, as the kernel's user does when reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .values import Expression, Family

LINK, NETWORK, TRANSPORT = 0, 1, 2  # payload bases
NFPROTO, PROTOCOL, L4PROTO = 15, 1, 16  # meta keys


@dataclass(frozen=True, slots=True)
class Field:
    """A header field. offset and length in bits; *type* names how its values are written (see `datatypes`)."""

    header: str
    name: str
    offset: int
    length: int
    type: str

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def recorded(self) -> str:
        """Its name in recordings, as listed in labkit.recording."""
        return f"{_HEADERS_RECORDED.get(self.header, self.header)}.{_FIELDS_RECORDED.get(self.name, self.name)}"


_HEADERS_RECORDED = {"ether": "eth"}
_FIELDS_RECORDED = {"saddr": "src", "daddr": "dst", "protocol": "proto", "hoplimit": "hlim"}
_FIELDS_RECORDED |= {"sequence": "seq", "ackseq": "ack"}

# Every field of a header in order: name:bits, and :type where it is not a plain number.
_LAYOUT = {
    "ether": "daddr:48:ether_addr saddr:48:ether_addr type:16:ether_type",
    "arp": "htype:16 ptype:16:ether_type hlen:8 plen:8 operation:16:arp_op",
    "ip": "version:4 hdrlength:4 dscp:6:dscp ecn:2:ecn length:16 id:16 frag-off:16 ttl:8 protocol:8:inet_proto"
    " checksum:16 saddr:32:ipv4_addr daddr:32:ipv4_addr",
    "ip6": "version:4 dscp:6:dscp ecn:2:ecn flowlabel:20 length:16 nexthdr:8:inet_proto hoplimit:8"
    " saddr:128:ipv6_addr daddr:128:ipv6_addr",
    "tcp": "sport:16:inet_service dport:16:inet_service sequence:32 ackseq:32 doff:4 reserved:4 flags:8:tcp_flag"
    " window:16 checksum:16 urgptr:16",
    "udp": "sport:16:inet_service dport:16:inet_service length:16 checksum:16",
    "udplite": "sport:16:inet_service dport:16:inet_service csumcov:16 checksum:16",
    "sctp": "sport:16:inet_service dport:16:inet_service vtag:32 checksum:32",
    "dccp": "sport:16:inet_service dport:16:inet_service",
    "icmp": "type:8:icmp_type code:8:icmp_code checksum:16 id:16 sequence:16",
    "icmpv6": "type:8:icmpv6_type code:8:icmpv6_code checksum:16 id:16 sequence:16",
    "esp": "spi:32 sequence:32",
    "ah": "nexthdr:8:inet_proto hdrlength:8 reserved:16 spi:32 sequence:32",
    "comp": "nexthdr:8:inet_proto flags:8:hex cpi:16",
    "igmp": "type:8:igmp_type mrt:8 checksum:16 group:32:ipv4_addr",
    "th": "sport:16:inet_service dport:16:inet_service",
}


def _fields(header: str, layout: str) -> tuple[Field, ...]:
    found, offset = [], 0
    for word in layout.split():
        name, bits, kind = [*word.split(":"), ""][:3]
        found.append(Field(header, name, offset, int(bits), kind or "integer"))
        offset += int(bits)
    return tuple(found)


FIELDS = {header: _fields(header, layout) for header, layout in _LAYOUT.items()}
NETWORK_BY_NFPROTO = {2: "ip", 3: "arp", 10: "ip6"}
NETWORK_BY_ETHERTYPE = {0x0800: "ip", 0x0806: "arp", 0x86DD: "ip6"}
NETWORK_BY_FAMILY = {Family.IP: "ip", Family.IP6: "ip6", Family.ARP: "arp"}
TRANSPORT_BY_PROTOCOL = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "icmpv6"}
TRANSPORT_BY_PROTOCOL |= {108: "comp", 132: "sctp", 136: "udplite"}
PROTOCOL_FIELDS = {("ip", "protocol"), ("ip6", "nexthdr")}


@dataclass(slots=True)
class Context:
    """What a rule knows about the packet after the expressions read so far. *network* and *transport* name headers."""

    family: int
    network: str = ""
    transport: str = ""
    loaded: dict[int, Expression] = field(default_factory=dict)  # register -> what it holds

    def __post_init__(self) -> None:
        self.network = NETWORK_BY_FAMILY.get(Family(self.family), "")

    def follow(self, expression: Expression) -> None:
        """Take note of one more expression of the rule."""
        if expression.name == "cmp":
            load = self.loaded.get(expression.number("sreg"))
            if load and expression.number("op") == 0:
                self.learn(load, expression.data())
        elif "dreg" in expression.values:
            self.loaded[expression.number("dreg")] = expression

    def learn(self, load: Expression, value: bytes) -> None:
        """*load* was found equal to *value*."""
        number = int.from_bytes(value, "big")
        if load.name == "meta":
            key = load.number("key")
            if key == NFPROTO:
                self.network = NETWORK_BY_NFPROTO.get(number, self.network)
            elif key == PROTOCOL:
                self.network = NETWORK_BY_ETHERTYPE.get(number, self.network)
            elif key == L4PROTO:
                self.transport = TRANSPORT_BY_PROTOCOL.get(number, "other")
        elif load.name == "payload":
            for found in self.overlapped(load):
                if (found.header, found.name) in PROTOCOL_FIELDS:
                    self.transport = TRANSPORT_BY_PROTOCOL.get(number, "other")
                elif (found.header, found.name) == ("ether", "type"):
                    self.network = NETWORK_BY_ETHERTYPE.get(number, self.network)

    def header(self, base: int) -> str:
        """The header that *base* means here; empty if the rule has not found out."""
        known = {LINK: "ether", NETWORK: self.network, TRANSPORT: self.transport}
        return known.get(base, "")

    def headers(self, base: int) -> tuple[str, ...]:
        """All that *base* may mean here."""
        if known := self.header(base):
            return (known,)
        return {NETWORK: ("ip", "ip6"), TRANSPORT: ("tcp", "udp")}.get(base, ())

    def overlapped(self, load: Expression, headers: Iterable[str] | None = None) -> list[Field]:
        """The fields that a payload expression loads, whole or in part."""
        start = load.number("offset") * 8
        end = start + load.number("len") * 8
        candidates = self.headers(load.number("base")) if headers is None else headers
        return [each for name in candidates for each in FIELDS.get(name, ()) if each.offset < end and start < each.end]
