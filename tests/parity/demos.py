"""What two runs of the demo must agree on: the figures of ``labkit demo --json`` without what differs from run to run.

Left out are the runtime's name, times and paths. How many packets were captured depends on microseconds (whether an
acknowledgement goes along with data), so of these stays whether there were any.
"""

from collections.abc import Mapping
from typing import Any

_OF_THE_RUN = {"runtime", "ready_seconds", "switch_seconds", "captures"}


def comparable(figures: Mapping[str, Any]) -> dict[str, Any]:
    """figures: as the demo's JSON has them."""
    kept = {name: value for name, value in figures.items() if name not in _OF_THE_RUN}
    return {**kept, "modes": {mode: _mode(told) for mode, told in figures["modes"].items()}}


def _mode(told: Mapping[str, Any]) -> dict[str, Any]:
    loss = {
        vantage: {"captured": counts["captured"] > 0, "dropped": counts["dropped"]}
        for vantage, counts in told["loss"].items()
    }
    return {**told, "loss": loss}
