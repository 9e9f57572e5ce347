"""How a lab marks what it made on an engine, and tells whose it is.

The owner is a process of a machine. Only on that machine can it be said to be dead; what the labs of another machine
left behind is not touched. A container, or a distribution of WSL, may have a machine's name and counts processes by
itself: it is another machine. Clocks are set while labs run, so where the kernel tells it (Linux), the time at which a
process began is counted from the start of the machine.
"""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_LINUX = sys.platform.startswith("linux")
LAB, NODE, OWNER = "labkit.lab", "labkit.node", "labkit.owner"
_SAME = 0.05  # seconds by which times at which a process began, written in hundredths, may differ


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its machine's name, its id, when it began (seconds, of whichever clock that machine tells)."""

    machine: str
    pid: int
    began: float

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended; False where that cannot be known."""
        if self.machine != this_machine():
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return bool(ended or abs(_began(process) - self.began) > _SAME)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return True
        except (psutil.Error, OSError):
            return False

    def __str__(self) -> str:
        return f"{self.pid}/{self.began:.2f}/{self.machine}"


def this_process() -> Owner:
    process = psutil.Process()
    return Owner(this_machine(), process.pid, _began(process))


def this_machine() -> str:
    """Its name; on Linux with the namespace in which processes are counted."""
    return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}" if _LINUX else platform.node()


def _began(process: psutil.Process) -> float:
    if not _LINUX:
        return float(process.create_time())
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime, the 22nd of proc_pid_stat(5)


def owner_of(text: str) -> Owner | None:
    """What `str` of an owner wrote; None if it is something else."""
    pid, _, rest = text.partition("/")
    began, _, machine = rest.partition("/")
    try:
        return Owner(machine, int(pid), float(began))
    except ValueError:
        return None


def labels(lab: str, owner: Owner, node: str = "") -> dict[str, str]:
    """The labels of a network (without *node*) or a container of the lab."""
    return {LAB: lab, OWNER: str(owner), **({NODE: node} if node else {})}
