"""Serves the agent of a container: to whoever is attached to its standard streams, or to one owner after another.

``--door NAME``: there it is handed a socket to listen on for owners (`listen`). Each owner is greeted with what the
container is.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from labkit.runtime.agent.names import set_name
from labkit.runtime.agent.serve import Agent
from labkit.runtime.wire import Kind, frame, pack
from labkit.version import VERSION

from .order import find


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
    """Until the owner is gone; with --door until it is told to end."""
    parser = argparse.ArgumentParser("labkit.runtime.container")
    parser.add_argument("--door", help="where it is handed a socket to listen on for owners")
    parser.add_argument("--hosts", type=Path, help="the host's own file of names")
    parser.add_argument("--scratch", type=Path, help="the host's own folder for what owners leave behind")
    parser.add_argument("--network", action="store_true", help="it has a network of its own, which its wiring gives it")
    parser.add_argument("--silence", type=float, default=15.0, help="seconds in which an owner has to say something")
    asked, order = parser.parse_args(), find()
    set_name(order["name"])
    hello = greeting(order, asked.hosts)
    if asked.door:
        _listen(asked, order, hello)
    owner = StandardStreams()
    owner.sendall(hello)
    Agent(owner, order["name"]).serve()


def _listen(asked: argparse.Namespace, order: dict[str, Any], hello: bytes) -> NoReturn:
    from .handing import Door  # here: who is attached to the standard streams needs nothing of this, and is waited for
    from .listen import Listener
    from .renewal import Renewal

    renewal = Renewal(order, asked.hosts, asked.scratch, asked.network)
    Listener(Door(asked.door), order["name"], hello, renewal, asked.silence).serve()


def greeting(order: dict[str, Any], hosts: Path | None) -> bytes:
    """What an owner is told first: node, network, rights, file of names, and time, and versions that have to fit."""
    hello = {
        "node": order["name"],
        "network": order["network"],
        "rights": order["rights"],
        "hosts": str(hosts or ""),
        "time": time.time(),
        "version": VERSION,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    return frame(0, Kind.HELLO, pack(hello))


if __name__ == "__main__":
    main()
