"""What is not the same on every runtime, and why. All else is: a scenario that shows another difference fails.

Each has an observation, whose value on each runtime is told here and tested; docs/runtimes.md has the same as a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit import Lab

from . import inside

_HOSTS = ("alice", "bob", "lb", "api1", "api2", "images1", "images2")


@dataclass(frozen=True, slots=True)
class Difference:
    """what: in words. observe: how it is seen. values: what is seen, by runtime; words: the same for a reader."""

    what: str
    observe: Callable[[Lab], Any]
    values: Mapping[str, Any]
    words: Mapping[str, str]
    why: str


def _users(lab: Lab) -> set[str]:
    return {host.call(inside.user) for host in lab.nodes.values()}


def _administrators(lab: Lab) -> tuple[str, ...]:
    return tuple(name for name, host in lab.nodes.items() if host.call(inside.may_administer))


def _one_process_tree(lab: Lab) -> bool:
    return len({host.call(inside.process_tree) for host in lab.nodes.values()}) == 1


def _one_scratch_folder(lab: Lab) -> bool:
    return len({host.call(inside.scratch_folder) for host in lab.nodes.values()}) == 1


def _this_machines_programs(lab: Lab) -> bool:
    return bool(lab.alice.call(inside.programs) == inside.programs())


def _answers_to_everybody(lab: Lab) -> bool:
    """Whether somebody besides the lab's hosts answers, when lb asks all that are on its front link."""
    with lab.capture("lb:front") as cap:
        lab.lb.call(inside.ask_everybody, "front")
    known = {interface.mac for node in lab.topology.nodes for interface in node.interfaces}
    return not {cap.packet(number).src for number in cap.packets()["number"]} <= known


DIFFERENCES = (
    Difference(
        "The user that programs in a host run as",
        _users,
        {"netns": {"root"}, "docker": {"lab"}},
        {"netns": "root, who outside is you", "docker": "lab (uid 1000)"},
        "The root of a user namespace has no rights outside it; that of a container would be the engine's machine's.",
    ),
    Difference(
        "Hosts whose programs may change their own network",
        _administrators,
        {"netns": _HOSTS, "docker": ("lb",)},
        {"netns": "all", "docker": "lb alone"},
        "Only the balancer needs it; what a fault changes in another host is changed from beside it.",
    ),
    Difference(
        "Whether hosts see each other's processes",
        _one_process_tree,
        {"netns": True, "docker": False},
        {"netns": "yes", "docker": "no"},
        "A lab of namespaces has one process tree, so that all of it ends at once; a container has its own.",
    ),
    Difference(
        "Whether hosts share /tmp",
        _one_scratch_folder,
        {"netns": True, "docker": False},
        {"netns": "yes, it is the lab's", "docker": "no, each has its own"},
        "A lab of namespaces has one view of the file system; a container has its own.",
    ),
    Difference(
        "The programs that a host can run",
        _this_machines_programs,
        {"netns": True, "docker": False},
        {"netns": "this machine's", "docker": "the image's"},
        "A container brings its file system along.",
    ),
    Difference(
        "Whether others than the lab's hosts are heard on a link",
        _answers_to_everybody,
        {"netns": False, "docker": True},
        {"netns": "no", "docker": "the engine's bridge: IGMP, ICMPv6; the ladder says so below its rows"},
        "Docker's bridge is an interface of the engine's machine, which has an IPv6 address of the link's own there.",
    ),
)
