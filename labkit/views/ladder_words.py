"""The words of a ladder, for the picture and for its text alternative alike."""

from collections.abc import Mapping

from labkit.analysis.ladder.model import Arrow, Beside, Choice, Part, Run
from labkit.analysis.ladder.rails import Rail

_FLAGS = {"S": "SYN", "A": "ACK", "F": "FIN", "R": "RST", "P": "PSH", "U": "URG", "E": "ECE", "C": "CWR", "N": "AE"}
_ENDS = {  # how a rewritten address and port are called, and the fields they stand in
    "src": (("ip.src", "ip6.src"), ("tcp.sport", "udp.sport")),
    "dst": (("ip.dst", "ip6.dst"), ("tcp.dport", "udp.dport")),
}


def size(count: int) -> str:
    """ "66 B", "58.4 KB" (of 1,000 bytes)."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def elapsed(after_ns: int) -> str:
    """ "+91 µs", "+1.84 ms", "+2.10 s"."""
    for unit, scale in (("s", 10**9), ("ms", 10**6)):
        if abs(after_ns) >= scale:
            return f"{after_ns / scale:+.2f} {unit}"
    return f"{after_ns / 1000:+.0f} µs"


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def flags(arrow: Arrow) -> str:
    return "+".join(_FLAGS.get(flag, flag) for flag in arrow.flags) or arrow.proto


def head(arrow: Arrow) -> str:
    """ "PSH+ACK 66 B", with what is remarkable about it."""
    return " · ".join([f"{flags(arrow)} {size(arrow.length)}" if arrow.length else flags(arrow), *notes(arrow)])


def notes(arrow: Arrow) -> list[str]:
    """What is remarkable, in capitals so that it is found without colour."""
    return [*(mark.upper() for mark in arrow.marks), *([] if arrow.certain else ["MATCHED BY ORDER"])]


def says(arrow: Arrow) -> str:
    return arrow.says or ("encrypted" if arrow.encrypted else "")


def numbers(arrow: Arrow) -> str:
    """The absolute sequence numbers, where the protocol has them."""
    if arrow.seq is None:
        return ""
    return f"seq {arrow.seq} ack {arrow.ack}" if "A" in arrow.flags else f"seq {arrow.seq}"


def tag(rewritten: Mapping[str, tuple[object, object]]) -> str:
    """The new label: "dst 10.0.1.10 → 10.0.2.11", with ports where they changed; empty if ends were left alone."""
    told = []
    for name, (addresses, ports) in _ENDS.items():
        address = next((rewritten[field] for field in addresses if field in rewritten), None)
        port = next((rewritten[field] for field in ports if field in rewritten), None)
        if address and port:
            told.append(f"{name} {_end(address[0], port[0])} → {_end(address[1], port[1])}")
        elif address:
            told.append(f"{name} {address[0]} → {address[1]}")
        elif port:
            told.append(f"{name} port {port[0]} → {port[1]}")
    return "; ".join(told)


def _end(address: object, port: object) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def change(rewritten: Mapping[str, tuple[object, object]]) -> str:
    """Every rewritten field, "ip.ttl 64 → 63; …"."""
    return "; ".join(f"{name} {before} → {after}" for name, (before, after) in rewritten.items())


def place(number: int, rails: tuple[Rail, ...], box: str | None) -> str:
    """A rail by its name, or its host's."""
    return rails[number].name or box or rails[number].node


def run_part(part: Part, names: tuple[str, str] | None, proto: str) -> str:
    """ "41 segments, 58.0 KB api1 → alice; 20 ACKs"; without names "41 segments, 58.0 KB ←; 20 ACKs"."""
    client, server = names or ("", "")
    told = []
    for count, total, way in (
        (part.segments_out, part.bytes_out, f"{client} → {server}" if names else "→"),
        (part.segments_in, part.bytes_in, f"{server} → {client}" if names else "←"),
    ):
        if count:
            told.append(f"{counted(count, 'segment' if proto == 'TCP' else 'datagram')}, {size(total)} {way}")
    if part.bare:
        told.append(counted(part.bare, "ACK"))
    return "; ".join(told)


def run_packets(run: Run) -> str:
    return f"packets {run.first} to {run.last}"


def beside(others: Beside) -> str:
    """ "Not drawn: 5 packets of Docker's bridge, which is no host of this lab (3 ICMPv6, 2 IGMP)"."""
    spoke = ", ".join(f"{count:,} {name}" for name, count in others.protocols.items())
    packets = counted(sum(others.protocols.values()), "packet")
    return f"Not drawn: {packets} of {others.called}, which is no host of this lab ({spoke})"


def decided(choice: Choice) -> str:
    """ "decided on packet 7, holding 0 bytes of the request"."""
    where = {"l4": "on"}.get(choice.mode, "after")
    at = "decided" if choice.packet is None else f"decided {where} packet {choice.packet}"
    return at if choice.held is None else f"{at}, holding {counted(choice.held, 'byte')} of {choice.of}"


def verdict(choice: Choice) -> str:
    """ "/api/* → api1; used http.target"."""
    way = " → ".join(filter(None, [choice.rule, choice.backend])) or "no backend: answered by the balancer"
    return f"{way}; used {', '.join(choice.read) or 'nothing'}"
