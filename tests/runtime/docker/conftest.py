"""A lab of containers that the tests of a module share, and looking at the engine past labkit."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from labkit import Lab


def docker(*arguments: str) -> str:
    """What the engine's own command says."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def inspected(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return found[0]


def of_lab(lab: str) -> list[str]:
    """Names of the containers and networks with the label of *lab*."""
    label = f"label=labkit.lab={lab}"
    containers = docker("ps", "--all", "--filter", label, "--format", "{{.Names}}")
    networks = docker("network", "ls", "--filter", label, "--format", "{{.Name}}")
    return sorted(f"{containers}\n{networks}".split())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(runtime="docker") as started:
        yield started
