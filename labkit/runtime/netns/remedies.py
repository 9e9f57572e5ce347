"""From a step that failed and its errno to what is missing, why, and the command that mends it. Pure, but for `facts`.

Inside a container that is mostly how the container was started: `containers` knows the words.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import containers

_SWITCHES = {
    "max_user_namespaces": "/proc/sys/user/max_user_namespaces",
    "unprivileged_userns_clone": "/proc/sys/kernel/unprivileged_userns_clone",
    "apparmor_restrict": "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """Why a step failed, and what to do about it."""

    why: str
    command: str

    def __str__(self) -> str:
        return f"{self.why}. Remedy: {self.command}"


def facts() -> dict[str, str]:
    """The kernel's switches that decide about user namespaces, and whether and how this is a container."""
    found = {name: Path(path).read_text().strip() for name, path in _SWITCHES.items() if Path(path).exists()}
    return found | containers.facts()


def remedy(step: str, number: int, known: Mapping[str, str]) -> Remedy:
    """The remedy for *step* (one of `probe.STEPS`, or imports) that failed with errno *number*."""
    for steps, numbers, wanted, answer in _TABLE:
        if step in steps.split() and (not numbers or number in numbers) and wanted.items() <= known.items():
            return answer if answer.command else replace(answer, command=containers.options(known))
    return Remedy(
        f"the step {step!r} failed with {errno.errorcode.get(number, number)}",
        "run `labkit doctor` and report what it prints",
    )


_DENIED = (errno.EPERM, errno.EACCES)
_ABSENT = (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ENODEV)
_CONTAINER = {"container": "1"}
_HOW_IT_WAS_STARTED = ""  # in place of a command: the container wants other options

# Steps, errnos (none: any), facts that must be so, and the answer; the first row that fits.
_TABLE: tuple[tuple[str, tuple[int, ...], dict[str, str], Remedy], ...] = (
    (
        "namespaces",
        (errno.ENOSPC,),
        {"max_user_namespaces": "0"},
        Remedy(
            "user namespaces are switched off: user.max_user_namespaces is 0",
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
    ),
    (
        "namespaces",
        (errno.ENOSPC,),
        {},
        Remedy(
            "the limit of user or network namespaces is used up",
            "sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000",
        ),
    ),
    (
        "namespaces",
        _DENIED,
        {"unprivileged_userns_clone": "0"},
        Remedy(
            "user namespaces are for root only: kernel.unprivileged_userns_clone is 0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
    ),
    (
        "namespaces",
        _DENIED,
        _CONTAINER | {"seccomp": "1"},
        Remedy("this container's seccomp profile forbids user namespaces", _HOW_IT_WAS_STARTED),
    ),
    (
        "namespaces",
        _DENIED,
        _CONTAINER | {"seccomp": "0", "root": "1"},
        Remedy("root in this container lacks the rights to make a user namespace of its own", _HOW_IT_WAS_STARTED),
    ),
    (
        "mounts",
        _DENIED,
        _CONTAINER | {"confined": "apparmor"},
        Remedy("this container's AppArmor profile forbids mounts", _HOW_IT_WAS_STARTED),
    ),
    (
        "mounts proc view",
        _DENIED,
        _CONTAINER | {"confined": "selinux"},
        Remedy("SELinux forbids mounts to processes of containers", _HOW_IT_WAS_STARTED),
    ),
    (
        "namespaces mounts",
        _DENIED,
        {"apparmor_restrict": "1"},
        Remedy(
            "AppArmor takes the rights away from unprivileged user namespaces (Ubuntu 23.10 and newer)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ),
    (
        "mounts view",
        _DENIED,
        _CONTAINER | {"seccomp": "1"},
        Remedy("this container's seccomp profile forbids mounts", _HOW_IT_WAS_STARTED),
    ),
    (
        "proc",
        _DENIED,
        _CONTAINER,
        Remedy(
            "this container's engine covers parts of /proc, so the kernel allows no other one in it",
            _HOW_IT_WAS_STARTED,
        ),
    ),
    (
        "sysctls",
        (*_DENIED, errno.EROFS),
        _CONTAINER,
        Remedy("/proc/sys is read-only in this container", _HOW_IT_WAS_STARTED),
    ),
    (
        "nodes",
        _DENIED,
        _CONTAINER,
        Remedy("this container's seccomp profile forbids what hosts of a lab begin with", _HOW_IT_WAS_STARTED),
    ),
    (
        "namespaces",
        (errno.EINVAL, errno.ENOSYS),
        {},
        Remedy("this kernel has no user namespaces", "use a kernel with CONFIG_USER_NS=y"),
    ),
    (
        "network",
        _ABSENT,
        {},
        Remedy("this kernel lacks virtual Ethernet cables or bridges", "sudo modprobe -a veth bridge"),
    ),
    (
        "imports",
        (),
        {},
        Remedy("a module that the nodes need cannot be imported there", "install labkit with all it depends on"),
    ),
    (
        "nftables",
        (),
        {},
        Remedy(
            "this kernel cannot load an nftables NAT rule",
            "sudo modprobe -a nf_tables nft_chain_nat nft_numgen nf_conntrack",
        ),
    ),
    (
        "capture",
        (),
        {},
        Remedy("this kernel gives no packet sockets", "sudo modprobe af_packet"),
    ),
)
