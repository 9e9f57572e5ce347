"""Real traffic for other programs to capture: TCP, UDP (fragmented too), ICMP errors, over IPv4 and IPv6.

Run as a script inside a network namespace of its own: `python loopback.py PROGRAM ARGUMENTS…` brings the loopback up,
starts the program, waits until it says that it listens, makes the traffic, and ends it.
"""

import contextlib
import fcntl
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

LAST = b"that was all"  # short enough to be in every packet of 60 bytes
READY = (b"listening on", b"Capturing on", b"File:")


def up(name: bytes = b"lo") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", name, 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def traffic() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as server:

            def serve(server: socket.socket = server) -> None:
                conn, _ = server.accept()
                with conn:
                    while data := conn.recv(65536):
                        conn.sendall(data)

            thread = threading.Thread(target=serve)
            thread.start()
            with socket.create_connection(server.getsockname()[:2]) as conn:
                for size in (1, 100, 5_000, *range(10, 20)):  # many, for how many packets they make is up to the kernel
                    conn.sendall(b"z" * size)
                    got = 0
                    while got < size:
                        got += len(conn.recv(65536))
            thread.join()
        with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as two:
            one.bind((host, 0))
            two.connect(one.getsockname()[:2])
            for size in (0, 30, 65_000):  # the last is more than a loopback packet holds: fragments
                with contextlib.suppress(OSError):
                    two.send(b"u" * size)
            two.connect((host, 9))  # nobody there: an ICMP error comes back
            for _ in range(3):
                with contextlib.suppress(OSError):
                    two.send(b"nobody")


def say_that_was_all() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.sendto(LAST, one.getsockname())


def settled(path: Path) -> None:
    """Wait until the last datagram is in the file and it grows no more, 20 seconds at most."""
    before = -1
    for _ in range(40):
        time.sleep(0.5)
        data = path.read_bytes() if path.exists() else b""
        if LAST in data and len(data) == before:
            return
        before = len(data)


def main(command: list[str]) -> int:
    up()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as program:
        assert program.stderr is not None
        line = b""
        while not any(word in line for word in READY):
            line = program.stderr.readline()
            if not line:
                return 1
        time.sleep(0.5)
        traffic()
        say_that_was_all()
        settled(Path(command[-1]))
        program.send_signal(signal.SIGINT)
        program.stderr.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
