"""What all tests share: the marker ``needs``, which skips where a thing is missing and says why.

LABKIT_REQUIRE names things that must be there (``netns,nft`` or ``all``): a test that needs a missing one of these
then fails instead of being skipped, so that a machine that should have them cannot pass without them.
"""

import functools
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.compose.command import compose_command
from tests.interrupt import strike

# Hosts of a lab see none of the user's files; the functions that tests run inside them are in this folder.
os.environ["LABKIT_EXPOSE"] = os.pathsep.join(
    path for path in (os.environ.get("LABKIT_EXPOSE", ""), str(Path(__file__).parent)) if path
)

# A shell starts background jobs with the interrupt ignored, and so would be every process that a test interrupts.
signal.signal(signal.SIGINT, strike)


# What tells a process that begins to measure its coverage (`tools/test.sh`).
_MEASURING = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))}


def _measure(wanted: bool) -> None:
    """Whether processes that begin from now on, a lab's hosts among them, measure theirs: it slows them threefold."""
    for name, value in _MEASURING.items():
        if wanted:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a failure when it happens: a run that is ended from outside comes to no summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        told = report.longreprtext.splitlines()[-30:]
        print(f"\nFAILED {report.nodeid} ({report.when})", *told, sep="\n", file=sys.__stderr__, flush=True)


@functools.cache
def missing(thing: str) -> str:
    """Why *thing* cannot be used here; empty if it can."""
    if thing == "netns":
        from labkit.runtime.doctor import netns

        failing = [f"{finding.name}: {finding.detail}" for finding in netns() if not finding.works]
        return failing[0] if failing else ""
    if thing == "docker":
        return _no_engine()
    if thing == "compose":
        return "" if compose_command() else "there is neither docker compose nor docker-compose"
    return "" if shutil.which(thing) else f"there is no {thing} on PATH"


def _no_engine() -> str:
    """Why no Docker engine can be used here; empty if one answers that can build the image of a lab's hosts."""
    from labkit.errors import LabError
    from labkit.runtime.docker import image
    from labkit.runtime.docker.engine import Engine

    try:
        engine = Engine()
        base = image.base_image()
        return "" if engine.has_image(base) or engine.has_image(image.tag()) else f"the engine has no image {base}"
    except LabError as error:
        return str(error)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs an engine has the marker ``docker``: `make docker-test` runs it, and nothing else does."""
    for item in items:
        if any("docker" in mark.args for mark in item.iter_markers("needs")):
            item.add_marker("docker")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _measure(item.get_closest_marker("measured") is not None)
    required = os.environ.get("LABKIT_REQUIRE", "").split(",")
    for mark in item.iter_markers("needs"):
        for thing in mark.args:
            reason = missing(thing)
            if reason and (thing in required or "all" in required):
                pytest.fail(f"needs {thing}, which LABKIT_REQUIRE demands: {reason}", pytrace=False)
            if reason:
                pytest.skip(f"needs {thing}: {reason}")
