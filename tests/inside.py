"""Functions that tests run inside the hosts of a lab."""

import contextlib
import os
import signal
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
