"""Removes from an engine what labs made there, and nothing else: it goes by their labels, never by names."""

import time
from collections.abc import Iterable

from labkit.errors import RuntimeUnavailable

from .engine import Engine
from .labels import LAB, OWNER, owner_of

_PAUSE = 0.05


def remove(engine: Engine, lab: str, networks: Iterable[str], seconds: float) -> None:
    """Remove *lab*, whose agents have been told to end: containers that do not end within *seconds*, its *networks*."""
    deadline = time.monotonic() + seconds
    while left := engine.containers(lab):
        if time.monotonic() > deadline or all(container["state"] == "created" for container in left):
            for container in left:
                engine.remove(container["id"])
            break
        time.sleep(_PAUSE)
    for network in networks:
        _remove_network(engine, network)


def clean() -> list[str]:
    """`sweep` the engine of this machine, if one answers."""
    try:
        engine = Engine()
    except RuntimeUnavailable:
        return []
    try:
        return sweep(engine)
    finally:
        engine.close()


def sweep(engine: Engine) -> list[str]:
    """Remove what owners of this machine that are dead have left; says in words what that was."""
    removed = []
    for container in engine.containers():
        if _abandoned(container["labels"]):
            engine.remove(container["id"])
            removed.append(f"container {container['name']}")
    for network in engine.networks():
        if _abandoned(network["labels"]) and _remove_network(engine, network["name"]):
            removed.append(f"network {network['name']}")
    return [f"{what} of a lab whose owner is gone" for what in removed]


def _abandoned(labels: dict[str, str]) -> bool:
    owner = owner_of(labels.get(OWNER, "")) if LAB in labels else None
    return owner is not None and owner.dead


def _remove_network(engine: Engine, name: str, seconds: float = 5.0) -> bool:
    """Networks go once the engine has seen that nobody is in them any more."""
    deadline = time.monotonic() + seconds
    while not engine.remove_network(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
