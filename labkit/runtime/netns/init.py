"""Process 1 of a lab: makes its view of the files, has its network built, forks one agent a node.

Single-threaded; has everything imported that the nodes need before it forks them. When it ends, for
whatever reason, the kernel ends every process of the lab.
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from labkit.runtime.agent.names import set_name
from labkit.runtime.agent.serve import Agent
from labkit.runtime.wire import pack, unpack

from . import mounts
from .process import die_with_parent, set_hostname, settle

_SCRATCH = Path("/run/labkit")


def main(plan: dict[str, Any], streams: list[int], life: int, report: Callable[[dict[str, Any]], None]) -> NoReturn:
    """Build the lab, report ``{"ready": True}`` or an error, and stay until *life* reads EOF."""
    set_name("labkit-init")
    gc.disable()  # modules are no garbage, and looking for some among them takes a tenth of the boot
    step = "mounts"
    try:
        mounts.detach()
        step = "proc"
        mounts.make_proc()
        step = "view"
        mounts.make_view(plan["hidden"], plan["kept"], plan["writable"])
        _SCRATCH.mkdir()
        mounts.cover_file("/etc/hosts", plan["hosts"], _SCRATCH)
        mounts.cover_file("/etc/resolv.conf", "", _SCRATCH)
        step = "namespaces"
        settle(in_user_namespace=plan["locked"])
        die_with_parent(signal.SIGKILL)  # entering a user namespace may have ended that
    except OSError as error:
        report({"error": {"step": step, "errno": error.errno, "text": str(error)}})
        os._exit(1)
    if select.select([life], [], [], 0)[0]:
        os._exit(0)  # the supervisor died just before
    importlib.invalidate_caches()  # folders have other contents now
    channel, builder = _start_builder(plan, streams)
    agents = []
    try:
        _preload(plan["preload"])
        namespaces = _receive_namespaces(channel, len(plan["nodes"]))
        channel.close()
        os.waitpid(builder, 0)
        gc.freeze()  # a node that looks through these objects would get a copy of their pages
        for node, stream, namespace in zip(plan["nodes"], streams, namespaces, strict=True):
            agents.append(_fork_agent(node["name"], stream, namespace, {life, *streams, *namespaces}))
    except BuildFailed as error:
        report({"error": error.args[0]})
        os._exit(1)
    for descriptor in (*streams, *namespaces):
        os.close(descriptor)
    report({"ready": True, "agents": agents})
    _stay(life, plan["grace"])
    os._exit(0)


class BuildFailed(Exception):
    """The builder said why, as plain data."""


def _preload(modules: list[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise BuildFailed({"step": "imports", "errno": 0, "text": f"{module}: {error}"}) from error


def _start_builder(plan: dict[str, Any], streams: list[int]) -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        for stream in streams:
            os.close(stream)
        _build(plan, theirs)
    theirs.close()
    return ours, pid


def _build(plan: dict[str, Any], channel: socket.socket) -> NoReturn:
    from . import builder  # here, so that pyroute2 stays out of init and the nodes

    status = 0
    try:
        builder.send_namespaces(channel, builder.build(plan))
    except builder.BuildError as error:
        step, number = error.args
        channel.send(pack({"step": step, "errno": number, "text": os.strerror(number)}))
        status = 1
    except Exception as error:  # whatever it was, the owner must hear of it
        channel.send(pack({"step": "network", "errno": getattr(error, "errno", 0), "text": repr(error)}))
        status = 1
    os._exit(status)


def _receive_namespaces(channel: socket.socket, count: int) -> list[int]:
    namespaces: list[int] = []
    while len(namespaces) < count:
        data, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 100)
        if not descriptors:
            raise BuildFailed(_failure(data))
        namespaces += descriptors
    return namespaces


def _failure(data: bytes) -> dict[str, Any]:
    if not data:
        return {"step": "network", "errno": 0, "text": "the builder ended without a word"}
    failure: dict[str, Any] = unpack(data)
    return failure


def _fork_agent(name: str, stream: int, namespace: int, others: set[int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    gc.enable()
    set_name(name)
    os.setns(namespace, os.CLONE_NEWNET)
    os.unshare(os.CLONE_NEWNS | os.CLONE_NEWUTS)
    set_hostname(name)
    for descriptor in others - {stream}:
        os.close(descriptor)
    Agent(socket.socket(fileno=stream), name).serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _stay(life: int, grace: float) -> None:
    """Reap what ends, until the supervisor's end of *life* is closed; then give the nodes *grace* seconds."""
    wake, ring = os.pipe()
    os.set_blocking(ring, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _reap()
    while life not in select.select([life, wake], [], [])[0]:
        os.read(wake, 4096)
        _reap()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and _reap():
        select.select([wake], [], [], 0.02)


def _reap() -> bool:
    """Collect every child that ended. False when there is none left."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True
