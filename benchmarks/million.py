"""A capture of a million packets and more, as four vantage points of the default lab would record it at L4.

Made with numpy, the same for the same numbers: short, kept-alive and bulk TCP connections over IPv4 and IPv6 with
timestamps, UDP questions and answers, some retransmissions, correct checksums, and the balancer's decisions.
"""

from ipaddress import ip_address
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.recording import PACKET_DTYPE, Loss, Recording, Vantage

VANTAGES = ("alice", "bob", "lb:front", "lb:back", "api1", "api2", "images1", "images2")
CLIENTS, BACKENDS = VANTAGES[:2], VANTAGES[4:]
START = 1_700_000_000_000_000_000
FIN, SYN, PSH, ACK = 1, 2, 8, 16
_HOSTS = {"alice": 11, "bob": 12, "api1": 11, "api2": 12, "images1": 21, "images2": 22}
_ASK = b"GET /api/users?tag=%016d HTTP/1.1\r\nHost: lb\r\nUser-Agent: benchmark\r\nAccept: */*\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 16\r\nx-tag: %016d\r\n\r\n"

Array = npt.NDArray[Any]
Script = list[tuple[int, int, int]]  # by whom (0 the client), flags, payload bytes


def _scripts() -> list[tuple[float, int, Script]]:
    """(share of the connections, protocol, packets) of each kind of conversation."""
    opened: Script = [(0, SYN, 0), (1, SYN | ACK, 0), (0, ACK, 0)]
    closed: Script = [(0, FIN | ACK, 0), (1, FIN | ACK, 0), (0, ACK, 0)]
    ask, answer = (0, PSH | ACK, len(_ASK % 0)), (1, PSH | ACK, 400)
    short: Script = [*opened, ask, (1, ACK, 0), answer, (0, ACK, 0), *closed]
    kept: Script = [*opened, *([ask, answer, (0, ACK, 0)] * 8), *closed]
    bulk: Script = [*opened, ask, *([(1, ACK, 1448), (1, ACK, 1448), (0, ACK, 0)] * 15), *closed]
    again: Script = [*short[:4], short[3], *short[4:]]  # the request is sent twice
    return [(0.5, 6, short), (0.29, 6, kept), (0.1, 6, bulk), (0.01, 6, again), (0.1, 17, [(0, 0, 40), (1, 0, 120)])]


def recording(packets: int, seed: int = 1) -> Recording:
    """A recording of about *packets* observations (four to a packet), sorted by time."""
    generator = np.random.Generator(np.random.PCG64(seed))
    scripts = _scripts()
    mean = 4 * sum(share * len(script) for share, _, script in scripts)
    talks = max(1, round(packets / mean))
    parts, first = [], 0
    decisions: list[dict[str, Any]] = []
    for share, proto, script in scripts:
        count = max(1, round(talks * share))
        parts += _played(generator, script, proto, count, first, decisions)
        first += count
    time = np.concatenate([part[0] for part in parts])
    vantage = np.concatenate([part[1] for part in parts])
    length = np.concatenate([np.full(len(part[0]), part[2].shape[1]) for part in parts])
    data = np.concatenate([part[2].ravel() for part in parts])
    offset = np.cumsum(length) - length
    order = np.argsort(time, kind="stable")
    rows = np.zeros(len(time), PACKET_DTYPE)
    columns = {"time_ns": time, "vantage": vantage, "offset": offset, "captured": length, "original": length}
    for name, values in columns.items():
        rows[name] = values[order]
    counts = np.bincount(vantage, minlength=len(VANTAGES)).tolist()
    events = sorted([_topology(), *_mode(), *decisions], key=lambda event: int(event["time_ns"]))
    return Recording(
        tuple(Vantage(name, name.partition(":")[0], name.partition(":")[2] or "eth0") for name in VANTAGES),
        rows, data, {name: Loss(count, 0) for name, count in zip(VANTAGES, counts, strict=True)}, events,
    )  # fmt: skip


def _played(
    generator: np.random.Generator, script: Script, proto: int, count: int, first: int, decisions: list[dict[str, Any]]
) -> list[tuple[Array, Array, Array]]:
    """All observations of *count* conversations: (times, vantage points, frames as rows) for each packet and hop."""
    talk = np.arange(count) + first
    six = (talk % 20 == 7) & (proto == 6)
    client, backend = talk % 2, 4 + talk % 4
    sport = 20_000 + talk % 40_000
    began = START + generator.integers(0, 60 * 10**9, count)
    isn = generator.integers(0, 2**32, (2, count))
    ids = generator.integers(1, 2**15, (2, count))
    sent = np.zeros((2, count), np.int64)
    tag = np.stack([np.frombuffer(b"%016d" % number, np.uint8) for number in talk.tolist()])
    parts = []
    moment = began.copy()
    for place, (by, flags, size) in enumerate(script):
        repeated = place > 0 and script[place - 1] == (by, flags, size) and flags & PSH > 0 and by == 0
        moment = moment + (200_000_000 if repeated else 0) + generator.integers(150_000, 300_000, count)
        seq = (isn[by] + sent[by] - (size if repeated else 0)) & 0xFFFFFFFF
        ack = (isn[1 - by] + sent[1 - by]) & 0xFFFFFFFF if flags & ACK else np.zeros(count, np.int64)
        if not repeated:
            sent[by] += size + (flags & SYN > 0) + (flags & FIN > 0)
        ids[by] += 1
        payload = np.full((count, size), ord("x"), np.uint8)
        if size:
            text = (_ASK if by == 0 else _ANSWER) % 0
            text = text[:size]
            payload[:, : len(text)] = np.frombuffer(text, np.uint8)
            at = text.find(b"0" * 16)
            payload[:, at if at >= 0 else 0 : (at if at >= 0 else 0) + 16] = tag
        for version, some in ((4, ~six), (6, six)):
            chosen = np.flatnonzero(some)
            if not len(chosen):
                continue
            for hop in range(4):
                behind = hop >= 2 if by == 0 else hop < 2
                place_of = (client, np.full(count, 2), np.full(count, 3), backend)[hop if by == 0 else 3 - hop]
                frame = _frames(
                    version, proto, by, behind, hop >= 2, client[chosen], backend[chosen], sport[chosen], seq[chosen],
                    ack[chosen], flags, ids[by][chosen] & 0xFFFF, payload[chosen], moment[chosen],
                )  # fmt: skip
                parts.append((moment[chosen] + hop * 12_000 + talk[chosen] % 7, place_of[chosen], frame))
    decisions += [
        _decision(int(began[i]), proto, 6 if six[i] else 4, int(client[i]), int(sport[i]), int(backend[i]))
        for i in range(count)
    ]
    return parts


def _decision(began: int, proto: int, version: int, client: int, sport: int, backend: int) -> dict[str, Any]:
    return {
        "kind": "decision", "time_ns": began + 170_000, "mode": "l4", "proto": "TCP" if proto == 6 else "UDP",
        "client": _address(version, CLIENTS[client], 1), "client_port": sport,
        "server": _address(version, "lb", 1), "server_port": 80,
        "backend": VANTAGES[backend], "backend_address": _address(version, VANTAGES[backend], 2), "backend_port": 80,
        "rule": "http-80", "read": ["ip.dst", "tcp.dport"],
    }  # fmt: skip


def _address(version: int, name: str, link: int) -> str:
    host = _HOSTS.get(name, 10)
    return f"10.0.{link}.{host}" if version == 4 else f"fd00:10:0:{link}::{host}"


def _frames(
    version: int, proto: int, by: int, behind: bool, passed: bool, client: Array, backend: Array, sport: Array,
    seq: Array, ack: Array, flags: int, ip_id: Array, payload: Array, moment: Array,
) -> Array:  # fmt: skip
    """Frames of equal length, one a row, with right checksums."""
    count, size = payload.shape
    l4 = 32 if proto == 6 else 8
    ip = 20 if version == 4 else 40
    out = np.zeros((count, 14 + ip + l4 + size), np.uint8)
    clients = np.stack([_packed(version, name, 1) for name in CLIENTS])[client]
    backends = np.stack([_packed(version, name, 2) for name in BACKENDS])[backend - 4]
    server = backends if behind else np.broadcast_to(_packed(version, "lb", 1), clients.shape)
    source, target = (clients, server) if by == 0 else (server, clients)
    out[:, 0:6], out[:, 6:12] = (2, 0, 0, 0, 0, 9 if passed else 1), (2, 0, 0, 0, 0, 8 if passed else 2)
    out[:, 12:14] = (8, 0) if version == 4 else (0x86, 0xDD)
    head, tail = out[:, 14 : 14 + ip], out[:, 14 + ip :]
    if version == 4:
        head[:, 0], head[:, 6], head[:, 8], head[:, 9] = 0x45, 0x40, 64 - passed, proto
        head[:, 2:4] = _big(np.full(count, ip + l4 + size), 2)
        head[:, 4:6] = _big(ip_id, 2)
        head[:, 12:16], head[:, 16:20] = source, target
        head[:, 10:12] = _big(_folded(_sum(head)), 2)
    else:
        head[:, 0], head[:, 6], head[:, 7] = 0x60, proto, 64 - passed
        head[:, 4:6] = _big(np.full(count, l4 + size), 2)
        head[:, 8:24], head[:, 24:40] = source, target
    ports = (sport, np.full(count, 80))
    tail[:, 0:2], tail[:, 2:4] = _big(ports[by], 2), _big(ports[1 - by], 2)
    if proto == 6:
        tail[:, 4:8], tail[:, 8:12] = _big(seq, 4), _big(ack, 4)
        tail[:, 12], tail[:, 13], tail[:, 14:16] = 0x80, flags, (0xFA, 0xF0)
        tail[:, 20:24] = (1, 1, 8, 10)
        tail[:, 24:28] = _big(moment // 1_000_000 & 0xFFFFFFFF, 4)
    else:
        tail[:, 4:6] = _big(np.full(count, l4 + size), 2)
    tail[:, l4:] = payload
    pseudo = _sum(source) + _sum(target) + proto + l4 + size
    at = 16 if proto == 6 else 6
    tail[:, at : at + 2] = _big(_folded(_sum(tail) + pseudo), 2)
    return out


def _packed(version: int, name: str, link: int) -> Array:
    return np.frombuffer(ip_address(_address(version, name, link)).packed, np.uint8)


def _big(values: Array, width: int) -> Array:
    return np.ascontiguousarray(values, dtype=f">u{width}").view(np.uint8).reshape(-1, width)


def _sum(rows: Array) -> Array:
    """Sum of the 16-bit words of each row (RFC 1071)."""
    even = rows[:, : rows.shape[1] // 2 * 2]
    total = even[:, 0::2].sum(axis=1, dtype=np.int64) * 256 + even[:, 1::2].sum(axis=1, dtype=np.int64)
    return np.asarray(total + (rows[:, -1].astype(np.int64) * 256 if rows.shape[1] % 2 else 0))


def _folded(total: Array) -> Array:
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _topology() -> dict[str, Any]:
    def node(name: str, role: str, *links: int) -> dict[str, Any]:
        addresses = [_address(version, name, link) for link in links for version in (4, 6)]
        return {"name": name, "role": role, "addresses": addresses, "interfaces": ["eth0"]}

    nodes = [node(name, "client", 1) for name in CLIENTS]
    nodes += [node("lb", "balancer", 1, 2), *(node(name, "backend", 2) for name in BACKENDS)]
    return {"kind": "topology", "time_ns": START - 3, "runtime": "netns", "vip": ["10.0.1.10", "fd00:10:0:1::10"],
            "pools": {"api": ["api1", "api2"], "images": ["images1", "images2"]}, "nodes": nodes}  # fmt: skip


def _mode() -> list[dict[str, Any]]:
    loads = ["ip.dst", "tcp.dport", "ct.state"]
    return [
        {"kind": "mode", "time_ns": START - 2, "mode": "l4", "engine": "nftables"},
        {"kind": "rules", "time_ns": START - 1, "text": "table inet labkit {}", "reads": loads},
    ]
