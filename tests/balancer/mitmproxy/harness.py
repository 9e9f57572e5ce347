"""A node without a lab, and backends without a node: enough to run the real proxy on this host's loopback."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labkit.balancer.envoy.names import ports
from labkit.runtime.loop import StreamLoop
from labkit.runtime.stream import StreamNode
from labkit.topology import Listener

_AGENT = """
import socket, sys
from labkit.runtime.agent.serve import Agent
Agent(socket.socket(fileno=int(sys.argv[1])), "lb").serve()
"""


class LocalNode(StreamNode):
    """The runtime's agent as an ordinary process of this host."""

    def __init__(self, name: str) -> None:
        mine, theirs = socket.socketpair()
        self._own_loop = StreamLoop(name)
        with theirs:
            fd = str(theirs.fileno())
            self._agent = subprocess.Popen([sys.executable, "-c", _AGENT, fd], pass_fds=[theirs.fileno()])
        super().__init__(name, mine, self._own_loop)

    def task_pids(self) -> list[int]:
        """Process ids of the tasks that run."""
        pid = self._agent.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def close(self) -> None:
        self._own_loop.close()
        self._agent.wait(10)

    def __enter__(self) -> "LocalNode":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port(*addresses: str) -> int:
    """A TCP port that is free on each of *addresses* right now, as is the one that Envoy would listen on for it."""
    while True:
        with socket.socket() as probe:
            probe.bind((addresses[0], 0))
            port: int = probe.getsockname()[1]
        listener = Listener(port)
        try:
            for address in addresses:
                for wanted in (port, ports([listener], [listener])[listener]):
                    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                        probe.bind((address, wanted))
        except OSError:
            continue
        return port


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with its server's name and the request as received; /bytes/N, /status/N, /chunked besides."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written one after the other: no answer waits for an ACK

    def handle_any(self) -> None:
        body = self._body()
        word, _, number = self.path.split("?")[0].rstrip("/").rpartition("/")
        if word.endswith("/status"):
            self._reply(int(number), b"" if number == "204" else b"as asked")
        elif word.endswith("/bytes"):
            self._reply(200, b"x" * int(number))
        elif number == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "X-Sum")
            self.end_headers()
            self.wfile.write(b"3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n")
        else:
            seen = {
                "backend": self.server.name,
                "method": self.command,
                "target": self.path,
                "headers": list(self.headers.items()),
                "body": body.decode("latin-1"),
                "length": len(body),
                "peer": list(self.client_address[:2]),
            }
            self._reply(200, json.dumps(seen).encode())

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = handle_any

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class Backend(ThreadingHTTPServer):
    """An `EchoHandler` server called *name* on *address*; `accepted` counts its connections."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name = name
        self.accepted = 0
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), EchoHandler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self) -> Any:
        self.accepted += 1
        return super().get_request()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def scripted(address: str, port: int, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """A backend that does with each connection just what *talk* does, then closes it."""
    server = socket.create_server((address, port))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


class Client:
    """A client's TCP connection, byte by byte."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), timeout=10)
        self._file = self.socket.makefile("rb")

    @property
    def local(self) -> list[Any]:
        return list(self.socket.getsockname()[:2])

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next response; ConnectionError at the end of the stream."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("closed without a response")
        headers: dict[str, str] = {}
        while raw := self._file.readline().strip():
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def reply(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """The next response with its body."""
        status, headers = self.head()
        if method == "HEAD" or status in (101, 204):
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                self._file.readline()
            self._file.readline()
            return status, headers, body
        return status, headers, self._file.read(int(headers["content-length"]))

    def read(self, count: int) -> bytes:
        """The next *count* bytes."""
        return self._file.read(count)

    def at_end(self) -> bool:
        """Whether the other side has closed, after whatever it sent."""
        try:
            return self._file.read() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
