"""Finds and ends supervisors whose owner is gone. There should never be one; `labkit clean` makes sure."""

import contextlib
import os
import signal
import sys
from pathlib import Path

_MARK = b"labkit.runtime.netns.supervisor"


def end_orphans() -> list[str]:
    """End this user's orphaned supervisors, by pid; says in words what was ended. Elsewhere than on Linux none is."""
    if not sys.platform.startswith("linux"):
        return []
    orphans = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_orphan(entry)]
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError):  # it was ending by itself
            os.kill(pid, signal.SIGKILL)
    return [f"supervisor {pid} of a lab whose owner is gone" for pid in orphans]


def _is_orphan(entry: Path) -> bool:
    """A supervisor of ours whose parent is no longer the owner named on its command line."""
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        if entry.stat().st_uid != os.getuid() or _MARK not in words or (entry / "comm").read_text() != "labkit-super\n":
            return False
        status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line)
    except OSError:
        return False  # it ended while we looked
    if len(status["NSpid"].split()) > 1:
        return False  # in a container, where process ids, its owner's too, are others
    return status["PPid"].encode() != words[words.index(_MARK) + 2]
