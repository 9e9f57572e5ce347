"""`Listener`: serves the owners that connect to a Unix socket, one at a time.

Each owner is served by a process of its own. When that has ended, so does all that the owner had begun, whatever has
become of its parents, and the host is made as new (`renewal`): only then the next owner is served. Others are told
meanwhile that somebody has the host.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from labkit.runtime.agent.serve import Agent
from labkit.runtime.wire import Kind, frame, pack

from .renewal import Renewal

_BACKLOG = 128
_PR_SET_CHILD_SUBREAPER = 36
_NETWORK_LATE = 10.0
_PAUSE = 0.05


class Listener:
    """Serves owners at *path*, in the host called *node*; each is told *greeting* first.

    silence: seconds after which who has said nothing is no owner.
    """

    def __init__(self, path: Path, node: str, greeting: bytes, renewal: Renewal, silence: float) -> None:
        self._path = path
        self._node = node
        self._greeting = greeting
        self._renewal = renewal
        self._silence = silence
        self._serving: tuple[int, int] | None = None  # process id of who serves the owner, and its pidfd

    def serve(self) -> NoReturn:
        """Until SIGTERM; then everything that was begun here ends too. It listens once the host has its network."""
        signal.signal(signal.SIGTERM, _leave)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # who loses its parent becomes a child of this one
        self._path.unlink(missing_ok=True)
        try:
            self._await_network()
            self._renewal.names()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(str(self._path))
                self._path.chmod(0o600)
                listener.listen(_BACKLOG)
                while True:
                    self._turn(listener)
        finally:
            self._path.unlink(missing_ok=True)
            end_descendants()

    def _turn(self, listener: socket.socket) -> None:
        waited = [listener.fileno(), *([self._serving[1]] if self._serving else [])]
        ready, _, _ = select.select(waited, [], [])
        if self._serving and self._serving[1] in ready:
            self._owner_gone(*self._serving)
        elif ready:
            with contextlib.suppress(OSError):  # it has gone already
                self._meet(listener)

    def _meet(self, listener: socket.socket) -> None:
        owner, _ = listener.accept()
        with owner:
            if self._serving:
                owner.sendall(self._refusal())
                return
            pid = os.fork()
            if pid == 0:
                listener.close()
                self._serve(owner)
            self._serving = pid, os.pidfd_open(pid)

    def _serve(self, owner: socket.socket) -> NoReturn:
        """In a process of its own."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            owner.sendall(self._greeting)
            if select.select([owner], [], [], self._silence)[0]:
                Agent(owner, self._node).serve()
        except (OSError, ValueError) as error:
            print(f"labkit: {self._node} was left by an owner that was none: {error}", file=sys.stderr)
        finally:
            os._exit(0)

    def _refusal(self) -> bytes:
        text = f"{self._node} is in use: another notebook is attached to this lab. Call lab.stop() there, or end it."
        return frame(0, Kind.HELLO, pack({"node": self._node, "refused": text}))

    def _owner_gone(self, pid: int, pidfd: int) -> None:
        os.close(pidfd)
        os.waitpid(pid, 0)
        end_descendants()
        self._renewal.carry_out()
        self._serving = None

    def _await_network(self) -> None:
        late = time.monotonic() + _NETWORK_LATE
        while not self._renewal.wired():
            if time.monotonic() > late:
                late = float("inf")
                print(f"labkit: {self._node} waits for its network: run its wiring, with Compose: up -d", flush=True)
            time.sleep(_PAUSE)


def end_descendants() -> None:
    """Kill and reap all that this process or a descendant of it has begun, and that lives."""
    while found := _descendants(os.getpid()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def _descendants(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, fresh = [], [root]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def _leave(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # what is under way to the end is not interrupted by a second one
    sys.exit(0)
