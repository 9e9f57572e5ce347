"""Packets crafted by hand, on the wire: call targets that send raw bytes and hand back what comes in after them.

Runs in a node's worker. Frames leave through an AF_PACKET socket byte for byte, so a wrong checksum, a forged source
or a lone fragment stays what it is. Listening begins before the first packet leaves. What is an answer to what is
decided by the notebook's side (`labkit.traffic.crafting`); here frames are only sifted.
"""

import errno
import fcntl
import selectors
import socket
import struct
import threading
import time
from collections import deque
from ipaddress import ip_address
from typing import Any, cast

from labkit.traffic.failure import Failure, from_exception, reported
from labkit.traffic.guards import guards
from labkit.traffic.held import shelf
from labkit.traffic.neighbours import ALL, BROADCAST, macs_of
from labkit.traffic.packet_ends import Interest, of_frame
from labkit.traffic.routing import Address, Way, way

KEPT_FRAMES, KEPT_BYTES = 20_000, 16 << 20
_PACKET, _IGNORE_OUTGOING, _STATISTICS = 263, 23, 6  # SOL_PACKET, PACKET_*
_TIMESTAMP_NS = 35  # SO_TIMESTAMPNS
_MTU = 0x8921  # SIOCGIFMTU
_BUSY = 0.001


@reported
def paths(wanted: list[list[Any]], interface: str | None) -> dict[str, Any]:
    """Call target: how packets leave, so that the rest of their headers can be filled in; *wanted*: [address, resolve].

    Result: {"paths": [{"interface", "mac" (own), "next" (MAC of the next hop, only with resolve), "source", "mtu"}, or
    {"failed": {"cause", "detail"}}]}. Nothing is sent but what finds the next hops.
    """
    ways = [_way(text, interface) for text, _ in wanted]
    hops: dict[str, dict[Address, Address | None]] = {}
    for out, (text, resolve) in zip(ways, wanted, strict=True):
        if resolve and isinstance(out, Way) and not out.everyone:
            hops.setdefault(out.interface, {})[out.gateway or ip_address(text)] = out.source
    macs = {name: macs_of(asked, name) for name, asked in hops.items()}
    facts = {name: _facts(name) for name in {out.interface for out in ways if isinstance(out, Way)}}
    told = []
    for out, (text, resolve) in zip(ways, wanted, strict=True):
        path = _failed(out) if isinstance(out, Failure) else {**facts[out.interface], "source": _text(out.source)}
        if isinstance(out, Way) and resolve:
            hop = out.gateway or ip_address(text)
            mac = BROADCAST if out.everyone else macs[out.interface].get(hop)
            nobody = Failure("unreachable", f"nobody on the link at {out.interface} answers for {hop}")
            path = _failed(nobody) if mac is None else {**path, "next": mac}
        told.append(path)
    return {"paths": told}


def _failed(failure: Failure) -> dict[str, Any]:
    return {"failed": {"cause": failure.cause, "detail": failure.detail}}


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _way(text: str, interface: str | None) -> Way | Failure:
    destination = ip_address(text)
    try:
        out = way(destination, interface)
    except OSError as error:
        return from_exception(error)
    if out.local:
        return Failure("itself", f"{destination} is this host itself: a crafted packet goes out to another host")
    return out


@reported
def interfaces() -> dict[str, Any]:
    """Call target: the host's interfaces but for its loopback: {"interfaces": [{"interface", "mac", "mtu"}]}."""
    return {"interfaces": [_facts(name) for name in _names()]}


def _names() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


def _facts(name: str) -> dict[str, Any]:
    with _packet_socket(0) as sock:
        sock.bind((name, 0))
        mtu = struct.unpack_from("=I", fcntl.ioctl(sock, _MTU, struct.pack("16sI", name.encode(), 0)), 16)[0]
        return {"interface": name, "mac": sock.getsockname()[4], "mtu": mtu}


@reported
def send(key: str, packets: list[list[Any]], listen: bool) -> dict[str, Any]:
    """Call target: send *packets*, each [interface, frame]; with *listen*, `receive` gives what comes in from then on.

    Result: {"sent": how many, "times": when each left, in ns}. Their source ports are held first (`guards`).
    """
    frames = [bytes(frame) for _, frame in packets]
    guards.hold(ends for frame in frames if (ends := of_frame(frame)) is not None)
    if listen:
        ear = Ear(Interest(frames))
        shelf.put(key, ear)
    sockets: dict[str, socket.socket] = {}
    times = []
    try:
        for (name, _), frame in zip(packets, frames, strict=True):
            if name not in sockets:
                sockets[name] = _packet_socket(0)
                sockets[name].bind((name, 0))
            times.append(time.time_ns())
            _send(sockets[name], frame)
    except BaseException:
        shelf.close(key)
        raise
    finally:
        for sock in sockets.values():
            sock.close()
    return {"sent": len(times), "times": times}


def _send(sock: socket.socket, frame: bytes) -> None:
    while True:
        try:
            sock.send(frame)
            return
        except (BlockingIOError, InterruptedError):
            continue
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the queue of the interface is full for a moment
                raise
            time.sleep(_BUSY)


@reported
def receive(key: str, wait: float) -> dict[str, Any]:
    """Call target: what came in since the last call, after *wait* seconds at most if there is nothing.

    Result: {"frames": [[time in ns, frame]], "lost": frames that nobody had room for}.
    """
    return shelf.get(key, Ear).take(wait)


class Ear:
    """Listens at every interface of this host, in a thread of its own, until it is closed."""

    def __init__(self, interest: Interest) -> None:
        self._interest = interest
        self._heard: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._lost = 0
        self._some = threading.Condition()
        self._closed = False
        self._wake, self._rope = socket.socketpair()
        self._sockets = [_listener(name) for name in _names()]
        threading.Thread(target=self._listen, name="crafted", daemon=True).start()

    def take(self, wait: float) -> dict[str, Any]:
        with self._some:
            if not self._heard and not self._closed:
                self._some.wait(wait)
            frames = [[time_ns, frame] for time_ns, frame in self._heard]
            self._heard.clear()
            self._bytes = 0
            lost, self._lost = self._lost, 0
        return {"frames": frames, "lost": lost + sum(map(_dropped, self._sockets))}

    def close(self) -> None:
        self._closed = True
        self._rope.close()
        with self._some:
            self._some.notify_all()

    def _listen(self) -> None:
        ready = selectors.DefaultSelector()  # unlike select(), it takes the numbers that many held ports lead to
        try:
            for sock in (self._wake, *self._sockets):
                ready.register(sock, selectors.EVENT_READ)
            while not self._closed:
                for key, _ in ready.select():
                    if key.fileobj is self._wake:
                        return
                    self._hear(cast(socket.socket, key.fileobj))
        finally:
            ready.close()
            for sock in (*self._sockets, self._wake):
                sock.close()

    def _hear(self, sock: socket.socket) -> None:
        frame, ancillary, _, _ = sock.recvmsg(1 << 16, 64)
        stamps = [data for _, kind, data in ancillary if kind == _TIMESTAMP_NS]
        seconds, nanoseconds = struct.unpack("@qq", stamps[0]) if stamps else divmod(time.time_ns(), 10**9)
        if not self._interest(frame):
            return
        with self._some:
            if len(self._heard) >= KEPT_FRAMES or self._bytes + len(frame) > KEPT_BYTES:
                self._lost += 1
                return
            self._heard.append((seconds * 10**9 + nanoseconds, frame))
            self._bytes += len(frame)
            self._some.notify_all()


def _listener(name: str) -> socket.socket:
    """A socket that gets what comes in at an interface, from now on."""
    sock = _packet_socket(0)
    sock.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind((name, ALL))
    return sock


def _dropped(sock: socket.socket) -> int:
    """Frames that the kernel had no room for, since last asked."""
    try:
        return int(struct.unpack("=II", sock.getsockopt(_PACKET, _STATISTICS, 8))[1])
    except OSError:  # it was closed
        return 0


def _packet_socket(protocol: int) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
    except PermissionError as error:
        words = "this host may not open raw sockets, and crafted packets need them (the capability NET_RAW)"
        raise Failure("no raw sockets", words) from error
