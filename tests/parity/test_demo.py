"""``labkit demo``: in every run, on both runtimes, every claim holds, and the figures of its JSON are the same."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import KINDS, apart
from .demos import comparable

FIGURES: dict[str, Any] = {
    "runtime": "netns",
    "ready_seconds": 0.4,
    "switch_seconds": 0.1,
    "modes": {
        "l4": {
            "requests": 40,
            "tcp_connections": {"alice": 20},
            "loss": {"alice": {"captured": 80, "dropped": 0}},
        }
    },
    "captures": {"l4": "out/l4.pcapng"},
}


def changed(**how: Any) -> dict[str, Any]:
    return {**FIGURES, "modes": {"l4": {**FIGURES["modes"]["l4"], **how}}}


def test_what_differs_from_run_to_run_is_left_out() -> None:
    run = {"runtime": "docker", "ready_seconds": 5.0, "switch_seconds": 0.2, "captures": {"l4": "elsewhere/l4.pcapng"}}
    other = {**changed(), **run}
    assert comparable(other) == comparable(FIGURES)


@pytest.mark.parametrize(
    "how",
    [
        {"requests": 39},
        {"tcp_connections": {"alice": 21}},
        {"loss": {"alice": {"captured": 80, "dropped": 1}}},
        {"loss": {"alice": {"captured": 80, "dropped": None}}},
        {"loss": {"alice": {"captured": 81, "dropped": 0}}},
        {"routes": {"/api/*": {"api1": 20}}},
    ],
)
def test_all_else_is_compared(how: dict[str, Any]) -> None:
    assert comparable(changed(**how)) != comparable(FIGURES)


@pytest.mark.needs("netns", "docker")
def test_the_demo_on_both_runtimes(tmp_path: Path) -> None:
    agree([demo(kind, tmp_path / f"{kind} {number}") for number, kind in enumerate(KINDS)])


@pytest.mark.needs("netns")
def test_the_demo_twice(tmp_path: Path) -> None:
    """Side by side, so that each disturbs the other's time."""
    with ThreadPoolExecutor() as threads:
        agree([*threads.map(demo, ["netns", "netns"], [tmp_path / "one", tmp_path / "other"])])


def demo(kind: str, folder: Path) -> dict[str, Any]:
    """The figures of a run of the demo, in which every claim held."""
    figures = folder / "figures.json"
    command = [sys.executable, "-m", "labkit", "demo", "--runtime", kind, "--json", str(figures), "--out", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    assert told["runtime"] == kind
    return told


def agree(runs: list[dict[str, Any]]) -> None:
    first, *others = map(comparable, runs)
    assert first["modes"]["l4"]["answered"] == first["modes"]["l7"]["answered"] == 40
    for other in others:
        assert other == first, "\n".join(apart(first, other))
