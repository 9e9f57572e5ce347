"""Hosts without containers: what runs in one, as plain processes, with their sockets in one folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.runtime.container.handing import hand
from labkit.runtime.container.order import ORDER
from labkit.runtime.container.orders import orders
from labkit.topology import Topology

SECONDS = 20


class Hosts:
    """The hosts of *topology*: ``folder/NAME.sock``, and in ``folder/NAME`` hosts (its file of names), scratch, log."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        self._orders = orders(topology)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self._orders:
            (folder / name / "scratch").mkdir(parents=True)

    def start(self, *names: str, silence: float | None = None, network: bool = False) -> None:
        """Start those called so, or all; they are behind their `door`. silence, network: as `serve` is told."""
        for name in names or self._orders:
            own = self.folder / name
            environment = os.environ | {ORDER: json.dumps(self._orders[name])}
            command = [sys.executable, "-m", "labkit.runtime.container.serve", "--door", self.door(name)]
            command += ["--hosts", str(own / "hosts"), "--scratch", str(own / "scratch")]
            command += ["--silence", str(silence)] if silence else []
            command += ["--network"] if network else []
            with (own / "log").open("ab") as log:
                self.processes[name] = subprocess.Popen(command, env=environment, stderr=log)

    def listen(self, *names: str) -> None:
        """Have those called so, or all that were started, listen, as their wiring does."""
        for name in names or self.processes:
            hand(self.door(name), self.socket(name), SECONDS)

    def door(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def log(self, name: str) -> str:
        return (self.folder / name / "log").read_text()

    def end(self) -> list[int]:
        """End all; how they ended."""
        for process in self.processes.values():
            process.terminate()
        return [process.wait(10) for process in self.processes.values()]


@contextmanager
def hosts(folder: Path, topology: Topology) -> Iterator[Hosts]:
    """Hosts that are ended in the end."""
    made = Hosts(folder, topology)
    try:
        yield made
    finally:
        made.end()
