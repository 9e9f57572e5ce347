"""Functions that tests run inside the hosts of a lab."""

import contextlib
import os
import signal
import socket
import time
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


def visit(port: int, address: str, ending: str) -> str:
    """Ask http://*address*/ from source port *port*; the body of the answer, after which the server hangs up.

    ending: "fin" answers the server's FIN with one; "reset" goes on sending, until the server's kernel resets it.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.settimeout(5)
        connection.bind(("", port))
        connection.connect((address, 80))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        if ending == "reset":
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                while True:
                    connection.sendall(b"more")
                    time.sleep(0.005)
    return answer.partition(b"\r\n\r\n")[2].decode()


def use_ports_again(first: int, last: int) -> None:
    """Connections of this host that ask for no port get one of *first* to *last*, free again at once: no TIME_WAIT."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}")
    Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("0")
