"""What the tests of taps have done inside nodes, by name."""

import os
import signal
import socket
import time
from pathlib import Path

from labkit.runtime.protocol import TaskLink
from tests.taps.namespace import set_up

TAG = b"labkit-tap-"
PORT = 9999
_KEPT: list[socket.socket] = []


def listen() -> None:
    """Take datagrams on PORT for as long as the node lives."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", PORT))
    _KEPT.append(receiver)


def send(address: str, count: int, size: int = 0) -> None:
    """*count* numbered datagrams to PORT at *address*."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(TAG + b"%08d" % number + b"x" * size, (address, PORT))


def chatter(link: TaskLink, address: str) -> None:
    """Datagrams every few milliseconds until stopped."""
    link.send("begun")
    while True:
        send(address, 1)
        time.sleep(0.002)


def interrupt_cable(interface: str) -> None:
    """Take an interface down, and up again."""
    set_up(interface, up=False)
    set_up(interface)


def silent(link: TaskLink, **_: object) -> None:
    """A tap that never says anything."""
    link.receive()


def tap_sockets() -> int:
    """How many packet sockets are open in this node."""
    return len(_packet_inodes())


def kill_tap() -> int:
    """SIGKILL the processes that hold a packet socket of this node; how many there were."""
    links = {f"socket:[{inode}]" for inode in _packet_inodes()}
    found = {int(pid.name) for pid in Path("/proc").iterdir() if pid.name.isdigit() and links & _open_links(pid)}
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


def _packet_inodes() -> set[str]:
    lines = Path("/proc/net/packet").read_text().splitlines()[1:]
    return {line.split()[8] for line in lines}


def _open_links(process: Path) -> set[str]:
    found = set()
    try:
        for entry in (process / "fd").iterdir():
            found.add(os.readlink(entry))
    except OSError:
        return found  # it ended meanwhile
    return found


def packets_on(interface: str) -> int:
    """How many packets went in and out of an interface of this node, by the kernel."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            fields = counts.split()
            return int(fields[1]) + int(fields[9])
    raise LookupError(interface)
