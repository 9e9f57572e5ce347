"""Serves the agent of a container: to whoever is attached to its standard streams, or to one owner after another.

``--socket PATH``: it listens there, on a Unix socket. One owner at a time is served, by a process of its own that
ends with its tasks; others are told who has the lab. Each is greeted with what the container is.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from labkit.runtime.agent.names import set_name
from labkit.runtime.agent.serve import Agent, Stream
from labkit.runtime.wire import Kind, frame, pack
from labkit.version import VERSION

from .order import find

_BACKLOG = 16


class StandardStreams:
    """Standard input and output as one stream; whatever prints from now on goes to standard error."""

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)

    def fileno(self) -> int:
        return self._input

    def recv(self, size: int, /) -> bytes:
        return os.read(self._input, size)

    def sendall(self, data: bytes, /) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._output, left) :]

    def close(self) -> None:
        os.close(self._input)
        os.close(self._output)


def main() -> None:
    """Until the owner is gone; with --socket for ever."""
    parser = argparse.ArgumentParser("labkit.runtime.container")
    parser.add_argument("--socket", type=Path, help="where to listen for owners")
    asked, order = parser.parse_args(), find()
    set_name(order["name"])
    if asked.socket:
        listen(asked.socket, order)
    else:
        serve(StandardStreams(), order)


def serve(owner: Stream, order: dict[str, Any]) -> None:
    """One owner, until it is gone."""
    owner.sendall(greeting(order))
    Agent(owner, order["name"]).serve()


def greeting(order: dict[str, Any]) -> bytes:
    """What an owner is told first: the node's name and network, and the versions that have to fit its own."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    hello = {"node": order["name"], "network": order["network"], "version": VERSION, "python": python}
    return frame(0, Kind.HELLO, pack(hello))


def listen(path: Path, order: dict[str, Any]) -> None:
    """Serve owners that connect to *path*, one at a time."""
    path.unlink(missing_ok=True)
    serving = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while True:
            owner, _ = listener.accept()
            if serving and os.waitpid(serving, os.WNOHANG) == (0, 0):
                refuse(owner, order["name"])
                continue
            serving = _fork(listener, owner, order)


def refuse(owner: socket.socket, node: str) -> None:
    """Tell an owner that somebody else has the host."""
    text = f"{node} is in use: another notebook is attached to this lab. Stop its lab (lab.stop()), or its kernel."
    with owner, contextlib.suppress(OSError):  # it may have gone meanwhile
        owner.sendall(frame(0, Kind.HELLO, pack({"node": node, "refused": text})))


def _fork(listener: socket.socket, owner: socket.socket, order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        owner.close()
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listener.close()
    serve(owner, order)
    os._exit(0)


if __name__ == "__main__":
    main()
