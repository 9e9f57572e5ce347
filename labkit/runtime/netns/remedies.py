"""From a step that failed and its errno to what is missing, why, and the command that mends it. Pure."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """The kernel's switches that decide about user namespaces, and whether this is a container."""
    found = {name: Path(path).read_text().strip() for name, path in _SWITCHES.items() if Path(path).exists()}
    found["container"] = "1" if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() else "0"
    return found


def remedy(step: str, number: int, known: Mapping[str, str]) -> Remedy:
    """The remedy for *step* (namespaces, mounts, network, nftables, capture) that failed with errno *number*."""
    for wanted, numbers, fact, value, answer in _TABLE:
        if step == wanted and (not numbers or number in numbers) and (fact is None or known.get(fact) == value):
            return answer
    return Remedy(
        f"the step {step!r} failed with {errno.errorcode.get(number, number)}",
        "run `labkit doctor` and report what it prints",
    )


_DENIED = (errno.EPERM, errno.EACCES)
_ABSENT = (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ENODEV)
_CONTAINER = Remedy(
    "this container's seccomp profile forbids user namespaces",
    "run the container with `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`",
)
_TABLE: tuple[tuple[str, tuple[int, ...], str | None, str | None, Remedy], ...] = (
    (
        "namespaces",
        (errno.ENOSPC,),
        "max_user_namespaces",
        "0",
        Remedy(
            "user namespaces are switched off: user.max_user_namespaces is 0",
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
    ),
    (
        "namespaces",
        (errno.ENOSPC,),
        None,
        None,
        Remedy(
            "the limit of user or network namespaces is used up",
            "sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000",
        ),
    ),
    (
        "namespaces",
        _DENIED,
        "unprivileged_userns_clone",
        "0",
        Remedy(
            "user namespaces are for root only: kernel.unprivileged_userns_clone is 0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
    ),
    (
        "namespaces",
        _DENIED,
        "apparmor_restrict",
        "1",
        Remedy(
            "AppArmor takes the rights away from unprivileged user namespaces (Ubuntu 23.10 and newer)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ),
    ("namespaces", _DENIED, "container", "1", _CONTAINER),
    (
        "namespaces",
        (errno.EINVAL, errno.ENOSYS),
        None,
        None,
        Remedy("this kernel has no user namespaces", "use a kernel with CONFIG_USER_NS=y"),
    ),
    (
        "mounts",
        _DENIED,
        "apparmor_restrict",
        "1",
        Remedy(
            "AppArmor takes the rights away from unprivileged user namespaces (Ubuntu 23.10 and newer)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ),
    ("mounts", _DENIED, "container", "1", _CONTAINER),
    (
        "network",
        _ABSENT,
        None,
        None,
        Remedy("this kernel lacks virtual Ethernet cables or bridges", "sudo modprobe -a veth bridge"),
    ),
    (
        "imports",
        (),
        None,
        None,
        Remedy("a module that the nodes need cannot be imported there", "install labkit with all it depends on"),
    ),
    (
        "nftables",
        (),
        None,
        None,
        Remedy(
            "this kernel cannot load an nftables NAT rule",
            "sudo modprobe -a nf_tables nft_chain_nat nft_numgen nf_conntrack",
        ),
    ),
    (
        "capture",
        (),
        None,
        None,
        Remedy("this kernel gives no packet sockets", "sudo modprobe af_packet"),
    ),
)
