"""`Listener`: serves the owners that connect to its Unix socket, one at a time. The socket is handed in (`handing`).

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
from typing import Any, NoReturn

from labkit.runtime.agent.serve import Agent
from labkit.runtime.wire import Kind, frame, pack

from .handing import Door
from .renewal import Renewal

_PR_SET_CHILD_SUBREAPER = 36
_LATE = 10.0  # seconds without a socket after which it says what it waits for


class Listener:
    """Serves owners in the host called *node*, on the socket that comes through *door*; each is told *greeting* first.

    silence: seconds after which who has said nothing is no owner.
    """

    def __init__(self, door: Door, node: str, greeting: bytes, renewal: Renewal, silence: float) -> None:
        self._door = door
        self._node = node
        self._greeting = greeting
        self._renewal = renewal
        self._silence = silence
        self._woken, self._ring = socket.socketpair()
        self._listening: socket.socket | None = None
        self._serving: tuple[int, int] | None = None  # process id of who serves the owner, and its pidfd

    def serve(self) -> NoReturn:
        """Until SIGTERM; then everything that was begun here ends too."""
        self._ring.setblocking(False)
        signal.set_wakeup_fd(self._ring.fileno())
        signal.signal(signal.SIGTERM, _leave)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # who loses its parent becomes a child of this one
        try:
            self._renewal.names()
            if not self._ready([self._door], _LATE):
                print(f"labkit: {self._node} waits for its network: run its wiring, with Compose: up -d", flush=True)
            while True:
                self._turn()
        finally:
            end_descendants()

    def _turn(self) -> None:
        waited = [self._door, self._listening, self._serving and self._serving[1]]
        ready = self._ready([each for each in waited if each is not None])
        if self._serving and self._serving[1] in ready:
            self._owner_gone(*self._serving)
        elif self._door in ready:
            self._move(self._door.take())
        elif self._listening and self._listening in ready:
            with contextlib.suppress(OSError):  # it has gone already
                self._meet(self._listening)

    def _ready(self, waited: list[Any], seconds: float | None = None) -> list[Any]:
        """Those of *waited* that have something. A signal ends the wait, also one that came just before it began."""
        return select.select([self._woken, *waited], [], [], seconds)[0]

    def _move(self, listening: socket.socket | None) -> None:
        """From now on owners are met at *listening*. Who is served stays so."""
        if listening:
            if self._listening:
                self._listening.close()
            self._listening = listening

    def _meet(self, listener: socket.socket) -> None:
        owner, _ = listener.accept()
        with owner:
            if self._serving:
                owner.sendall(self._refusal())
                return
            pid = os.fork()
            if pid == 0:
                listener.close()
                self._door.close()
                self._serve(owner)
            self._serving = pid, os.pidfd_open(pid)

    def _serve(self, owner: socket.socket) -> NoReturn:
        """In a process of its own."""
        signal.set_wakeup_fd(-1)
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
