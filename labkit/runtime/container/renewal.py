"""`Renewal`: a host that one owner has left becomes as new for the next.

Processes are ended before, by whoever listens. What is left is what they did to the host: names that it got to know,
files in its scratch folder, and, where the host may administer its network, rules, addresses, routes and connections.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WIRE_ANEW = ["-m", "labkit.runtime.container.wire", "--anew"]  # in a process of its own, for all that it imports
_SECONDS = 20.0


class Renewal:
    """Of the host that *order* describes. What is not told is left alone.

    hosts: its file of names; scratch: the folder that is emptied; network: whether it has one of its own.
    """

    def __init__(self, order: dict[str, Any], hosts: Path | None, scratch: Path | None, network: bool) -> None:
        self._order = order
        self._hosts = hosts
        self._scratch = scratch
        self._network = network

    def names(self) -> None:
        """Its file of names as at the beginning."""
        if self._hosts:
            self._hosts.write_text(self._order["hosts"])

    def carry_out(self) -> None:
        """Everything. What cannot be put back is told on standard error: the host goes on."""
        with _telling("the file of names"):
            self.names()
        for path in self._scratch.iterdir() if self._scratch else ():
            with _telling(str(path)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        if self._network and "net_admin" in self._order["rights"]:
            with _telling("the network"):
                subprocess.run([sys.executable, *_WIRE_ANEW], timeout=_SECONDS, check=True)


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """What goes wrong with *what* is told, and no more."""
    try:
        yield
    except Exception as error:
        print(f"labkit: {what} could not be made as new: {error}", file=sys.stderr)
