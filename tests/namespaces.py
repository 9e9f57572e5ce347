"""The namespaces that a lab's processes live in, and who still uses them. For the tests of lifetime.

The kernel gives a namespace's number away again once it is gone, at once. So the namespaces are held open here: as
long as they are, their numbers are theirs alone, whatever other labs do meanwhile. What is then found in one of them,
or holds one, is a leftover. That this test holds them keeps no process of a lab alive. Other users' processes show
their namespaces to root alone; a lab has none of these.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

KINDS = ("net", "user", "mnt", "pid", "pid_for_children", "uts", "ipc")


def lines(path: Path) -> list[str]:
    """Of a file in /proc; none if its process has ended."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def links(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, target) of every link in a folder in /proc."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            yield name, os.readlink(folder / name)
        except OSError:
            continue


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def started(pid: int) -> str:
    """When *pid* started, in the kernel's ticks; empty if it does not run. With it a number names one process."""
    fields = "".join(lines(Path(f"/proc/{pid}/stat"))).rpartition(")")[2].split()
    return "" if not fields or fields[0] in "ZX" else fields[19]


def tasks(pid: int) -> list[Path]:
    folder = Path(f"/proc/{pid}/task")
    try:
        return [folder / name for name in os.listdir(folder)]
    except OSError:
        return []


class Namespaces:
    """Those of the processes given to `add`, without the test's own, held open until `close`."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}  # "net:[4026532008]" -> the descriptor that holds it
        self._ours = {target for _, target in links(Path("/proc/self/ns"))}

    def __enter__(self) -> "Namespaces":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def count(self, kind: str) -> int:
        return sum(name.startswith(f"{kind}:[") for name in self._held)

    def add(self, members: Iterable[tuple[int, str]]) -> None:
        """Hold the namespaces of *members*, each a process id and the time it started."""
        for pid, start in members:
            for kind in KINDS:
                self._hold(pid, start, kind)

    def _hold(self, pid: int, start: str, kind: str) -> None:
        try:
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it ended meanwhile
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if name in self._ours or name in self._held or started(pid) != start:
            os.close(descriptor)
        else:
            self._held[name] = descriptor

    def used(self) -> list[str]:
        """Who is in one of them, holds one open or has one mounted, in words; this test's own hold aside."""
        return [
            f"{pid} {''.join(lines(Path(f'/proc/{pid}/comm')))}: {how}"
            for pid in processes()
            if started(pid)
            for how in self._uses(pid)
        ]

    def _uses(self, pid: int) -> Iterator[str]:
        for task in tasks(pid):
            for kind, target in links(task / "ns"):
                if target in self._held:
                    yield f"in {target} ({kind})"
        own = {str(descriptor) for descriptor in self._held.values()} if pid == os.getpid() else set()
        for name, target in links(Path(f"/proc/{pid}/fd")):
            if target in self._held and name not in own:
                yield f"holds {target}"
        for line in lines(Path(f"/proc/{pid}/mountinfo")):
            if (root := line.split()[3]) in self._held:
                yield f"has {root} mounted"
