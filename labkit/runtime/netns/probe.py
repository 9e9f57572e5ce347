"""What of the netns runtime works on this machine, found by doing it, one step after the other.

Run as a program (``python -m labkit.runtime.netns.probe``) it prints one JSON line a step and stops at
the first that fails, in the order of `STEPS`. Everything it makes ends with it.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import mounts
from .process import isolate, set_hostname, settle

_SILENT = "it ended without a word"

STEPS = {
    "namespaces": "user, network, mount, pid and uts namespaces",
    "mounts": "mounts of its own",
    "proc": "a /proc of its own",
    "view": "a view of the files of its own",
    "sysctls": "network settings (/proc/sys/net)",
    "nodes": "hosts with a network and a name of their own",
    "network": "virtual Ethernet cables and bridges",
    "nftables": "nftables NAT rules",
    "capture": "packet capture (AF_PACKET)",
}


def run(seconds: float = 20.0) -> list[dict[str, Any]]:
    """The steps' results, in order: {"step", "works", "errno", "text"}; ends with the first that failed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "labkit.runtime.netns.probe"],
            env=environment,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        said, last = done.stdout, (done.stderr.decode(errors="replace").strip().splitlines() or [_SILENT])[-1]
    except subprocess.TimeoutExpired as late:
        said, last = late.stdout or b"", f"it did not end within {seconds:g} s"
    results = [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]
    if len(results) < len(STEPS) and all(result["works"] for result in results):
        results.append({"step": list(STEPS)[len(results)], "works": False, "errno": 0, "text": last})
    return results


class _Files:
    """The namespaces and the view within them, which belong together: what the first could have decides the last."""

    locked = False

    def namespaces(self) -> None:
        self.locked = isolate()
        child = os.fork()  # the new pid namespace begins with the next process
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def view(self) -> None:
        hidden = mounts.hidden_folders(mounts.user_homes())
        mounts.make_view(hidden, mounts.kept_folders(hidden, mounts.python_folders()))
        settle(in_user_namespace=self.locked)


def _sysctls() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _nodes() -> None:
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWUTS)
    set_hostname("probe")
    os.setns(here, os.CLONE_NEWNET)
    os.close(here)


def _network() -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as netlink:
            netlink.link("add", ifname="probe0", kind="veth", peer={"ifname": "probe1"})
            netlink.link("add", ifname="probebr", kind="bridge")
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _nftables() -> None:
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    try:
        with NFTables(nfgen_family=2) as tables:
            tables.table("add", name="probe")
            tables.chain("add", table="probe", name="nat", type="nat", hook="prerouting", priority=-100)
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _capture() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


_FILES = _Files()
_TRIALS: dict[str, Callable[[], None]] = {
    "namespaces": _FILES.namespaces,
    "mounts": mounts.detach,
    "proc": mounts.make_proc,
    "view": _FILES.view,
    "sysctls": _sysctls,
    "nodes": _nodes,
    "network": _network,
    "nftables": _nftables,
    "capture": _capture,
}


def main() -> None:
    """Try each step; say how it went."""
    for step, trial in _TRIALS.items():
        result: dict[str, Any] = {"step": step, "works": True, "errno": 0, "text": ""}
        try:
            trial()
        except OSError as error:
            result |= {"works": False, "errno": error.errno or 0, "text": str(error)}
        print(json.dumps(result), flush=True)
        if not result["works"]:
            sys.exit(1)


if __name__ == "__main__":
    main()
