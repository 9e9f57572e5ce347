"""What a container must be started with so that labs of network namespaces run in it, in its engine's own words.

It says no more than what to write; why something failed is found by `remedies`. docker/seccomp.md explains each option.
Pure, but for `facts`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from .process import refused_by_filter

PROFILE = "docker/seccomp.json"  # in labkit's repository; the engine reads it, outside the container

_MARKS = {"docker": "/.dockerenv", "podman": "/run/.containerenv"}
_LABELS = ("/proc/self/attr/apparmor/current", "/proc/self/attr/current")


def facts() -> dict[str, str]:
    """Which *engine* runs the container that this is, if it is one, and what confines this process."""
    marked = [engine for engine, mark in _MARKS.items() if Path(mark).exists()]
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        marked.insert(0, "kubernetes")
    return {
        "container": "1" if marked else "0",
        "engine": marked[0] if marked else "",
        "seccomp": "1" if refused_by_filter() else "0",
        "confined": confinement(_label()),
        "root": "1" if os.geteuid() == 0 else "0",
    }


def confinement(label: str) -> str:
    """The security module whose profile for containers stands in *label*, as the kernel shows it for a process."""
    if label.endswith("(enforce)"):
        return "apparmor"
    return "selinux" if ":container_t:" in label else ""


def options(known: Mapping[str, str]) -> str:
    """All that the container of these facts must be started with, whichever of it was found missing first.

    Never as root: where /proc is uncovered, root in a container may change settings of the whole machine.
    """
    confined, root = known.get("confined", ""), known.get("root") == "1"
    match known.get("engine"):
        case "kubernetes":
            return (
                "set the pod's `hostUsers: false` and the container's `securityContext`: `procMount: Unmasked` and "
                f"`seccompProfile: {{type: Localhost, localhostProfile: labkit.json}}`, where labkit.json is {PROFILE} "
                "of labkit's repository, put into the node's /var/lib/kubelet/seccomp"
                + ("; also `appArmorProfile: {type: Unconfined}`" if confined == "apparmor" else "")
                + ("; also `runAsUser: 1000`" if root else "")
            )
        case "podman":
            return _run("podman", "--security-opt unmask=ALL", confined, root)
    return _run("docker", "--security-opt systempaths=unconfined", confined, root)


def _run(program: str, unmasked: str, confined: str, root: bool) -> str:
    words = [f"{program} run{' --user 1000' if root else ''} --security-opt seccomp={PROFILE}", unmasked]
    if confined == "apparmor":
        words.append("--security-opt apparmor=unconfined")
    if confined == "selinux":
        words.append("--security-opt label=disable")
    return f"{' '.join(words)} …   # in a clone of labkit's repository"


def _label() -> str:
    for path in _LABELS:
        try:
            return Path(path).read_text().strip("\0\n ")
        except OSError:  # no such module, or none that labels processes
            continue
    return ""
