"""Where nodes live: the Runtime protocol, and the runtimes that carry it out."""

import os
from collections.abc import Iterator, Sequence
from importlib import import_module

from labkit.errors import RuntimeUnavailable
from labkit.wording import shown

from .protocol import Node, Runtime, Task, TaskLink

__all__ = ["Node", "Runtime", "Task", "TaskLink", "candidates", "check", "clean", "none_of"]

AGENTS = "LABKIT_AGENTS"
_AUTO = ("netns", "docker")
_HOMES = {
    "netns": ("labkit.runtime.netns.runtime", "NetnsRuntime"),
    "docker": ("labkit.runtime.docker.runtime", "DockerRuntime"),
    "attached": ("labkit.runtime.attached.runtime", "AttachedRuntime"),
}
KINDS = ("auto", *_HOMES)


def check(kind: str) -> None:
    """RuntimeUnavailable, with the kinds there are, if *kind* is none of them."""
    if kind not in KINDS:
        raise RuntimeUnavailable(f"There is no runtime {shown(kind)}. Choose one of: {', '.join(KINDS)}.")


def candidates(kind: str) -> Iterator[Runtime]:
    """Fresh runtimes of the kind asked for, to be tried in this order; each is loaded when it is its turn.

    Where the environment names a lab to attach to (``LABKIT_AGENTS``), "auto" is that one.
    """
    check(kind)
    automatic = ("attached",) if os.environ.get(AGENTS) else _AUTO
    for name in automatic if kind == "auto" else (kind,):
        module, factory = _HOMES[name]
        runtime: Runtime = getattr(import_module(module), factory)()
        yield runtime


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
