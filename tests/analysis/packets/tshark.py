"""Every common header field of a file as tshark reads it, held against labkit's columns."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from labkit.analysis.packets import columns, icmp
from labkit.analysis.packets.index import Index, build
from labkit.recording import Recording, read_pcapng

Read = Callable[[Index], list[int]]


def _column(name: str) -> Read:
    return lambda index: columns.column(index, name).tolist()


def _address(which: str, version: int) -> Read:
    """Addresses as text, of packets of one version."""

    def read(index: Index) -> list[object]:  # type: ignore[return-value]
        names = [*index.addresses, ""]
        there = index.version == version
        return [names[number] if ok else -1 for number, ok in zip(getattr(index, which).tolist(), there, strict=True)]

    return read  # type: ignore[return-value]


def _held(name: str, where: Callable[[Index], object] | None = None) -> Read:
    def read(index: Index) -> list[int]:
        values = getattr(index, name)
        return (values if where is None else np.where(where(index), values, -1)).tolist()  # type: ignore[arg-type]

    return read


def _flags(index: Index) -> list[int]:
    """tshark's has the three reserved bits above the nine."""
    flags, reserved = index.flags.astype(np.int64), columns.column(index, "tcp.reserved")
    return np.where(flags >= 0, flags | reserved << 9, -1).tolist()


def _kind(proto: int, name: str) -> Read:
    def read(index: Index) -> list[int]:
        values = columns.column(index, name)
        return np.where(index.proto == proto, values, -1).tolist()

    return read


def _tcp(index: Index) -> object:
    return (index.proto == 6) & (index.fragment == 0)


def _whole_tcp(index: Index) -> object:
    """TCP in packets that are no fragments: of a first fragment tshark tells no length of the segment."""
    more = (columns.column(index, "ip.flags") & 1 == 1) & (index.version == 4)
    return (index.proto == 6) & (index.fragment == 0) & ~more & (columns.column(index, "ip6.fragment.more") != 1)


def _number(text: str) -> int:
    return int(text, 0)


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _ip(text: str) -> int:
    return int.from_bytes(bytes(map(int, text.split("."))))


def _time(text: str) -> int:
    seconds, _, rest = text.partition(".")
    return int(seconds) * 10**9 + int(rest.ljust(9, "0")[:9])


# tshark's field -> (which of its occurrences, how it is written, labkit's column)
FIELDS: dict[str, tuple[int, Callable[[str], object], Read]] = {
    "frame.time_epoch": (0, _time, _held("time_ns")),
    "frame.len": (0, int, _held("frame_length")),
    "eth.src": (0, _mac, _column("eth.src")),
    "eth.dst": (0, _mac, _column("eth.dst")),
    "vlan.id": (0, _number, _column("eth.vlan.id")),
    "vlan.priority": (0, _number, _column("eth.vlan.priority")),
    "ip.src": (0, str, _address("source", 4)),
    "ip.dst": (0, str, _address("target", 4)),
    "ip.hdr_len": (0, int, _column("ip.header_length")),
    "ip.dsfield.dscp": (0, int, _column("ip.dscp")),
    "ip.dsfield.ecn": (0, int, _column("ip.ecn")),
    "ip.len": (0, int, _column("ip.length")),
    "ip.id": (0, _number, _held("ip_id")),
    "ip.flags": (0, _number, _column("ip.flags")),
    "ip.frag_offset": (0, int, _column("ip.fragment")),
    "ip.ttl": (0, int, _column("ip.ttl")),
    "ip.proto": (0, int, _column("ip.proto")),
    "ip.checksum": (0, _number, _column("ip.checksum")),
    "ipv6.src": (0, str, _address("source", 6)),
    "ipv6.dst": (0, str, _address("target", 6)),
    "ipv6.tclass": (0, _number, _column("ip6.class")),
    "ipv6.flow": (0, _number, _column("ip6.flow")),
    "ipv6.plen": (0, int, _column("ip6.length")),
    "ipv6.nxt": (0, int, _column("ip6.nexthdr")),
    "ipv6.hlim": (0, int, _column("ip6.hlim")),
    "ipv6.fraghdr.offset": (0, int, _column("ip6.fragment")),
    "ipv6.fraghdr.more": (0, int, _column("ip6.fragment.more")),
    "ipv6.fraghdr.ident": (0, _number, _column("ip6.fragment.id")),
    "tcp.srcport": (0, int, _held("sport", _tcp)),
    "tcp.dstport": (0, int, _held("dport", _tcp)),
    "tcp.seq_raw": (0, int, _held("seq")),
    "tcp.ack_raw": (0, int, _held("ack")),
    "tcp.hdr_len": (0, int, _column("tcp.header_length")),
    "tcp.flags": (0, _number, _flags),
    "tcp.window_size_value": (0, int, _held("window")),
    "tcp.checksum": (0, _number, _column("tcp.checksum")),
    "tcp.urgent_pointer": (0, int, _column("tcp.urgent")),
    "tcp.len": (0, int, _held("payload_length", _whole_tcp)),
    "tcp.options.mss_val": (0, int, _column("tcp.mss")),
    "tcp.options.wscale.shift": (0, int, _column("tcp.window_scale")),
    "tcp.options.sack_le": (0, int, _column("tcp.sack_left")),
    "tcp.options.sack_re": (0, int, _column("tcp.sack_right")),
    "tcp.options.timestamp.tsval": (0, int, _column("tcp.timestamp")),
    "tcp.options.timestamp.tsecr": (0, int, _column("tcp.timestamp_echo")),
    "udp.srcport": (0, int, _held("sport", lambda index: index.proto == 17)),
    "udp.dstport": (0, int, _held("dport", lambda index: index.proto == 17)),
    "udp.length": (0, int, _column("udp.length")),
    "udp.checksum": (0, _number, _column("udp.checksum")),
    "icmp.type": (0, int, _kind(1, "icmp.type")),
    "icmp.code": (0, int, _kind(1, "icmp.code")),
    "icmp.checksum": (0, _number, _kind(1, "icmp.checksum")),
    "icmpv6.type": (0, int, _kind(58, "icmp.type")),
    "icmpv6.code": (0, int, _kind(58, "icmp.code")),
    "icmpv6.checksum": (0, _number, _kind(58, "icmp.checksum")),
    "arp.opcode": (0, int, _column("arp.operation")),
    "arp.src.hw_mac": (0, _mac, _column("arp.src.mac")),
    "arp.src.proto_ipv4": (0, _ip, _column("arp.src.ip")),
    "arp.dst.hw_mac": (0, _mac, _column("arp.dst.mac")),
    "arp.dst.proto_ipv4": (0, _ip, _column("arp.dst.ip")),
}
# The same of the second tag, and of the packet that an ICMP error carries, which tshark lists behind the first
SECOND: dict[str, tuple[int, Callable[[str], object], Read]] = {
    "vlan.id": (1, _number, _column("eth.vlan.inner.id")),
    "vlan.priority": (1, _number, _column("eth.vlan.inner.priority")),
}
_PREFERENCES = (
    "ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE", "ip.use_geoip:FALSE",
    "tcp.analyze_sequence_numbers:FALSE", "tcp.relative_sequence_numbers:FALSE", "tcp.try_heuristic_first:FALSE",
    "ip.tso_support:TRUE",
)  # fmt: skip


_OUTER = {"vlan.id": "ieee8021ad.id", "vlan.priority": "ieee8021ad.priority"}  # what tshark calls a provider's tag


def said(path: Path, fields: list[str]) -> list[list[list[str]]]:
    """For each packet and field all its occurrences, as tshark writes them."""
    ask = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]
    ask += [word for preference in _PREFERENCES for word in ("-o", preference)]
    ask += [word for name in fields for word in ("-e", name)]
    lines = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    return [[cell.split("|") if cell else [] for cell in line.split("\t")] for line in lines]


def mismatches(path: Path, *, cut: bool = False) -> tuple[list[str], int]:
    """Where tshark and labkit differ, in words; and how many values were compared that are there.

    cut: the packets were cut short; of a header that is not there whole, tshark shows less.
    """
    recording: Recording = read_pcapng(path)
    index = build(recording)
    names = [*FIELDS, *_OUTER.values()]
    rows = said(path, names)
    for cells in rows:
        for name, outer in _OUTER.items():
            cells[names.index(name)] = cells[names.index(outer)] + cells[names.index(name)]
    assert len(rows) == len(index)
    inside = np.zeros(len(index), dtype=bool)
    inside[icmp.embedded(index).rows] = True
    found, compared = [], 0
    for (name, (turn, write, read)), place in [
        *zip(FIELDS.items(), range(len(FIELDS)), strict=True),
        *((item, names.index(item[0])) for item in SECOND.items()),
    ]:
        for row, (mine, cells) in enumerate(zip(read(index), rows, strict=True)):
            told = cells[place]
            theirs = write(told[turn]) if len(told) > turn else -1
            if mine == theirs:
                compared += mine != -1
                continue
            if inside[row] and mine == -1:
                continue  # of the packet inside an ICMP error: see `carried`
            if cut and theirs == -1 and recording.packets["captured"][row] < recording.packets["original"][row]:
                continue
            found.append(f"packet {row + 1}: {name} is {theirs} to tshark, {mine} to labkit")
    return found, compared


def carried(path: Path) -> tuple[list[str], int]:
    """The same for the packets that ICMP errors carry."""
    index = build(read_pcapng(path))
    inner = icmp.embedded(index)
    names = [*index.addresses, ""]
    rows = said(path, ["ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "tcp.srcport", "udp.srcport", "tcp.dstport",
                       "udp.dstport", "tcp.seq", "ip.id"])  # fmt: skip
    found = []
    for place, row in enumerate(inner.rows.tolist()):
        six, tcp = bool(inner.version[place] == 6), bool(inner.proto[place] == 6)
        cells = rows[row]
        theirs = [cells[six][1], cells[2 + six][1], int(cells[4 + (not tcp)][0]), int(cells[6 + (not tcp)][0])]
        mine = [names[inner.source[place]], names[inner.target[place]], inner.sport[place], inner.dport[place]]
        if tcp:
            theirs, mine = [*theirs, int(cells[8][0])], [*mine, inner.seq[place]]
        if not six:
            theirs, mine = [*theirs, int(cells[9][1], 0)], [*mine, inner.ip_id[place]]
        if mine != theirs:
            found.append(f"packet {row + 1}: it carries {theirs} to tshark, {mine} to labkit")
    return found, len(inner)
