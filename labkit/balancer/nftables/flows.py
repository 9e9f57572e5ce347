"""The connections that the kernel tracks at this moment, dumped over netlink; and the deletion of some of them.

What is translated, what ends in lb and what lb itself opened all stand here, IPv4 and IPv6. Which backend an address
belongs to is not known here. Attributes: the kernel's ``linux/netfilter/nfnetlink_conntrack.h``.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labkit.errors import EngineError

from .conntrack import DESTINATION_TRANSLATED, STATUS, TUPLE_ORIGINAL, TUPLE_REPLY, Endpoints, endpoints
from .netlink import ACK, DUMP, FAMILY, Message, Netlink, as_int, attribute, attributes, nested

CONNTRACK, GET, DELETE = 1 << 8, 1, 2
PROTOINFO, TIMEOUT, MARK, COUNTERS_ORIGINAL, COUNTERS_REPLY, ID, TIMESTAMP = 4, 7, 8, 9, 10, 12, 20
SEEN_REPLY, ASSURED = 0x2, 0x4  # bits of the status
TCP_STATES = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
    "SYN_SENT2",
)  # fmt: skip
OVER = frozenset(("TIME_WAIT", "CLOSE"))
TRIES = 5


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection. began_ns: Unix time, or None where the kernel keeps none. key: how to delete it."""

    original: Endpoints
    reply: Endpoints
    state: str
    translated: bool
    timeout: int  # seconds until it is forgotten, if nothing comes
    packets: tuple[int, int]  # as the client sent them, and the answers; 0 where they are not counted
    octets: tuple[int, int]
    began_ns: int | None
    mark: int
    key: tuple[int, bytes]

    @property
    def open(self) -> bool:
        """Whether either side may still send."""
        return self.state not in OVER


def flows(netlink: Netlink) -> list[Flow]:
    """All TCP and UDP connections tracked now. EngineError if the kernel gives no list."""
    request = Message(CONNTRACK | GET, 0, b"", "the list of connections", DUMP)
    for _ in range(TRIES):
        with suppress(InterruptedError):
            return list(_flows(netlink.dump(request)))
    raise EngineError("The kernel's table of connections changes faster than it can be read; ask again.")


def forget(netlink: Netlink, some: Iterable[Flow]) -> None:
    """Delete the entries of *some*; one that has gone by itself is passed over."""
    for flow in some:
        family, payload = flow.key
        with suppress(EngineError):
            netlink.dump(Message(CONNTRACK | DELETE, family, payload, "the deletion of a connection", ACK))


def plain(flow: Flow) -> dict[str, Any]:
    """A flow as it travels to the owner."""
    ends = [[one.source, one.source_port, one.destination, one.destination_port] for one in (flow.original, flow.reply)]
    return {
        "proto": flow.original.protocol,
        "original": ends[0],
        "reply": ends[1],
        "state": flow.state,
        "translated": flow.translated,
        "timeout": flow.timeout,
        "packets": list(flow.packets),
        "bytes": list(flow.octets),
        "began_ns": flow.began_ns,
    }


def _flows(bodies: Iterable[bytes]) -> Iterator[Flow]:
    for body in bodies:
        found = dict(attributes(body[FAMILY.size :]))
        original, reply = endpoints(found.get(TUPLE_ORIGINAL, b"")), endpoints(found.get(TUPLE_REPLY, b""))
        if original is None or reply is None:
            continue
        status = as_int(found.get(STATUS, b""))
        counters = [dict(attributes(found.get(kind, b""))) for kind in (COUNTERS_ORIGINAL, COUNTERS_REPLY)]
        started = dict(attributes(found.get(TIMESTAMP, b""))).get(1)
        yield Flow(
            original,
            reply,
            _state(original.protocol, status, found.get(PROTOINFO, b"")),
            bool(status & DESTINATION_TRANSLATED),
            as_int(found.get(TIMEOUT, b"")),
            (as_int(counters[0].get(1, b"")), as_int(counters[1].get(1, b""))),
            (as_int(counters[0].get(2, b"")), as_int(counters[1].get(2, b""))),
            as_int(started) if started else None,
            as_int(found.get(MARK, b"")),
            (body[0], nested(TUPLE_ORIGINAL, found[TUPLE_ORIGINAL]) + attribute(ID, found.get(ID, bytes(4)))),
        )


def _state(protocol: str, status: int, info: bytes) -> str:
    """TCP: the state as conntrack names it. UDP has none: whether it was answered, and whether that goes on."""
    if protocol == "UDP":
        return "ASSURED" if status & ASSURED else "REPLIED" if status & SEEN_REPLY else "UNREPLIED"
    tcp = dict(attributes(dict(attributes(info)).get(1, b"")))
    number = as_int(tcp.get(1, b""))
    return TCP_STATES[number] if number < len(TCP_STATES) else str(number)
