"""`NetnsRuntime`: the owner's side of a lab made of network namespaces."""

import contextlib
import errno
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from labkit.errors import RuntimeUnavailable
from labkit.runtime.loop import StreamLoop
from labkit.runtime.network.plan import plan
from labkit.runtime.stream import StreamNode
from labkit.runtime.whole import Whole
from labkit.runtime.wire import Decoder, Kind, frame, pack, unpack
from labkit.topology import Topology

from . import mounts
from .remedies import facts, remedy

_SUPERVISOR = "labkit.runtime.netns.supervisor"
_BOOT_SECONDS = 60.0
_STOP_SECONDS = 10.0
_HOSTS = "/run/labkit/hosts"  # in the lab's own view of the files, and nowhere else: every node's /etc/hosts
_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TZ",
    "PYTHONDONTWRITEBYTECODE",
    "LABKIT_EXPOSE",
)


class NetnsRuntime(Whole[StreamNode]):
    """`Runtime` on Linux namespaces; one lab at a time, started at most once."""

    name = "netns"

    def __init__(self) -> None:
        super().__init__()
        self._loop: StreamLoop | None = None
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def cause(self) -> str:
        died = self._process and self._process.poll()  # of itself: when it ends a lab on purpose its status is 0
        return "its supervisor ended" if self._cause and died else self._cause

    @property
    def pid(self) -> int | None:
        """Process id of the supervisor, as the host sees it."""
        return self._process.pid if self._process else None

    def start(self, topology: Topology, preload: Sequence[str] = (), at_balancer: Sequence[str] = ()) -> Topology:
        """Raises RuntimeUnavailable with the remedy; then nothing is left behind.

        All nodes are forks of one process, which imports everything once.
        """
        if not sys.platform.startswith("linux"):
            raise RuntimeUnavailable('The netns runtime needs Linux. Use Lab(runtime="docker"), or run labkit in WSL2.')
        try:
            self._boot(topology, (*preload, *at_balancer))
        except BaseException:
            self.stop()
            raise
        return topology

    def stop(self) -> None:
        if self._of_another():
            return
        self._stopping = True
        self._hang_up()
        loop, control, process = self._loop, self._control, self._process
        self._loop = self._control = self._process = None
        self._alive = False
        if loop:
            loop.close()
        if control:
            control.close()
        if process:
            if not _ended(process.pid, _STOP_SECONDS):
                process.kill()
            process.wait()

    def _boot(self, topology: Topology, preload: Sequence[str]) -> None:
        order = plan(topology) | {"preload": list(preload), "homes": mounts.user_homes()}
        self._control, theirs = socket.socketpair()
        with theirs, _own_pidfd() as owner, _executing(sys.executable):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _SUPERVISOR, str(theirs.fileno()), str(os.getpid()), str(owner)],
                pass_fds=[theirs.fileno(), owner],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self._loop = StreamLoop(topology.name)
        far_ends = []
        try:
            for node in topology.nodes:
                near, far = socket.socketpair()
                far_ends.append(far)
                self._nodes[node.name] = StreamNode(node.name, near, self._loop, self._agent_ended)
            self._hand_over(order, far_ends)
        finally:
            for far in far_ends:
                far.close()
        self._await_ready()
        self._loop.add(self._control, self._heard)
        self._is_there()

    def _add_names(self, lines: str) -> None:
        next(iter(self._nodes.values())).call("labkit.runtime.network.hosts:append", _HOSTS, lines)

    def _heard(self, data: bytes) -> None:
        """The control socket says nothing after the boot but its end (loop thread)."""
        if not data:
            self._end_for("its supervisor ended")

    def _agent_ended(self, node: str) -> None:
        """Without one of its agents the lab is ended (loop thread)."""
        if not self._stopping:
            self._end_for(f"the agent of {node} ended")
            self._hang_up()

    def _end_for(self, cause: str) -> None:
        if not self._stopping:
            self._cause = self._cause or cause
        self._lose()

    def _hang_up(self) -> None:
        """Tell the supervisor to end the lab, whoever else may hold a copy of the control socket."""
        control = self._control
        if control:
            with contextlib.suppress(OSError):  # it has ended
                control.shutdown(socket.SHUT_WR)

    def _hand_over(self, order: dict[str, Any], streams: Sequence[socket.socket]) -> None:
        assert self._control
        try:
            for start in range(0, len(streams), 100):
                descriptors = [stream.fileno() for stream in streams[start : start + 100]]
                socket.send_fds(self._control, [frame(0, Kind.DATA, pack(None))], descriptors)
            self._control.sendall(frame(0, Kind.DATA, pack(order)))
        except OSError as error:
            raise self._died() from error

    def _await_ready(self) -> None:
        assert self._control
        decoder = Decoder()
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            if not select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeUnavailable(f"The lab did not boot within {_BOOT_SECONDS:.0f} s. Run `labkit doctor`.")
            data = self._control.recv(1 << 16)
            if not data:
                raise self._died()
            for _, _, body in decoder.feed(data):
                message = unpack(body)
                if "error" in message:
                    raise unavailable(message["error"])
                return

    def _died(self) -> RuntimeUnavailable:
        return RuntimeUnavailable(
            "The lab's supervisor ended before the lab was built. Run `labkit doctor` to see what this machine lacks."
        )


def _ended(pid: int, within: float) -> bool:
    """Whether our child *pid* ends *within* seconds. `Popen.wait` would not see at once that it did."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:  # its end was seen before, by `Popen.poll`
        return True
    try:
        return bool(select.select([pidfd], [], [], within)[0])
    finally:
        os.close(pidfd)


@contextmanager
def _own_pidfd() -> Iterator[int]:
    """This process, as a descriptor that becomes readable when it ends, whoever has forked from it meanwhile."""
    try:
        descriptor = os.pidfd_open(os.getpid())
    except OSError as error:
        raise RuntimeUnavailable(
            f"The netns runtime needs Linux 5.12 or newer (pidfd_open: {error.strerror})."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _executing(program: str) -> Iterator[None]:
    """What keeps *program* from being executed is an error of ours."""
    try:
        yield
    except OSError as error:
        raise RuntimeUnavailable(
            f"The lab's supervisor cannot be started: {program}: {error.strerror}. Install labkit for a Python "
            "that this user may execute."
        ) from error


def unavailable(failure: Mapping[str, Any]) -> RuntimeUnavailable:
    """The error that names what this machine lacks, why, and what mends it."""
    number = failure["errno"] or 0
    answer = remedy(failure["step"], number, facts())
    name = errno.errorcode.get(number, "")
    detail = f"{failure['text']}{f' ({name})' if name and name not in failure['text'] else ''}"
    return RuntimeUnavailable(
        f"The netns runtime cannot build a lab here: {answer.why} [{detail}]. Remedy: {answer.command}"
    )


def _environment() -> dict[str, str]:
    """What the lab's processes get of ours: no secrets of the notebook's."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    coverage = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return kept | coverage | {"PYTHONPATH": path, "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
