"""What `ps` shows: every process of a lab goes by the name of its part."""

import ctypes

_PR_SET_NAME = 15
_libc = ctypes.CDLL(None)


def set_name(name: str) -> None:
    """Name this process; the kernel keeps 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def of_target(target: str) -> str:
    """A task's process name: "labkit.balancer.mitmproxy.task:main" goes by "mitmproxy.task"."""
    return ".".join(target.partition(":")[0].split(".")[-2:])
