"""What works on this machine, what does not, why, and the exact command that mends it."""

import sys
from typing import Any

from .attached.doctor import findings as attached
from .docker.doctor import findings as docker
from .finding import Finding
from .netns import probe
from .netns.remedies import facts, remedy

__all__ = ["Finding", "attached", "docker", "netns", "report"]


def report() -> list[Finding]:
    """Python's version, then what each runtime needs, tried for real; each stops at the first that fails.

    Where the environment names a lab to attach to, no engine is looked for: there it is out of reach on purpose.
    """
    there = attached()
    return [_python(), *there, *netns(), *(() if there else docker())]


def netns() -> list[Finding]:
    """The steps of the netns runtime; the last says whether it can be used."""
    if not sys.platform.startswith("linux"):
        return [Finding("netns runtime", False, "it needs Linux", 'use Lab(runtime="docker"), or WSL2')]
    steps = probe.run()
    findings = [_step(result) for result in steps]
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
