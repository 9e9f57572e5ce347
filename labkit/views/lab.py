"""A lab as a notebook shows it: the picture of its hosts, what runs it, its mode, and what is running."""

from collections.abc import Sequence
from typing import Protocol

from labkit.errors import LabNotRunning
from labkit.topology import Listener, Topology

from .picture import Picture
from .topology import SERVING, topology_diagram


class Serving(Protocol):
    """A backend: its name, and whether its server answers."""

    @property
    def name(self) -> str: ...

    @property
    def serving(self) -> bool: ...


class Mode(Protocol):
    """The balancer: its mode ("l4" or "l7"); its repr says line by line what it carries out and what is wrong."""

    @property
    def mode(self) -> str: ...

    @property
    def relayed(self) -> Sequence[Listener]: ...


class LabState(Protocol):
    """What is asked of a lab in order to show it."""

    @property
    def topology(self) -> Topology: ...

    @property
    def runtime(self) -> str: ...

    @property
    def running(self) -> bool: ...

    @property
    def balancer(self) -> Mode: ...

    @property
    def backends(self) -> Sequence[Serving]: ...


def mode_now(lab: LabState) -> str | None:
    """The mode of a running lab; None if it does not run."""
    try:
        return lab.balancer.mode if lab.running else None
    except LabNotRunning:  # it was stopped this very moment
        return None


def lab_picture(lab: LabState) -> Picture:
    """The lab as it is now; the text says the same and the same lab gives the same text."""
    mode = mode_now(lab)
    up = mode is not None
    states = {backend.name: SERVING if backend.serving else "not serving" for backend in lab.backends} if up else {}
    serving = sum(state == SERVING for state in states.values())
    servers = f"{serving} of {len(states)} servers answer" if up else "not running: lab.start() boots it"
    notes = [f"runtime {lab.runtime}: {servers}", *(repr(lab.balancer).splitlines() if up else ())]
    relays = bool(up and lab.balancer.relayed)
    return topology_diagram(lab.topology, mode, running=states, notes=notes, relays=relays)


def lab_bundle(lab: LabState) -> dict[str, str]:
    """The mime bundle of a lab: ``image/svg+xml`` and ``text/plain``."""
    return lab_picture(lab)._repr_mimebundle_()
