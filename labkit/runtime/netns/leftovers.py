"""Finds and ends supervisors whose owner is gone. There should never be one; `labkit clean` makes sure."""

import os
import signal
from pathlib import Path

_MARK = b"labkit.runtime.netns.supervisor"


def end_orphans() -> list[str]:
    """End this user's orphaned supervisors, by pid; says in words what was ended."""
    ended = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_orphan(entry):
            os.kill(int(entry.name), signal.SIGKILL)
            ended.append(f"supervisor {entry.name} of a lab whose owner is gone")
    return ended


def _is_orphan(entry: Path) -> bool:
    try:
        if entry.stat().st_uid != os.getuid() or _MARK not in (entry / "cmdline").read_bytes().split(b"\0"):
            return False
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        in_our_namespace = os.readlink(entry / "ns/pid") == os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError):
        return False  # it ended while we looked, or is not ours to look at
    return in_our_namespace and _adopts(parent)


def _adopts(parent: int) -> bool:
    """Whether *parent* is a process that orphans fall to, and not a notebook that happens to be process 1."""
    try:
        name = Path("/proc", str(parent), "comm").read_text().strip()
    except OSError:
        return False
    return (parent == 1 and not name.startswith(("python", "jupyter"))) or name == "systemd"
