"""What is not the same on every runtime, and why. All else is: a scenario that shows another difference fails.

Each has an observation, whose value on each runtime is told here and tested; docs/runtimes.md has the same as a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from labkit import Lab

from . import inside


@dataclass(frozen=True, slots=True)
class Difference:
    """what: in words. values: by runtime what is observed. words: the same for a reader. why: in a sentence."""

    what: str
    observe: Callable[[Lab], Any]
    values: Mapping[str, Any]
    words: Mapping[str, str]
    why: str


def _users(lab: Lab) -> set[str]:
    return {host.call(inside.user) for host in lab.nodes.values()}


def _administrators(lab: Lab) -> tuple[str, ...]:
    return tuple(name for name, host in lab.nodes.items() if host.call(inside.may_administer))


def _own_processes(lab: Lab) -> bool:
    """Whether alice sees the processes of api1."""
    return lab.alice.call(inside.processes) == lab.api1.call(inside.processes)


def _owners_files(lab: Lab) -> bool:
    return lab.alice.call(inside.device_of_root) == inside.device_of_root()


_HOSTS = ("alice", "bob", "lb", "api1", "api2", "images1", "images2")

DIFFERENCES = (
    Difference(
        "the user that programs in a host run as",
        _users,
        MappingProxyType({"netns": {"root"}, "docker": {"lab"}}),
        MappingProxyType({"netns": "root, who is you outside", "docker": "lab (uid 1000)"}),
        "A namespace of users has a root without rights outside; a container's root would be the engine's.",
    ),
    Difference(
        "hosts whose programs may change their own network",
        _administrators,
        MappingProxyType({"netns": _HOSTS, "docker": ("lb",)}),
        MappingProxyType({"netns": "all", "docker": "lb alone"}),
        "Only the balancer's container has NET_ADMIN; what a fault changes elsewhere is done from beside the host.",
    ),
)
