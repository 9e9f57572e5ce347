"""Hosts without containers: what runs in one, as plain processes, each with a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.runtime.container.order import ORDER, orders
from labkit.topology import Topology

SECONDS = 20


class Hosts:
    """The hosts of *topology*, each in ``folder/NAME``: agent.sock, hosts (its file of names), scratch."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        self._orders = orders(topology)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self._orders:
            (folder / name / "scratch").mkdir(parents=True)

    def start(self, *names: str, silence: float | None = None, network: bool = False) -> None:
        """Start those called so, or all; they listen soon. silence, network: as `serve` is told."""
        for name in names or self._orders:
            own = self.folder / name
            environment = os.environ | {ORDER: json.dumps(self._orders[name])}
            command = [sys.executable, "-m", "labkit.runtime.container.serve", "--socket", str(own / "agent.sock")]
            command += ["--hosts", str(own / "hosts"), "--scratch", str(own / "scratch")]
            command += ["--silence", str(silence)] if silence else []
            command += ["--network"] if network else []
            with (own / "log").open("ab") as log:
                self.processes[name] = subprocess.Popen(command, env=environment, stderr=log)

    def wait(self) -> None:
        """Until all that were started listen."""
        deadline = time.monotonic() + SECONDS
        for name in self.processes:
            while not listens(self.folder / name / "agent.sock"):
                assert time.monotonic() < deadline, self.log(name)
                time.sleep(0.02)

    def log(self, name: str) -> str:
        return (self.folder / name / "log").read_text()

    def end(self) -> list[int]:
        """End all; how they ended."""
        for process in self.processes.values():
            process.terminate()
        return [process.wait(10) for process in self.processes.values()]


def listens(path: Path) -> bool:
    """Whether a socket at *path* does: a look from outside, as the image's health check has."""
    sockets = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(fields[3] == "00010000" and fields[-1] == str(path) for fields in sockets)


@contextmanager
def hosts(folder: Path, topology: Topology) -> Iterator[Hosts]:
    """Hosts that are ended in the end."""
    made = Hosts(folder, topology)
    try:
        yield made
    finally:
        made.end()
