"""Whether the lab that somebody else started can be had, found by attaching to it for a moment."""

import os

from labkit.errors import LabError
from labkit.runtime import AGENTS
from labkit.runtime.finding import Finding
from labkit.topology import default

from .runtime import AttachedRuntime, InUse

RUNTIME = "attached runtime"
_PATIENCE = 3.0  # seconds
_REMEDY = "docker compose -f docker/compose.yaml up --detach"


def findings() -> list[Finding]:
    """One, where the environment names such a lab; else none."""
    if not os.environ.get(AGENTS):
        return []
    runtime = AttachedRuntime(ready=_PATIENCE, busy=0.5)
    try:
        runtime.start(default())
    except InUse as busy:
        return [Finding(RUNTIME, True, f"there, and {busy}")]
    except LabError as error:
        return [Finding(RUNTIME, False, str(error), _REMEDY)]
    finally:
        runtime.stop()
    return [Finding(RUNTIME, True, "ready: Lab().start() attaches to the hosts that are there")]
