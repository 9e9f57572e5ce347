"""The labs that are compared: one on each runtime, booted when the first scenario needs them.

LABKIT_PARITY names the kinds ("netns,docker" unless it is set). The same kind twice (``netns,netns``) asks whether the
scenarios themselves say the same thing every time; a kind alone only whether what is claimed holds there.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labkit import Lab
from labkit.topology import direct_return

from .naming import Names
from .seeing import macs

KINDS = tuple(os.environ.get("LABKIT_PARITY", "netns,docker").split(","))

type Scenario = Callable[[Lab, Names], Any]
"""What is done with a lab; returns what it showed, as plain data with names for addresses and without times."""


class Pair:
    """The labs of one topology, and what they show of the same scenario."""

    def __init__(self, labs: dict[str, Lab]) -> None:
        self._labs = labs
        self._names = {kind: Names(lab) for kind, lab in labs.items()}
        for kind, lab in labs.items():
            self._names[kind].learn_macs(macs(lab))

    @property
    def labs(self) -> list[Lab]:
        return [*self._labs.values()]

    def each(self, scenario: Scenario) -> dict[str, Any]:
        """What each lab shows. Afterwards it forwards at L4 again, and every backend serves."""
        found = {}
        for kind, lab in self._labs.items():
            try:
                found[kind] = scenario(lab, self._names[kind])
            finally:
                lab.balancer.l4()
                until_served(lab)
        return found

    def same(self, scenario: Scenario) -> Any:
        """What all labs show alike; AssertionError where they do not."""
        found = self.each(scenario)
        (first, seen), *others = found.items()
        for kind, other in others:
            told = "\n".join(apart(seen, other))
            assert other == seen, f"{first} shows something else than {kind}:\n{told}"
        return seen


def until_served(lab: Lab) -> None:
    """A backend that was down may take a moment until its health is known again."""
    deadline = time.monotonic() + 10
    while {"down", "partly"} & set(lab.balancer.health.values()):
        assert time.monotonic() < deadline, "a backend is not served again"
        time.sleep(0.05)


def apart(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Where two observations differ, a line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from apart(one.get(key, "nothing"), other.get(key, "nothing"), f"{where}[{key!r}]")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from apart(*pair, f"{where}[{place}]")
    elif one != other and isinstance(one, list | set) and isinstance(other, list | set):
        yield f"{where}: {[each for each in one if each not in other]} against {[x for x in other if x not in one]}"
    elif one != other:
        yield f"{where}: {one!r:.300} against {other!r:.300}"


@contextlib.contextmanager
def _booted(*topology: Any) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        labs = [stack.enter_context(Lab(*topology, runtime=kind)) for kind in KINDS]
        yield Pair({f"{kind} {number}": lab for number, (kind, lab) in enumerate(zip(KINDS, labs, strict=True), 1)})


@pytest.fixture(scope="package")
def pair() -> Iterator[Pair]:
    """Labs of the default topology."""
    with _booted() as pair:
        yield pair


@pytest.fixture(scope="package")
def direct_pair() -> Iterator[Pair]:
    """Labs in which direct return is possible."""
    with _booted(direct_return()) as pair:
        yield pair
