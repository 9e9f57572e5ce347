"""The columns of a recording: one number per packet and header field, read from the bytes with numpy.

Ethernet (802.1Q and 802.1ad tags), Linux cooked and raw IP, IPv4 (options, fragments), IPv6 (extension headers),
TCP, UDP; of the rest the protocol's number alone. A field that a short or malformed packet does not have is -1; the
packet keeps its row. Held here is what tells packets apart; every other header field is read when it is asked for
(`headers`, `columns`, `icmp`). Which packets belong together is said by `connections`.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from labkit.recording import Recording

from . import common
from .addresses import Addresses
from .frames import MISSING, Bools, Frames, Ints, Words
from .links import after_link
from .network import ipv4, ipv6
from .transport import ACK, FIN, ICMP, ICMP6, PSH, RST, SYN, TCP, UDP, transport

__all__ = ["ACK", "ETHERTYPE", "FIN", "ICMP", "ICMP6", "PSH", "RST", "SYN", "TCP", "UDP", "Index", "build",
           "flag_names", "protocol_name"]  # fmt: skip

ETHERTYPE = 0x10000  # added to an ethertype when the packet is not IP
_ETHERTYPES = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x88CC: "LLDP"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 41: "IPv6", 47: "GRE", 50: "ESP", 51: "AH",
              58: "ICMPv6", 132: "SCTP"}  # fmt: skip
_THREADS = 2
_LONGEST = np.uint32(0x7FFFFFFF)
_CHUNK = 1 << 15  # packets read at a time: few enough for the processor's cache, many enough that threads seldom wait
HELD: Mapping[str, npt.DTypeLike] = {
    "l3": np.int16, "l4": np.int32, "payload": np.int32, "version": np.int8, "proto": np.int32, "source": np.int32,
    "target": np.int32, "sport": np.int32, "dport": np.int32, "seq": np.int64, "ack": np.int64, "flags": np.int16,
    "checksum": np.int32, "window": np.int32, "ttl": np.int16, "ip_id": np.int32, "fragment": np.int16,
    "payload_length": np.int32,
}  # fmt: skip


@dataclass(frozen=True)
class Index:
    """One entry per packet and field; -1 where the packet has no such field. Integers, as narrow as the field allows.

    source, target: index into `addresses`. l3, l4, payload: positions inside the packet. version: 4, 6 or -1. proto:
    IP protocol number, or `ETHERTYPE` + ethertype when it is not IP. fragment: the offset of a later IP fragment in
    units of 8 bytes, 0 for whole packets and first fragments. checksum: of TCP and UDP. payload_length: as the headers
    declare it.
    """

    frames: Frames
    packets: npt.NDArray[np.void] = field(repr=False)
    link_types: Ints
    vantage: Ints
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
    checksum: Ints
    ttl: Ints
    ip_id: Ints
    fragment: Ints
    payload_length: Ints
    addresses: tuple[str, ...]
    address_sums: Ints

    def __len__(self) -> int:
        return len(self.packets)

    @property
    def time_ns(self) -> Ints:
        """Unix time in nanoseconds."""
        return np.asarray(self.packets["time_ns"])

    @property
    def frame_length(self) -> Ints:
        """Bytes on the wire."""
        return self.packets["original"].astype(np.int64)

    @property
    def link(self) -> Ints:
        """The LINKTYPE of each packet's vantage point."""
        return self.link_types[self.vantage]

    @property
    def endpoints(self) -> tuple[Ints, Ints]:
        """Sender and receiver of each packet as one number each, of address and port; negative without an address."""
        ends = []
        for address, port in ((self.source, self.sport), (self.target, self.dport)):
            end = address.astype(np.int64)
            end <<= 16
            end |= np.maximum(port, 0)
            ends.append(end)
        return ends[0], ends[1]

    @cached_property
    def digest(self) -> Words:
        """A digest of each packet's captured L4 payload."""
        return self.digest_of(np.arange(len(self)))

    def digest_of(self, rows: Ints) -> Words:
        """The same of the packets at *rows* alone."""
        frames, payload = self.frames.take(rows), self.payload[rows].astype(np.int64)
        there = np.minimum(self.payload_length[rows], frames.captured - payload)
        return frames.digest(payload, np.where(payload >= 0, there, 0))

    def flag(self, mask: int, rows: Ints) -> Bools:
        """Where, at *rows*, any of the TCP flags in *mask* is set."""
        flags = self.flags[rows]
        return np.asarray((flags > 0) & (flags & mask != 0))

    def bytes_of(self, row: int) -> bytes:
        """The captured L4 payload of the packet at *row* (0-based)."""
        return self.frames.slice(row, int(self.payload[row]), max(0, int(self.payload_length[row])))


def build(recording: Recording) -> Index:
    """Read every column of *recording*."""
    frames, packets = Frames.of(recording), recording.packets
    link_types = np.array([v.link_type for v in recording.vantages] or [MISSING], dtype=np.int64)
    vantage: Ints = packets["vantage"].astype(np.int16 if len(link_types) <= 0x7FFF else np.int32)
    held = {name: np.empty(len(frames), dtype=kind) for name, kind in HELD.items()}
    addresses = Addresses()

    ethernet = link_types == common.ETHERNET

    def quick(first: int) -> Ints:
        """Read the packets of the common shape among those from *first* on; the rows of the others."""
        rows = slice(first, first + _CHUNK)
        into = {name: column[rows] for name, column in held.items()}
        original = np.minimum(packets["original"][rows], _LONGEST).astype(np.int32)
        alike = common.read(frames.take(rows), original, addresses, ethernet[vantage[rows]], into)
        return np.flatnonzero(~alike) + first

    def careful(chunk: tuple[int, Ints]) -> None:
        link_type, rows = chunk
        original = packets["original"][rows].astype(np.int64)
        for name, values in _columns(frames.take(rows), link_type, original, addresses).items():
            held[name][rows] = values

    with ThreadPoolExecutor(_THREADS) as threads:  # numpy works without the interpreter's lock
        left = [np.zeros(0, dtype=np.int64), *threads.map(quick, range(0, len(frames), _CHUNK))]
        list(threads.map(careful, _by_link(np.concatenate(left), link_types, vantage)))
    return Index(frames, packets, link_types, vantage, **held, addresses=tuple(addresses.names),
                 address_sums=np.array(addresses.sums, dtype=np.int32))  # fmt: skip


def _by_link(rows: Ints, link_types: Ints, vantage: Ints) -> Iterator[tuple[int, Ints]]:
    """*rows*, so many at a time, each time of one link type."""
    kinds = link_types[vantage[rows]]
    for kind in np.unique(kinds).tolist():
        mine = rows[kinds == kind]
        for first in range(0, len(mine), _CHUNK):
            yield kind, mine[first : first + _CHUNK]


def _columns(frames: Frames, link_type: int, original: Ints, addresses: Addresses) -> dict[str, Ints]:
    ethertype, l3 = after_link(frames, link_type)
    nibble = frames.read(l3, 1) >> 4
    found = {name: np.full(len(frames), MISSING, dtype=np.int64)
             for name in ("proto", "l4", "end", "fragment", "ttl", "ip_id", "source", "target", "version")}  # fmt: skip
    for version, number, read in ((4, 0x0800, ipv4), (6, 0x86DD, ipv6)):
        mine = (nibble == version) & ((ethertype == number) | (ethertype == 0))
        if mine.all():
            found.update(vars(read(frames, l3, original, addresses)), version=np.full(len(frames), version))
        elif mine.any():
            rows = np.flatnonzero(mine)
            found["version"][rows] = version
            for name, values in vars(read(frames.take(rows), l3[rows], original[rows], addresses)).items():
                found[name][rows] = values
    proto, is_ip = found["proto"], found["version"] >= 0
    above = transport(frames, proto, found["l4"], found.pop("end"), found["fragment"])
    found["proto"] = np.where(is_ip | (ethertype <= 0), proto, ETHERTYPE + ethertype)
    return {**found, **vars(above), "l3": np.where(is_ip, l3, MISSING)}


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
