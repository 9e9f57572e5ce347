"""What works on this machine, what does not, why, and the exact command that mends it."""

import sys
from dataclasses import dataclass
from typing import Any

from .netns import probe
from .netns.remedies import facts, remedy


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. *remedy* is a command or an instruction; empty where nothing is wrong."""

    name: str
    works: bool
    detail: str
    remedy: str = ""


def report() -> list[Finding]:
    """Python's version, then each step of the netns runtime, tried for real; stops at the first that fails."""
    findings = [_python()]
    if not sys.platform.startswith("linux"):
        return [
            *findings,
            Finding("netns runtime", False, "it needs Linux", "run labkit in a Linux machine or in WSL2"),
        ]
    steps = probe.run()
    findings += [_step(result) for result in steps]
    complete = len(steps) == len(probe.STEPS) and steps[-1]["works"]
    detail = "ready: Lab().start() works here" if complete else f"not available: {findings[-1].detail}"
    return [*findings, Finding("netns runtime", complete, detail, findings[-1].remedy)]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("Python", sys.version_info >= (3, 12), f"{version}", "")


def _step(result: dict[str, Any]) -> Finding:
    name = probe.STEPS[result["step"]]
    if result["works"]:
        return Finding(name, True, "works")
    answer = remedy(result["step"], result["errno"], facts())
    return Finding(name, False, f"{answer.why} [{result['text']}]", answer.command)
