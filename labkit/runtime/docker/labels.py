"""How a lab marks what it made on an engine, and tells whose it is.

The owner is a process of a machine. Only on that machine can it be said to be dead; what the labs of another machine
left behind is not touched.
"""

import platform
from dataclasses import dataclass

import psutil

LAB, NODE, OWNER = "labkit.lab", "labkit.node", "labkit.owner"
_SAME = 2.0  # seconds by which two readings of the time at which a process began may differ


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its machine's name, its id, when it began (Unix time)."""

    machine: str
    pid: int
    began: float

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended; False where that cannot be known."""
        if self.machine != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return bool(ended or abs(process.create_time() - self.began) > _SAME)
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False

    def __str__(self) -> str:
        return f"{self.pid}/{self.began:.2f}/{self.machine}"


def this_process() -> Owner:
    process = psutil.Process()
    return Owner(platform.node(), process.pid, process.create_time())


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
