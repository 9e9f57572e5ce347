"""Functions that tests run inside the hosts of a lab."""

import contextlib
import os
import signal
import socket
from pathlib import Path


def kill_by_name(name: str) -> int:
    """Inside a host: SIGKILL to the lab's processes of that name that this host's agent started."""
    mine = os.readlink("/proc/self/ns/net")
    killed = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            if (
                entry.name.isdigit()
                and (entry / "comm").read_text().strip() == name
                and os.readlink(entry / "ns/net") == mine
            ):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


_held: list[socket.socket] = []


def connect_from(port: int, address: str, target: int) -> int:
    """Open a connection from source port *port* and keep it; the port it has."""
    connection = socket.create_connection((address, target), timeout=5, source_address=("", port))
    _held.append(connection)
    return int(connection.getsockname()[1])


def ask_from(port: int, address: str, target: int) -> str:
    """The answer to a datagram sent from source port *port*."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.bind(("", port))
        asking.connect((address, target))
        asking.send(b"one\n")
        return asking.recv(1000).decode()


def hang_up() -> None:
    """Close what `connect_from` keeps."""
    while _held:
        _held.pop().close()
