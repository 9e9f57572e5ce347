"""Hosts without containers: what runs in one, as plain processes, each with a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

    def start(self, *names: str, order: Mapping[str, Any] | None = None) -> None:
        """Start those called so, or all; they listen soon. order: what is changed of their orders."""
        for name in names or self._orders:
            own = self.folder / name
            environment = os.environ | {ORDER: json.dumps({**self._orders[name], **(order or {})})}
            command = [sys.executable, "-m", "labkit.runtime.container.serve", "--socket", str(own / "agent.sock")]
            command += ["--hosts", str(own / "hosts"), "--scratch", str(own / "scratch")]
            with (own / "log").open("ab") as log:
                self.processes[name] = subprocess.Popen(command, env=environment, stderr=log)

    def wait(self) -> None:
        """Until all that were started listen."""
        deadline = time.monotonic() + SECONDS
        for name in self.processes:
            while not (self.folder / name / "agent.sock").exists():
                assert time.monotonic() < deadline, self.log(name)
                time.sleep(0.02)

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
