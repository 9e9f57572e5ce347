"""What two runs of the demo must agree on: all of ``labkit demo --json`` but the runtime's name, times and paths."""

from collections.abc import Mapping
from typing import Any

_OF_THE_RUN = {"runtime", "ready_seconds", "switch_seconds", "captures"}


def comparable(figures: Mapping[str, Any]) -> dict[str, Any]:
    """figures: as the demo's JSON has them."""
    return {name: value for name, value in figures.items() if name not in _OF_THE_RUN}
