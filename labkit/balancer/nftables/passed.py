"""The flows that are passed on directly (direct server return), read from the maps that remember them.

The kernel tracks none of them: lb sees what clients send and no answer. So of each is known who talks to whom, which
backend has it, whether the client has begun to end it, and for how long it is still remembered; nothing is counted.
See `direct`, which fills the maps.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labkit.errors import EngineError

from .direct import FAMILIES, NUMBER, Place
from .netlink import DUMP, FAMILY, NFTABLES, Message, Netlink, as_int, attributes, nested, text
from .schema import pack_data, unpack_data
from .values import TABLE, Family

GETSET, GETSETELEM, DELSETELEM = 10, 13, 14
KEY, DATA, EXPIRES = 1, 2, 5  # of an element
ROUNDS, A_MESSAGE = 5, 500
ENDINGS = {"tcp": (("", "OPEN"), ("_closing", "CLOSING")), "udp": (("", "OPEN"),)}


@dataclass(frozen=True, slots=True)
class Passed:
    """A flow that is passed on. closing: the client has sent a FIN or RST. timeout: seconds until it is forgotten."""

    protocol: str  # TCP | UDP
    client: str
    client_port: int
    vip: str
    port: int
    backend: str
    state: str  # OPEN | CLOSING
    timeout: int
    map: str
    key: bytes


def passed(netlink: Netlink, vips: Sequence[str | None], place: Place) -> list[Passed]:
    """All of them at this moment; none where there was no direct server return yet. EngineError if there is no list."""
    for _ in range(ROUNDS):
        with suppress(InterruptedError):
            there = _maps(netlink)
            return [flow for each in _wanted(vips) if each[0] in there for flow in _read(netlink, place, *each)]
    raise EngineError("The maps of flows that are passed on change faster than they can be read; ask again.")


def forget(netlink: Netlink, some: Sequence[Passed]) -> None:
    """Delete *some* from the maps; one that has gone by itself is passed over."""
    for name in dict.fromkeys(flow.map for flow in some):
        keys = [flow.key for flow in some if flow.map == name]
        for start in range(0, len(keys), A_MESSAGE):
            part = keys[start : start + A_MESSAGE]
            try:
                netlink.commit([_deletion(name, part)])
            except EngineError:  # one of them is not there, and so none was deleted
                for key in part:
                    with suppress(EngineError):
                        netlink.commit([_deletion(name, [key])])


def plain(flow: Passed) -> dict[str, Any]:
    """A flow as it travels to the owner: as `flows.plain` writes one, with the backend's name and no counts."""
    ends = [flow.client, flow.client_port, flow.vip, flow.port]
    return {
        "proto": flow.protocol,
        "original": ends,
        "reply": [*ends[2:], *ends[:2]],
        "state": flow.state,
        "passed": flow.backend,
        "translated": False,
        "timeout": flow.timeout,
        "packets": [None, None],
        "bytes": [None, None],
        "began_ns": None,
    }


def _wanted(vips: Sequence[str | None]) -> Iterator[tuple[str, str, Family, str, str]]:
    """Name of the map, protocol, family, the VIP of that family, and the state of its flows."""
    for family, vip in zip(FAMILIES, vips, strict=True):
        for transport, endings in ENDINGS.items():
            for ending, state in endings:
                if vip:
                    yield f"{transport}{NUMBER[family]}{ending}", transport.upper(), family, vip, state


def _maps(netlink: Netlink) -> set[str]:
    """The names of labkit's maps at ingress."""
    listed = netlink.dump(Message(NFTABLES << 8 | GETSET, Family.NETDEV, b"", "the list of maps", DUMP))
    found = [dict(attributes(answer[FAMILY.size :])) for answer in listed]
    return {one[2].rstrip(b"\0").decode() for one in found if one[1] == TABLE.encode() + b"\0"}


def _read(
    netlink: Netlink, place: Place, name: str, protocol: str, family: Family, vip: str, state: str
) -> Iterator[Passed]:
    names = {place.number(backend.name): backend.name for backend in place.backends}
    request = Message(NFTABLES << 8 | GETSETELEM, Family.NETDEV, text(1, TABLE) + text(2, name), f"map {name}", DUMP)
    for element in _elements(netlink.dump(request)):
        key, number = unpack_data(element[KEY]), unpack_data(element[DATA])
        if not isinstance(key, bytes) or not isinstance(number, bytes) or number not in names:
            continue
        length = len(key) - 8
        client = socket.inet_ntop(socket.AF_INET if family == Family.IP else socket.AF_INET6, key[:length])
        client_port, port = struct.unpack("!H2xH2x", key[length:])
        left = as_int(element.get(EXPIRES, b"")) // 1000
        yield Passed(protocol, client, client_port, vip, port, names[number], state, left, name, key)


def _elements(answers: Iterable[bytes]) -> Iterator[dict[int, bytes]]:
    for answer in answers:
        found = dict(attributes(answer[FAMILY.size :]))
        for _, element in attributes(found.get(3, b"")):
            yield dict(attributes(element))


def _deletion(name: str, keys: Sequence[bytes]) -> Message:
    elements = nested(3, *(nested(1, pack_data(KEY, key)) for key in keys))
    payload = text(1, TABLE) + text(2, name) + elements
    return Message(NFTABLES << 8 | DELSETELEM, Family.NETDEV, payload, f"the removal of flows from map {name}")
