"""Removes from an engine what labs made there, and nothing else: it goes by their labels, never by names."""

import os
import time
from collections.abc import Mapping
from typing import Any

from labkit.errors import RuntimeUnavailable

from .engine import Engine
from .labels import LAB, OWNER, owner_of

_PAUSE = 0.05
_PATIENCE = 5.0  # seconds
_STARTING = 60.0  # seconds that an engine may take to start a container, its clock's difference from ours included


def remove(engine: Engine, lab: str, seconds: float) -> None:
    """Remove *lab*, whose agents have been told to end: containers that do not end within *seconds*, its networks."""
    deadline = time.monotonic() + seconds
    while left := engine.containers(lab):
        if time.monotonic() > deadline or all(container["state"] == "created" for container in left):
            for container in left:
                engine.remove(container["id"])
            break
        time.sleep(_PAUSE)
    for network in engine.networks():
        if network["labels"].get(LAB) == lab:
            _remove_network(engine, network["name"])


def clean() -> list[str]:
    """`sweep` the engine of this machine, with the patience that a user has who asks for it.

    One that does not answer is told of where the user has named it, and else taken for absent.
    """
    try:
        engine = Engine()
    except RuntimeUnavailable as error:
        named = any(os.environ.get(name) for name in ("DOCKER_HOST", "DOCKER_CONTEXT"))
        return [f"of Docker's nothing was looked at: {error}"] if named else []
    try:
        return sweep(engine, _PATIENCE)
    finally:
        engine.close()


def sweep(engine: Engine, patience: float = 0.0) -> list[str]:
    """Remove what owners of this machine that are dead have left; says in words what that was.

    A container that the engine may just be starting is given *patience* seconds to become what it will be, and without
    is left to the next sweep: one that is removed meanwhile would stay counted in its network for ever.
    """
    deadline = time.monotonic() + patience
    while any(map(_beginning, left := _containers(engine))) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    said = []
    for container in left:
        if patience or not _beginning(container):
            engine.remove(container["id"])
            said.append(f"container {container['name']} of a lab whose owner is gone")
    for network in engine.networks():
        if _abandoned(network["labels"]):
            if _remove_network(engine, network["name"], max(0.0, deadline - time.monotonic())):
                said.append(f"network {network['name']} of a lab whose owner is gone")
            elif patience:
                said.append(f"network {network['name']} stays: the engine counts somebody in it until it is restarted")
    return said


def _containers(engine: Engine) -> list[dict[str, Any]]:
    return [container for container in engine.containers() if _abandoned(container["labels"])]


def _beginning(container: Mapping[str, Any]) -> bool:
    return bool(container["state"] == "created" and container["age"] < _STARTING)


def _abandoned(labels: dict[str, str]) -> bool:
    owner = owner_of(labels.get(OWNER, "")) if LAB in labels else None
    return owner is not None and owner.dead


def _remove_network(engine: Engine, name: str, seconds: float = _PATIENCE) -> bool:
    """Networks go once the engine has seen that nobody is in them any more."""
    deadline = time.monotonic() + seconds
    while not engine.remove_network(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
