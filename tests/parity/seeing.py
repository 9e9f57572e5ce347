"""What a capture and a lab show, as plain data without addresses, numbers that chance gave, and times."""

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from labkit import Capture, Lab
from labkit.analysis.ladder.choice import choose
from labkit.analysis.ladder.rows import build
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.views.ladder_text import ladder_text

from . import inside
from .naming import Names, port_name

_ADDRESSES = {"ip.src", "ip.dst", "ip6.src", "ip6.dst"}
_PORTS = {"tcp.sport", "tcp.dport", "udp.sport", "udp.dport"}
_LESS = {"ip.ttl", "ip6.hlim"}
_LEFT_OUT = re.compile(r"─ ((FIN|RST)\+)?(ACK|RST) seq|PSH\+ACK B seq ack ─|^Not drawn: ")  # of a ladder: see there


def macs(lab: Lab) -> dict[str, str]:
    """MAC address -> vantage point, as the hosts themselves say."""
    found = {}
    for spec in lab.topology.nodes:
        told = lab.nodes[spec.name].call(inside.interfaces)
        for vantage, interface in zip(spec.vantages, spec.interfaces, strict=True):
            found[str(told[interface.name]["mac"])] = vantage
    return found


def connections(cap: Capture, names: Names) -> list[dict[str, Any]]:
    """Every connection in order, and the ends it had at each vantage point.

    How many packets and bytes it took is left out: acknowledgements depend on microseconds, bodies tell addresses.
    So is how it ended: the capture may end before.
    """
    per = cap.connections(per="vantage")
    found = []
    for row in cap.connections().itertuples():
        seen = per[per["connection"] == row.connection]
        found.append(
            {
                "seen at": row.seen_at,
                "paired with": row.paired_with,
                "proto": row.proto,
                "ends": {
                    one.vantage: (names.end(one.client, one.client_port), names.end(one.server, one.server_port))
                    for one in seen.itertuples()
                },
                "whole everywhere": len(set(zip(seen["packets_out"], seen["packets_in"], strict=True))) == 1,
            }
        )
    return found


def trajectories(cap: Capture, names: Names) -> dict[str, Any]:
    """Way -> hop -> field -> before and after, of all packets of connections; and whether every one is certain.

    What hosts ask each other to find their MAC addresses is left out: they ask now and then.
    """
    ways: dict[str, dict[str, dict[str, set[str]]]] = {}
    table = cap.trajectories()
    table = table[table["connection"].notna()]
    for row in table.itertuples():
        way = ways.setdefault(" ".join(row.path), {})
        for (here, there), changes in zip(pairwise(row.path), row.rewritten, strict=True):
            hop = way.setdefault(f"{here} → {there}", {})
            for field, (before, after) in changes.items():
                hop.setdefault(field, set()).add(_change(names, field, before, after))
    return {"ways": ways, "certain": bool(table["certain"].all())}


def _change(names: Names, field: str, before: Any, after: Any) -> str:
    if field in _LESS:
        return f"{after - before:+d}"
    if field.endswith("checksum"):
        return "another"
    if field.startswith("eth."):
        return f"{names.mac(before)} → {names.mac(after)}"
    if field in _ADDRESSES:
        return f"{names.address(before)} → {names.address(after)}"
    if field in _PORTS:
        return f"{port_name(before)} → {port_name(after)}"
    return f"{before} → {after}"


def visibility(cap: Capture) -> list[tuple[Any, ...]]:
    """Of every field: its layer, where it was seen, what the balancer did with it, and whether it was rewritten.

    Checksums follow from the rest, and one in 65,536 stays the same by chance: whether they were is left out.
    """
    table = cap.visibility(full=True)
    places = [name for name in table.columns if name not in ("layer", "field", "state", "rewritten")]
    return [
        (
            row["layer"],
            row["field"],
            tuple(place for place in places if row[place] is not None),
            row["state"],
            None if row["field"].endswith("checksum") else bool(row["rewritten"]),
        )
        for _, row in table.iterrows()
    ]


def decisions(lab: Lab, names: Names, last: int) -> list[tuple[Any, ...]]:
    """The *last* decisions: mode, connection, what was read, rule, backend, request."""
    table = lab.balancer.decisions().tail(last)
    columns = ["mode", "connection", "read", "rule", "backend", "request"]
    return [tuple(map(names.plain, row)) for row in table[columns].itertuples(index=False, name=None)]


def exchanges(cap: Capture, names: Names) -> list[tuple[Any, ...]]:
    columns = ["method", "target", "host", "status", "rule", "backend", "front_connection", "back_connection",
               "front", "back", "version", "websocket", "error", "messages"]  # fmt: skip
    return [tuple(map(names.plain, row)) for row in cap.exchanges()[columns].itertuples(index=False, name=None)]


def messages(cap: Capture) -> list[tuple[str, str, str]]:
    """What WebSockets said: from whom to whom, its kind, its text. Each way in order; which comes first varies."""
    said = [(row.direction, row.kind, row.text) for row in cap.messages().itertuples()]
    return sorted(said, key=lambda told: told[0], reverse=True)


def ladder(cap: Capture, names: Names) -> list[str]:
    """The ladder's lines, those of one kind together: who sent what to whom, and where it was rewritten.

    How far apart the rails stand, numbers, sizes and times are left out. So are bare acknowledgements: whether one is
    sent or goes along with the next segment, and into how many segments an answer falls, is a matter of microseconds.
    What Docker's bridge says meanwhile is a difference that is told (`differences`).
    """
    study = Study(cap.recording)
    routes = Routes(study)
    drawn = build(study, routes, choose(study))
    lines = map(_line, names.text(ladder_text(drawn, width=1_000)).splitlines())
    return sorted({line for line in lines if line and not _LEFT_OUT.search(line)})


def _line(line: str) -> str:
    for pattern, word in (
        (r"^\s*\+[\d.,]+ (µs|ms|s) ", ""),
        (r"(seq|ack|packet|holding) \d+", r"\1"),
        (r"\d+ B ", "B "),
        (r"· (RETRANSMISSION|OUT OF ORDER) ", ""),
        (r"( #\d+)+", " #"),
        (r"─+", "─"),
        (r"\s+", " "),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()


def rules(lab: Lab, names: Names) -> list[str]:
    """What the data plane runs, line by line: with its counters at no value, without the flows that it remembers."""
    text = re.sub(r"packets \d+ bytes \d+", "packets N bytes N", names.text(lab.balancer.rules))
    return re.sub(r"\n\s*elements = \{[^}]*\}", "", text).splitlines()


def segments(cap: Capture) -> dict[str, dict[str, int]]:
    """Vantage point -> the largest frame and TCP payload there, and how many bytes were carried, each once."""
    table = cap.packets()
    table = table[table["proto"] == "TCP"]
    return {
        str(vantage): {
            "largest frame": int(rows["frame_length"].max()),
            "largest payload": int(rows["payload_length"].max()),
            "bytes": int(rows.drop_duplicates(["src", "seq", "payload_length"])["payload_length"].sum()),
        }
        for vantage, rows in table.groupby("vantage", observed=True)
    }


def flags(cap: Capture, at: str) -> Counter[str]:
    """How often each combination of flags was seen at a vantage point."""
    table = cap.packets(at=at)
    return Counter(map(str, table[table["proto"] == "TCP"]["flags"]))
