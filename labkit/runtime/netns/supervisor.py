"""The process between a notebook and its lab: enters the namespaces, forks the lab's init, and waits.

Exec'd by the owner in a session of its own and held by a control socket: its end of file means stop.
When the supervisor dies the kernel kills init, and with it everything in the lab's pid namespace.
"""

import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from labkit.runtime.agent.names import set_name
from labkit.runtime.wire import Decoder, Kind, frame, pack, unpack

from . import mounts
from .process import die_with_parent, isolate


def main() -> NoReturn:
    """Entry: ``python -m labkit.runtime.netns.supervisor CONTROL OWNER LIFE``.

    CONTROL is the control socket; LIFE a pidfd of the owner, for a child that it forked may hold the socket's other
    end too. OWNER, its process id, is there for readers of `ps`, `labkit clean` among them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_name("labkit-super")
    control, owner = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[3])
    plan, streams = _receive(control, owner)
    writable = mounts.exposed_folders(os.environ.get("LABKIT_EXPOSE", ""))
    hidden = mounts.hidden_folders(plan["homes"])
    plan |= {
        "hidden": hidden,
        "kept": mounts.kept_folders(hidden, mounts.python_folders()),
        "writable": writable,
        "grace": 5.0 if writable else 0.0,  # who writes into an exposed folder gets the time to finish
    }
    try:
        plan["locked"] = isolate()
    except OSError as error:
        _report(control, {"error": {"step": "namespaces", "errno": error.errno, "text": str(error)}})
        sys.exit(1)
    init, life = _fork_init(control, owner, plan, streams)
    for stream in streams:
        os.close(stream)
    _watch(control, owner, init)
    os.close(life)
    if not _ended(init, plan["grace"] + 0.05):
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
    sys.exit(0)


def _fork_init(control: socket.socket, owner: int, plan: dict[str, Any], streams: list[int]) -> tuple[int, int]:
    life_read, life_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        die_with_parent(signal.SIGKILL)
        os.close(life_write)
        os.close(owner)
        if select.select([life_read], [], [], 0)[0]:
            os._exit(0)  # the supervisor died before the kernel was told to watch it
        from . import init  # in the child: the supervisor itself stays small

        init.main(plan, streams, life_read, lambda message: _report(control, message))
    os.close(life_read)
    return pid, life_write


def _watch(control: socket.socket, owner: int, init: int) -> None:
    """Until the owner ends or closes its end of the control socket, or init ends."""
    pidfd = os.pidfd_open(init)
    select.select([control.fileno(), owner, pidfd], [], [])
    os.close(pidfd)


def _ended(pid: int, within: float) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], within)[0]:
            return False
    finally:
        os.close(pidfd)
    os.waitpid(pid, 0)
    return True


def _report(control: socket.socket, message: dict[str, Any]) -> None:
    try:
        control.sendall(frame(0, Kind.DATA, pack(message)))
    except OSError:
        os._exit(1)  # nobody is left to build a lab for


def _receive(control: socket.socket, owner: int) -> tuple[dict[str, Any], list[int]]:
    """The plan, and one stream a node; the streams come before it, a hundred with each empty message."""
    decoder = Decoder()
    streams: list[int] = []
    while True:
        if control.fileno() not in select.select([control.fileno(), owner], [], [])[0]:
            os._exit(0)
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 100)
        if not data:
            os._exit(0)
        streams += descriptors
        for _, _, body in decoder.feed(data):
            plan = unpack(body)
            if plan is not None:
                return plan, streams


if __name__ == "__main__":
    main()
