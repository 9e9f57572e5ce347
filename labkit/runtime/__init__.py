"""Where nodes live: the Runtime protocol, and the runtimes that carry it out."""

from labkit.errors import RuntimeUnavailable
from labkit.wording import shown

from .protocol import Node, Runtime, Task, TaskLink

__all__ = ["Node", "Runtime", "Task", "TaskLink", "choose", "clean"]

KINDS = ("auto", "netns", "docker")


def choose(kind: str) -> Runtime:
    """A fresh runtime of the kind asked for. RuntimeUnavailable names the kinds there are."""
    if kind not in KINDS:
        raise RuntimeUnavailable(f"There is no runtime {shown(kind)}. Choose one of: {', '.join(KINDS)}.")
    if kind == "docker":
        from .docker.runtime import DockerRuntime

        return DockerRuntime()
    from .netns.runtime import NetnsRuntime

    return NetnsRuntime()


def clean() -> list[str]:
    """End what dead owners left behind; says in words what was ended. Running labs are left alone."""
    from .netns.leftovers import end_orphans

    return end_orphans()
