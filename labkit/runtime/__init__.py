"""Where nodes live: the Runtime protocol, and the runtimes that carry it out."""

import os
from collections.abc import Sequence

from labkit.errors import RuntimeUnavailable
from labkit.wording import shown

from .protocol import Node, Runtime, Task, TaskLink

__all__ = ["Node", "Runtime", "Task", "TaskLink", "candidates", "clean", "none_of"]

KINDS = ("auto", "netns", "docker", "attached")


def candidates(kind: str) -> list[Runtime]:
    """Fresh runtimes of the kind asked for, to be tried in this order. RuntimeUnavailable names the kinds there are.

    Where the environment names a lab to attach to (``LABKIT_AGENTS``), "auto" is that one.
    """
    if kind not in KINDS:
        raise RuntimeUnavailable(f"There is no runtime {shown(kind)}. Choose one of: {', '.join(KINDS)}.")
    from .attached.runtime import AGENTS, AttachedRuntime
    from .docker.runtime import DockerRuntime
    from .netns.runtime import NetnsRuntime

    if kind == "auto":
        kind = "attached" if os.environ.get(AGENTS) else "any"
    kinds: dict[str, tuple[type[Runtime], ...]] = {
        "any": (NetnsRuntime, DockerRuntime),
        "netns": (NetnsRuntime,),
        "docker": (DockerRuntime,),
        "attached": (AttachedRuntime,),
    }
    return [runtime() for runtime in kinds[kind]]


def none_of(failures: Sequence[tuple[str, RuntimeUnavailable]]) -> RuntimeUnavailable:
    """The error for runtimes that were tried, by name, and failed."""
    if len(failures) == 1:
        return failures[0][1]
    tried = " ".join(f"{name}: {error}" for name, error in failures)
    return RuntimeUnavailable(f"No runtime works here. {tried}")


def clean() -> list[str]:
    """End what dead owners left behind; says in words what was ended. Running labs are left alone."""
    from .docker.leftovers import clean as clean_engine
    from .netns.leftovers import end_orphans

    return [*end_orphans(), *clean_engine()]
