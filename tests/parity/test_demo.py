"""``labkit demo`` on both runtimes: every claim holds, and the figures of its JSON agree."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import KINDS
from .demos import comparable

FIGURES: dict[str, Any] = {
    "runtime": "netns",
    "ready_seconds": 0.4,
    "switch_seconds": 0.1,
    "modes": {
        "l4": {
            "requests": 40,
            "tcp_connections": {"alice": 20},
            "loss": {"alice": {"captured": 240, "dropped": 0}},
        }
    },
    "captures": {"l4": "out/l4.pcapng"},
}


def changed(**how: Any) -> dict[str, Any]:
    return {**FIGURES, "modes": {"l4": {**FIGURES["modes"]["l4"], **how}}}


def test_what_differs_from_run_to_run_is_left_out() -> None:
    other = {**changed(loss={"alice": {"captured": 243, "dropped": 0}}), "runtime": "docker", "ready_seconds": 5.0}
    assert comparable(other) == comparable(FIGURES)


@pytest.mark.parametrize(
    "how",
    [
        {"requests": 39},
        {"tcp_connections": {"alice": 21}},
        {"loss": {"alice": {"captured": 240, "dropped": 1}}},
        {"loss": {"alice": {"captured": 240, "dropped": None}}},
        {"loss": {"alice": {"captured": 0, "dropped": 0}}},
        {"routes": {"/api/*": {"api1": 20}}},
    ],
)
def test_all_else_is_compared(how: dict[str, Any]) -> None:
    assert comparable(changed(**how)) != comparable(FIGURES)


@pytest.mark.needs("netns", "docker")
def test_the_demo(tmp_path: Path) -> None:
    found = {}
    for kind in dict.fromkeys(KINDS):
        json_path = tmp_path / f"{kind}.json"
        command = [sys.executable, "-m", "labkit", "demo", "--runtime", kind, "--json", str(json_path)]
        ran = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        found[kind] = json.loads(json_path.read_text())
        assert found[kind]["runtime"] == kind
    first, *others = map(comparable, found.values())
    assert first["modes"]["l4"]["answered"] == first["modes"]["l7"]["answered"] == 40
    for other in others:
        assert other == first
