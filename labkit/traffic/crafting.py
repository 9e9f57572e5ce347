"""Scapy packets, sent from inside a host as they are, and their answers: the notebook's side of ``node.send/sr/sr1``.

The one place outside analysis that knows scapy, and only when packets are sent. Scapy builds the bytes here; what a
packet leaves open (source, MAC addresses) is filled in from the host that sends, never from this machine, whose routes
scapy would otherwise ask. The host sends and listens (`labkit.traffic.crafted`); answers are matched here, by scapy.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from labkit.errors import TrafficError
from labkit.traffic.packet_ends import IPV4, IPV6, TCP, UDP, ether_type, payload_at
from labkit.traffic.remote import Line, new_key
from labkit.traffic.spec import check_flag, check_seconds, check_text
from labkit.wording import short, shown

TIMEOUT = 2.0
MOST = 10_000
MOST_BYTES = 32 << 20
MOST_ANSWERS = 100_000
_SENDING = 60.0
_WAIT = 1.0  # seconds that one question for answers may take
_HEAD, _TAG = 14, 4  # bytes of an Ethernet header and of a VLAN tag


@dataclass(frozen=True, slots=True)
class Crafted:
    """A packet ready to leave. query: as scapy reads the very bytes that are sent, from the layer the user began at.

    frame: None for one of several that cannot leave, since nobody answers for its next hop.
    """

    query: Any
    interface: str
    frame: bytes | None


def send(line: Line, packets: Any, interface: str | None) -> int:
    """Send *packets*; how many that were."""
    ready = _prepare(line, packets, interface)
    leaving = [one for one in ready if one.frame is not None]
    return int(_emit(line, leaving, new_key("crafted"), listen=False)["sent"])


def sr(line: Line, packets: Any, timeout: float, interface: str | None, multi: bool) -> tuple[Any, Any]:
    """Send *packets* and wait for answers: scapy's SndRcvList of (sent, received) and PacketList of those without."""
    from scapy.plist import PacketList, QueryAnswer, SndRcvList

    check_flag("multi", multi)
    queries, pairs = _exchange(
        line, packets, timeout, interface, multi, lambda found, most: not multi and found == most
    )
    answered = {id(query) for query, _ in pairs}
    return (
        SndRcvList([QueryAnswer(*pair) for pair in pairs], "Results"),
        PacketList([query for query in queries if id(query) not in answered], "Unanswered"),
    )


def sr1(line: Line, packets: Any, timeout: float, interface: str | None) -> Any:
    """Send *packets* and give the first answer to any of them, or None after *timeout* seconds."""
    _, pairs = _exchange(line, packets, timeout, interface, False, lambda found, _: found > 0)
    return pairs[0][1] if pairs else None


def _exchange(
    line: Line, packets: Any, timeout: float, interface: str | None, multi: bool, enough: Callable[[int, int], bool]
) -> tuple[list[Any], list[tuple[Any, Any]]]:
    patience = check_seconds("timeout", timeout)
    ready = _prepare(line, packets, interface)
    key = new_key("crafted")
    lost = 0
    try:
        leaving = [one for one in ready if one.frame is not None]
        times = _emit(line, leaving, key, listen=True)["times"]
        for one, time_ns in zip(leaving, times, strict=True):
            one.query.sent_time = one.query.time = time_ns / 1e9
        matcher = _Matcher(leaving, multi)
        deadline = time.monotonic() + patience
        left = patience
        while left > 0 and not enough(len(matcher.pairs), len(leaving)) and len(matcher.pairs) < MOST_ANSWERS:
            left = deadline - time.monotonic()  # none left: what came in time is still taken
            wait = min(max(left, 0.0), _WAIT)
            heard = line.ask("waiting for answers", "crafted:receive", key, wait, timeout=wait)
            lost += heard["lost"]
            for time_ns, frame in heard["frames"]:
                matcher.hear(time_ns, frame)
    finally:
        line.close(key)
    if lost:
        warnings.warn(f"{line.client} could not keep {lost:,} frames: answers may be missing", stacklevel=4)
    return [one.query for one in ready], matcher.pairs


def _emit(line: Line, ready: list[Crafted], key: str, *, listen: bool) -> dict[str, Any]:
    frames = [[one.interface, one.frame] for one in ready]
    return line.ask(_doing(ready), "crafted:send", key, frames, listen, timeout=_SENDING, give_up=key)


def _doing(ready: list[Crafted]) -> str:
    return f"sending {_layers(ready[0].query)}" if len(ready) == 1 else f"sending {len(ready):,} packets"


def _layers(packet: Any) -> str:
    return "/".join(type(layer).__name__ for layer in packet.iterpayloads())


# what is to be sent


def _prepare(line: Line, packets: Any, interface: str | None) -> list[Crafted]:
    """Everything that can be wrong is found here, before anything is sent. TrafficError."""
    _load_layers()
    if interface is not None:
        check_text("interface", interface, "front")
    if not line.raw_sockets:
        raise TrafficError(
            f"{line.client} cannot send crafted packets: its runtime has no raw sockets inside a network of its own. "
            "Use a lab whose runtime is 'netns'."
        )
    every = list(_expanded(packets))
    ready = _Filler(line, interface).fill(every)
    size = sum(len(one.frame or b"") for one in ready)
    if size > MOST_BYTES:
        raise TrafficError(
            f"{len(ready):,} packets of {size:,} bytes in all are over {MOST_BYTES:,}: send fewer at once"
        )
    return ready


def _load_layers() -> None:
    import scapy.layers.inet
    import scapy.layers.inet6
    import scapy.layers.l2  # noqa: F401  (each registers its layers, so that answers are dissected)


def _expanded(packets: Any) -> Iterator[Any]:
    """Every single packet that *packets* stand for, as scapy counts them: ``TCP(dport=[80, 443])`` is two."""
    from scapy.base_classes import SetGen
    from scapy.packet import Packet

    several = isinstance(packets, Iterable) and not isinstance(packets, Packet | str | bytes | bytearray | dict)
    count = 0
    for packet in packets if several or isinstance(packets, SetGen) else [packets]:
        if not isinstance(packet, Packet):
            hint = ": IP(data) or Ether(data) makes a packet of bytes" if isinstance(packet, bytes | bytearray) else ""
            raise TrafficError(
                f"what is sent is a scapy packet, or a list of them, for example IP(dst=lab.vip)/TCP(dport=80), "
                f"not {shown(packet)}{hint}"
            )
        for single in islice(iter(packet), MOST + 1):
            count += 1
            if count > MOST:
                raise TrafficError(f"more than {MOST:,} packets cannot be sent at once: send them in portions")
            yield single
    if not count:
        raise TrafficError("there is no packet to send: the list is empty")


class _Filler:
    """Fills in what packets leave open, as the host that sends them would, and makes frames of them."""

    def __init__(self, line: Line, interface: str | None) -> None:
        self._line = line
        self._interface = interface

    def fill(self, packets: list[Any]) -> list[Crafted]:
        facts = self._ask("interfaces")["interfaces"]
        if self._interface is not None and self._interface not in [one["interface"] for one in facts]:
            names = ", ".join(one["interface"] for one in facts)
            raise TrafficError(
                f"{self._line.client} has no interface {shown(self._interface)}; it has {names or 'none'}"
            )
        wanted = [_wanted(packet) for packet in packets]
        distinct = list(dict.fromkeys(one for one in wanted if one is not None))
        found = self._ask("paths", [list(one) for one in distinct], self._interface)["paths"] if distinct else []
        paths = dict(zip(distinct, found, strict=True))
        failed = [path["failed"] for path in found if "failed" in path]
        if failed and len(failed) == len(found) and None not in wanted:
            raise self._line.error(f"sending to {distinct[0][0]}", failed[0])
        return [
            self._ready(packet, paths[one] if one is not None else self._only(packet, facts))
            for packet, one in zip(packets, wanted, strict=True)
        ]

    def _ask(self, what: str, *arguments: Any) -> dict[str, Any]:
        return self._line.ask("finding the way for a packet", f"crafted:{what}", *arguments, timeout=_SENDING)

    def _only(self, packet: Any, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """The way of a frame that has no address to find it by."""
        own = packet.fields.get("src")
        fits = [one for one in facts if one["interface"] == self._interface] or [
            one for one in facts if _mac(one["mac"]) == own
        ]
        if not fits and len(facts) != 1:
            names = ", ".join(one["interface"] for one in facts)
            raise TrafficError(f"{self._line.client} has the interfaces {names}: say which, with interface=")
        return {**(fits or facts)[0], "source": None}

    def _ready(self, packet: Any, path: dict[str, Any]) -> Crafted:
        whole = _is_frame(packet)
        if "failed" in path:
            path = {**path, "source": None, "mac": bytes(6)}
        if _is_sourceless_fragment(packet):
            raise TrafficError(
                f"{self._line.client} cannot send a fragment without a source: the checksum within was computed before "
                "the source was known. Give it before fragmenting: fragment(IP(src=lab.alice.address, dst=...)/...)."
            )
        _fill(packet, path)
        try:
            raw = bytes(packet)
            query = type(packet)(raw)
        except Exception as error:  # whatever a layer makes of values that do not fit it
            raise TrafficError(
                f"{self._line.client} cannot send {_layers(packet)}: scapy cannot build it ({short(str(error))})"
            ) from error
        if "failed" in path:
            return Crafted(query, "", None)
        head = b"" if whole else path["next"] + path["mac"] + _type(packet).to_bytes(2)
        self._check_size(len(raw), path, _HEAD + _TAG if whole else 0)
        return Crafted(query, path["interface"], head + raw)

    def _check_size(self, size: int, path: dict[str, Any], head: int) -> None:
        if size > path["mtu"] + head:
            raise TrafficError(
                f"{self._line.client} cannot send {size:,} bytes in one packet: {path['interface']} takes "
                f"{path['mtu']:,} (its MTU). scapy's fragment(packet) makes fragments of an IPv4 packet, fragment6 "
                "of an IPv6 one."
            )


def _is_frame(packet: Any) -> bool:
    from scapy.layers.l2 import Ether

    return isinstance(packet, Ether)


def _type(packet: Any) -> int:
    from scapy.layers.inet6 import IPv6

    return IPV6 if isinstance(packet, IPv6) else IPV4


def _wanted(packet: Any) -> tuple[str, bool] | None:
    """(where *packet* goes, whether its next hop's MAC address is needed); None for a frame without any address."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import ARP

    if isinstance(packet, IP | IPv6):
        return str(packet.dst), True
    if not _is_frame(packet):
        raise TrafficError(
            f"a packet to send begins with IP(), IPv6() or Ether(), not with {type(packet).__name__}(): put one of "
            "these before it"
        )
    inside = next((layer for layer in packet.iterpayloads() if isinstance(layer, IP | IPv6 | ARP)), None)
    if inside is None:
        return None
    if isinstance(inside, ARP):
        return str(inside.pdst), False
    return str(inside.dst), "dst" not in packet.fields


def _is_sourceless_fragment(packet: Any) -> bool:
    """Whether *packet* holds bytes of TCP, UDP or ICMPv6, whose checksum covers the source, and no source."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
    from scapy.packet import Raw

    for layer in packet.iterpayloads():
        part = layer.getlayer(IPv6ExtHdrFragment) if isinstance(layer, IPv6) else layer
        if isinstance(layer, IP) and not ((layer.flags.MF or layer.frag) and layer.proto in (TCP, UDP)):
            continue
        if isinstance(layer, IP | IPv6) and part is not None and "src" not in layer.fields:
            return isinstance(part.payload, Raw)
    return False


def _fill(packet: Any, path: dict[str, Any]) -> None:
    """Set what *packet* leaves open and scapy would look up on this machine."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import ARP, Ether

    own = _mac(path["mac"])
    for layer in packet.iterpayloads():
        if isinstance(layer, IP | IPv6):
            six, source = isinstance(layer, IPv6), path["source"]
            fits = source is not None and (":" in source) == six
            layer.fields.setdefault("src", source if fits else "::" if six else "0.0.0.0")
        elif isinstance(layer, ARP):
            layer.fields.setdefault("hwsrc", own)
            layer.fields.setdefault("psrc", path["source"] or "0.0.0.0")
    if isinstance(packet, Ether):
        packet.fields.setdefault("src", own)
        if "dst" not in packet.fields:
            packet.fields["dst"] = _mac(path["next"]) if "next" in path else "ff:ff:ff:ff:ff:ff"


def _mac(raw: bytes) -> str:
    return raw.hex(":")


# what comes back


class _Matcher:
    """Finds what received frames answer, as scapy's own sr does: by `hashret`, then `answers`.

    multi: a packet may have several answers.
    """

    def __init__(self, ready: list[Crafted], multi: bool) -> None:
        self.pairs: list[tuple[Any, Any]] = []
        self._multi = multi
        self._open: dict[tuple[bool, bytes], list[Any]] = defaultdict(list)
        for one in ready:
            self._open[_is_frame(one.query), one.query.hashret()].append(one.query)
        self._whole = {whole for whole, _ in self._open}

    def hear(self, time_ns: int, frame: bytes) -> None:
        """Take one received frame; anything that is no answer is passed over."""
        for whole in self._whole:
            received = _dissected(frame, whole)
            if received is None:
                continue
            received.time = time_ns / 1e9
            if self._answers(whole, received):
                return

    def _answers(self, whole: bool, received: Any) -> bool:
        try:
            waiting = self._open.get((whole, received.hashret()), [])
            at = next((at for at, query in enumerate(waiting) if received.answers(query)), None)
        except Exception:  # a layer that cannot compare malformed bytes
            return False
        if at is None:
            return False
        self.pairs.append((waiting[at] if self._multi else waiting.pop(at), received))
        return True


def _dissected(frame: bytes, whole: bool) -> Any:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    layer = Ether if whole else {IPV4: IP, IPV6: IPv6}.get(ether_type(frame))
    try:
        return None if layer is None else layer(frame if whole else frame[payload_at(frame) :])
    except Exception:  # whatever a dissector makes of malformed bytes: it is no answer
        return None
