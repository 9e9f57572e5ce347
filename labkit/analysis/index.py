"""The columns of a recording: one number per packet and header field, read from the bytes with numpy.

Ethernet (802.1Q and 802.1ad tags), Linux cooked and raw IP, IPv4 (options, fragments), IPv6 (extension headers),
TCP, UDP; of the rest the protocol's number alone. A field that a short or malformed packet does not have is -1; the
packet keeps its row. Which packets belong together is said by `trajectories` and `sightings`.
"""

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

from labkit.recording import Recording

from .frames import MISSING, Bools, Frames, Ints, Words

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
ETHERTYPE = 0x10000  # added to an ethertype when the packet is not IP
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# LINKTYPE -> (length of the link header, where its ethertype stands; None: the IP version tells)
LINK_HEADERS: dict[int, tuple[int, int | None]] = {
    1: (14, 12),  # Ethernet
    113: (16, 14),  # Linux cooked
    276: (20, 0),  # Linux cooked v2
    101: (0, None),  # raw IP
    228: (0, None),  # raw IPv4
    229: (0, None),  # raw IPv6
}
_TAGS = (0x8100, 0x88A8)
_ETHERTYPES = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x88CC: "LLDP"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 41: "IPv6", 47: "GRE", 50: "ESP", 51: "AH",
              58: "ICMPv6", 132: "SCTP"}  # fmt: skip
# IPv6 extension header -> (unit of its length field, units to add): RFC 8200 §4, RFC 4302 §2.2
_EXTENSIONS = {0: (8, 1), 43: (8, 1), 60: (8, 1), 135: (8, 1), 139: (8, 1), 140: (8, 1), 51: (4, 2)}
_IP6_FRAGMENT = 44
_EXTENSIONS_AT_MOST = 8


@dataclass(frozen=True)
class Index:
    """One int64 entry per packet and field; -1 where the packet has no such field.

    link: pcap LINKTYPE. source, target: index into `addresses`. l3, l4, payload: positions inside the packet.
    version: 4, 6 or -1. proto: IP protocol number, or `ETHERTYPE` + ethertype when it is not IP. fragment: the offset
    of a later IP fragment in units of 8 bytes, 0 for whole packets and first fragments. payload_length: as the
    headers declare it.
    """

    frames: Frames
    time_ns: Ints
    vantage: Ints
    link: Ints
    frame_length: Ints
    l3: Ints
    l4: Ints
    payload: Ints
    version: Ints
    proto: Ints
    source: Ints
    target: Ints
    sport: Ints
    dport: Ints
    seq: Ints
    ack: Ints
    flags: Ints
    window: Ints
    ttl: Ints
    ip_id: Ints
    fragment: Ints
    payload_length: Ints
    addresses: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time_ns)

    @cached_property
    def digest(self) -> Words:
        """A digest of each packet's captured L4 payload."""
        there = np.minimum(self.payload_length, self.frames.captured - self.payload)
        return self.frames.digest(self.payload, np.where(self.payload >= 0, there, 0))

    def flag(self, mask: int, rows: Ints) -> Bools:
        """Where, at *rows*, any of the TCP flags in *mask* is set."""
        flags = self.flags[rows]
        return np.asarray((flags > 0) & (flags & mask != 0))

    def bytes_of(self, row: int) -> bytes:
        """The captured L4 payload of the packet at *row* (0-based)."""
        return self.frames.slice(row, int(self.payload[row]), max(0, int(self.payload_length[row])))


def build(recording: Recording) -> Index:
    """Read every column of *recording*."""
    frames = Frames.of(recording)
    packets = recording.packets
    vantage = packets["vantage"].astype(np.int64)
    original = packets["original"].astype(np.int64)
    ethertype, l3 = _link(frames, vantage, [v.link_type for v in recording.vantages])
    nibble = frames.read(l3, 1) >> 4
    four = _is_ip(4, 0x0800, ethertype, nibble)
    six = _is_ip(6, 0x86DD, ethertype, nibble)
    ip4, ip6 = _ipv4(frames, l3, four, original), _ipv6(frames, l3, six, original)
    proto, l4, end, fragment, ttl, ip_id = (
        np.where(four, of4, np.where(six, of6, MISSING)) for of4, of6 in zip(ip4, ip6, strict=True)
    )
    proto = np.where(four | six | (ethertype <= 0), proto, ETHERTYPE + ethertype)
    source, target, addresses = _addresses(frames, l3, four, six)
    whole = fragment == 0
    tcp, udp = whole & (proto == TCP), whole & (proto == UDP)
    payload = np.where(tcp, _after_tcp(frames, l4), np.where(udp, _after_udp(frames, l4), l4))
    end = np.where(udp, _udp_end(frames, l4, end), end)
    length = np.where((payload >= 0) & (end >= 0), end - payload, MISSING)
    length = np.where(length < 0, MISSING, length)

    def at(where: Bools, offset: int, width: int) -> Ints:
        return frames.read(np.where(where & (l4 >= 0), l4 + offset, MISSING), width)

    flags = at(tcp, 12, 2)
    return Index(
        frames=frames,
        time_ns=packets["time_ns"].astype(np.int64),
        vantage=vantage,
        link=np.array([v.link_type for v in recording.vantages] or [MISSING], dtype=np.int64)[vantage],
        frame_length=original,
        l3=np.where(four | six, l3, MISSING),
        l4=l4,
        payload=np.where(length >= 0, payload, MISSING),
        version=np.where(four, 4, np.where(six, 6, MISSING)),
        proto=proto,
        source=source,
        target=target,
        sport=at(tcp | udp, 0, 2),
        dport=at(tcp | udp, 2, 2),
        seq=at(tcp, 4, 4),
        ack=at(tcp, 8, 4),
        flags=np.where(flags >= 0, flags & 0x1FF, MISSING),
        window=at(tcp, 14, 2),
        ttl=ttl,
        ip_id=ip_id,
        fragment=fragment,
        payload_length=length,
        addresses=addresses,
    )


def _link(frames: Frames, vantage: Ints, link_types: list[int]) -> tuple[Ints, Ints]:
    """Ethertype and where the next header is. 0: unknown, ask the IP version; -1: not captured, or a foreign link."""
    headers = [LINK_HEADERS.get(link_type, (MISSING, None)) for link_type in link_types] or [(MISSING, None)]
    length = np.array([h[0] for h in headers], dtype=np.int64)[vantage]
    place = np.array([MISSING if h[1] is None else h[1] for h in headers], dtype=np.int64)[vantage]
    ethertype = np.where(place >= 0, frames.read(place, 2), np.where(length == 0, 0, MISSING))
    l3 = np.where(ethertype >= 0, length, MISSING)
    for _ in range(2):  # an outer and an inner tag
        tagged = np.isin(ethertype, _TAGS)
        ethertype = np.where(tagged, frames.read(np.where(tagged, l3 + 2, MISSING), 2), ethertype)
        l3 = np.where(tagged, l3 + 4, l3)
    return ethertype, np.where(ethertype >= 0, l3, MISSING)


def _is_ip(version: int, number: int, ethertype: Ints, nibble: Ints) -> Bools:
    return np.asarray((nibble == version) & ((ethertype == number) | (ethertype == 0)))


def _ipv4(frames: Frames, l3: Ints, four: Bools, original: Ints) -> tuple[Ints, ...]:
    """proto, l4, end of the IP packet, fragment, ttl, id (RFC 791 §3.1)."""
    l3 = np.where(four, l3, MISSING)
    header = (frames.read(l3, 1) & 0xF) * 4
    total = frames.read(np.where(l3 >= 0, l3 + 2, MISSING), 2)
    bits = frames.read(np.where(l3 >= 0, l3 + 6, MISSING), 2)
    fragment = np.where(bits >= 0, bits & 0x1FFF, MISSING)
    proto = frames.read(np.where(l3 >= 0, l3 + 9, MISSING), 1)
    sound = (header >= 20) & (proto >= 0)
    end = np.where(total == 0, original, np.minimum(l3 + total, original))  # 0: cut up later by the network card
    return (
        proto,
        np.where(sound, l3 + header, MISSING),
        np.where(sound & (total >= 0), end, MISSING),
        fragment,
        frames.read(np.where(l3 >= 0, l3 + 8, MISSING), 1),
        frames.read(np.where(l3 >= 0, l3 + 4, MISSING), 2),
    )


def _ipv6(frames: Frames, l3: Ints, six: Bools, original: Ints) -> tuple[Ints, ...]:
    """proto, l4, end, fragment, hop limit, id (none but a fragment's, which is wider: left out). RFC 8200 §3, §4."""
    l3 = np.where(six, l3, MISSING)
    length = frames.read(np.where(l3 >= 0, l3 + 4, MISSING), 2)
    proto = frames.read(np.where(l3 >= 0, l3 + 6, MISSING), 1)
    at = np.where(proto >= 0, l3 + 40, MISSING)
    fragment = np.where(proto >= 0, 0, MISSING)
    for _ in range(_EXTENSIONS_AT_MOST):
        cut = (proto == _IP6_FRAGMENT) & (at >= 0)
        step = np.where(cut, 8, 0)
        fragment = np.where(cut, frames.read(np.where(cut, at + 2, MISSING), 2) >> 3, fragment)
        for number, (unit, plus) in _EXTENSIONS.items():
            here = (proto == number) & (at >= 0) & (fragment == 0)
            size = frames.read(np.where(here, at + 1, MISSING), 1)
            step = np.where(here, np.where(size >= 0, (size + plus) * unit, MISSING), step)
        if not step.any():
            break
        moved = step != 0
        proto = np.where(moved, frames.read(np.where(moved, at, MISSING), 1), proto)
        at = np.where(moved, np.where((step > 0) & (proto >= 0), at + step, MISSING), at)
    end = np.where(length == 0, original, np.minimum(l3 + 40 + length, original))
    hop_limit = frames.read(np.where(l3 >= 0, l3 + 7, MISSING), 1)
    return proto, at, np.where(at >= 0, end, MISSING), fragment, hop_limit, np.full_like(at, MISSING)


def _after_tcp(frames: Frames, l4: Ints) -> Ints:
    """Where the TCP payload begins; -1 if the header's length is missing or impossible (RFC 9293 §3.1)."""
    words = frames.read(np.where(l4 >= 0, l4 + 12, MISSING), 1) >> 4
    return np.where(words >= 5, l4 + words * 4, MISSING)


def _after_udp(frames: Frames, l4: Ints) -> Ints:
    there = (l4 >= 0) & (l4 + 8 <= frames.captured)
    return np.where(there, l4 + 8, MISSING)


def _udp_end(frames: Frames, l4: Ints, end: Ints) -> Ints:
    """Where the UDP datagram ends: its own length if that is possible, else the IP packet's (RFC 768)."""
    length = frames.read(np.where(l4 >= 0, l4 + 4, MISSING), 2)
    return np.where((length >= 8) & (l4 + length <= end), l4 + length, end)


def _addresses(frames: Frames, l3: Ints, four: Bools, six: Bools) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Source and destination as numbers of distinct addresses, and those addresses as text."""
    high, low = [], []
    for place4, place6 in ((12, 8), (16, 24)):
        v4 = frames.read(np.where(four, l3 + place4, MISSING), 4)
        parts = [frames.read(np.where(six, l3 + place6 + 4 * i, MISSING), 4) for i in range(4)]
        whole6 = parts[3] >= 0
        high.append(np.where(whole6, (parts[0] << 32) | parts[1], np.where(v4 >= 0, 0, MISSING)).astype(np.uint64))
        low.append(np.where(whole6, (parts[2] << 32) | parts[3], np.where(v4 >= 0, v4, MISSING)).astype(np.uint64))
    kind = np.where(np.tile(four, 2), 4, np.where(np.tile(six, 2), 6, 0))
    present = np.concatenate([_present(frames, l3, four, six, 16, 24), _present(frames, l3, four, six, 20, 40)])
    keys = np.empty(2 * len(frames), dtype=[("kind", np.int64), ("high", np.uint64), ("low", np.uint64)])
    keys["kind"], keys["high"], keys["low"] = np.where(present, kind, 0), np.concatenate(high), np.concatenate(low)
    code, first = _codes(keys)
    names = tuple(_text(keys[i]) for i in first)
    number = np.where(present, code, MISSING)
    return number[: len(frames)], number[len(frames) :], names


def _present(frames: Frames, l3: Ints, four: Bools, six: Bools, end4: int, end6: int) -> Bools:
    return np.asarray((four & (l3 + end4 <= frames.captured)) | (six & (l3 + end6 <= frames.captured)))


def _codes(keys: npt.NDArray[np.void]) -> tuple[Ints, Ints]:
    """A small number for every distinct key, and the position of each one's first key in sorted order."""
    order = np.lexsort((keys["low"], keys["high"], keys["kind"]))
    ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    code = np.empty(len(keys), dtype=np.int64)
    code[order] = np.cumsum(new) - 1
    return code, order[new]


def _text(key: npt.NDArray[np.void]) -> str:
    if key["kind"] == 4:
        return str(IPv4Address(int(key["low"])))
    return str(IPv6Address((int(key["high"]) << 64) | int(key["low"]))) if key["kind"] == 6 else ""


def protocol_name(proto: int) -> str | None:
    """ "TCP", "UDP", "ARP" …; "IP 200" or "0x88b5" for what has no name here; None for -1."""
    if proto < 0:
        return None
    if proto >= ETHERTYPE:
        if proto < ETHERTYPE + 0x600:
            return "LLC"  # a length, not a type (IEEE 802.3 §3.2.6)
        return _ETHERTYPES.get(proto - ETHERTYPE, f"0x{proto - ETHERTYPE:04x}")
    return _PROTOCOLS.get(proto, f"IP {proto}")


def flag_names(flags: int) -> str | None:
    """ "S", "SA", "FPA": the letters of RFC 9293 §3.1 from FIN upwards; None for -1."""
    return None if flags < 0 else "".join(letter for bit, letter in enumerate("FSRPAUECN") if flags >> bit & 1)
