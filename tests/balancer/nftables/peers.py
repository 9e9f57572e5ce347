"""What runs inside the hosts of the tests: servers that say their name, clients, and the nft program."""

import contextlib
import select
import socket
import subprocess
from collections import Counter
from itertools import count
from typing import Any

from pyroute2 import IPRoute

from labkit.balancer.nftables import cut, decode
from labkit.balancer.nftables.conntrack import Events
from labkit.balancer.nftables.encode import swap
from labkit.balancer.nftables.netlink import Netlink
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.wanted import forwards_of
from labkit.runtime.protocol import TaskLink
from tests.balancer.nftables.samples import VIPS

BACKENDS = ("api1", "api2", "images1", "images2")
RESET = b"\1\0\0\0\0\0\0\0"  # of SO_LINGER: close with a reset, so that nothing is left in TIME_WAIT
TCP_PORTS, UDP_PORTS = (80, 7, 8080), (7, 5353)
_UNUSED_PORT = count(20_000)  # below those that the kernel chooses from; the clients live as long as the module


def serve(link: TaskLink, name: str) -> None:
    """Answer every TCP connection and every datagram with the own name, then echo what comes on a connection."""
    listeners, datagrams = [], []
    for port in TCP_PORTS:
        listeners.append(socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True))
    for port in UDP_PORTS:
        datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagram.bind(("::", port))
        datagrams.append(datagram)
    link.send("listening")
    connections: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([*listeners, *datagrams, *connections], [], [])
        for one in ready:
            if one in listeners:
                accepted, _ = one.accept()
                accepted.sendall(name.encode().ljust(8))
                connections.append(accepted)
            elif one in datagrams:
                _, sender = one.recvfrom(100)
                one.sendto(name.encode(), sender)
            else:
                data = b""
                with contextlib.suppress(OSError):
                    data = one.recv(100)
                if data:
                    one.sendall(data)
                else:
                    connections.remove(one)
                    one.close()


def _connect(address: str, port: int) -> tuple[socket.socket, str]:
    connection = socket.create_connection((address, port), timeout=5)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    name = b""
    while len(name) < 8:
        name += connection.recv(8 - len(name)) or b"?" * 8
    return connection, name.decode().strip()


def connect(address: str, port: int, count: int = 1) -> list[str]:
    """Who answered each of *count* new connections; ``refused`` or the error's name where nobody did."""
    found = []
    for _ in range(count):
        try:
            connection, name = _connect(address, port)
            connection.close()
        except ConnectionRefusedError:
            name = "refused"
        except OSError as error:
            name = type(error).__name__
        found.append(name)
    return found


def flows(address: str, port: int, sources: list[str], first: int, count: int, at_once: int = 64) -> list[str]:
    """Who answered each of *count* connections from each of *sources*, all from *first* and the ports after it."""
    ends = [(source, first + number) for source in sources for number in range(count)]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = []
    for start in range(0, len(ends), at_once):
        opened = []
        for source in ends[start : start + at_once]:
            connection = socket.socket(family)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.bind(source)
            connection.setblocking(False)
            connection.connect_ex((address, port))
            opened.append(connection)
        for connection in opened:
            select.select([], [connection], [], 5)
            connection.settimeout(5)
            found.append(connection.recv(8, socket.MSG_WAITALL).decode().strip())
            connection.close()
    return found


def call_oneself(interface: str, addresses: list[str], prefix: int) -> None:
    """Give *interface* more addresses, so that one host can be many clients."""
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=interface)
        for address in addresses:
            route.addr("add", index=index, address=address, prefixlen=prefix)


def count(address: str, port: int, times: int) -> dict[str, int]:
    return dict(Counter(connect(address, port, times)))


def ask(address: str, port: int, times: int = 1) -> list[str]:
    """Who answered each of *times* datagrams, each from a port that none was sent from before.

    The kernel's own choice could repeat one that connection tracking still knows, which nobody decides anew.
    """
    found = []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(times):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.settimeout(5)
            one.bind(("", next(_UNUSED_PORT)))
            one.connect((address, port))
            one.send(b"who?")
            try:
                found.append(one.recv(100).decode())
            except ConnectionRefusedError:
                found.append("refused")
    return found


def begin_a_cut(addresses: list[str]) -> None:
    """The rules of a cut, as they are while it lasts."""
    netlink = Netlink()
    netlink.commit(swap(cut._rules(addresses)))
    netlink.close()


def end_a_cut() -> None:
    netlink = Netlink()
    cut.clear(netlink)
    netlink.close()


def hold(link: TaskLink, address: str, port: int) -> None:
    """One connection: first the name of who answered, then the echo of each message."""
    connection, name = _connect(address, port)
    link.send(name)
    while True:
        message = link.receive().encode()
        connection.sendall(message)
        link.send(connection.recv(100).decode())


def hammer(link: TaskLink, address: str, port: int) -> None:
    """New connections without pause until told to stop; then how many of each answer."""
    found: Counter[str] = Counter()
    link.send("begun")
    while not link.poll():
        found.update(connect(address, port))
    link.send(dict(found))


def program(*words: str) -> list[Any]:
    """Run a program: its exit status and what it wrote."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return [done.returncode, done.stdout, done.stderr]


def load(forwards: list[dict[str, Any]]) -> list[str]:
    """Put rendered rules into an emptied namespace; the listing as nft writes it, and as we do."""
    program("nft", "flush", "ruleset")
    with Netlink() as netlink:
        netlink.commit(swap(render(VIPS, forwards_of(forwards)).table()))
        return [program("nft", "-s", "list", "ruleset")[1], text(decode.live(netlink)[1])]


def reload(listing: str) -> list[Any]:
    """Have nft check *listing* for an emptied namespace: its exit status and what it complained of."""
    program("nft", "flush", "ruleset")
    done = subprocess.run(["nft", "-c", "-f", "-"], input=listing, capture_output=True, text=True, check=False)
    return [done.returncode, done.stderr]


def both(rules: str) -> list[str]:
    """Load *rules* with nft into an emptied namespace; the listing as nft writes it, and as we do."""
    for words, given in ((["nft", "flush", "ruleset"], ""), (["nft", "-f", "-"], rules)):
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr)
    with Netlink() as netlink:
        return [program("nft", "-s", "list", "ruleset")[1], text(decode.live(netlink)[1])]


_events: list[Events] = []


def listen_with_little_room() -> None:
    """Queue conntrack's reports from now on, in a queue that holds only a few."""
    _events.append(Events(receive_buffer=4096))


def drained() -> list[int]:
    """How many reports were queued, and how many were lost."""
    events = _events.pop()
    found = [len(events.drain()), events.lost]
    events.close()
    return found


def nft(rules: str) -> str:
    """Load *rules* with nft beside those that are there; what it complained of."""
    return subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False).stderr
