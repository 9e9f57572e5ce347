"""The demo and the first notebook can fail: a balancer that says L7 and goes on forwarding is found out by both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "00_start_here.ipynb"
WRONG = """
from labkit.balancer.balancer import Balancer

def to_l7(self, live, policy):
    live.policy = policy  # and the kernel's rules stay as they are
    self._record(live)

Balancer._to_l7 = to_l7
"""


@pytest.fixture
def wrong(tmp_path: Path) -> dict[str, str]:
    """An environment in which every Python begins with the fault."""
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    return os.environ | {"PYTHONPATH": str(tmp_path)}


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.needs("netns")
def test_the_demo_fails_and_says_which_claims_do_not_hold(wrong, tmp_path):
    done = run([sys.executable, "-m", "labkit", "demo", "--out", str(tmp_path / "out")], wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout


@pytest.mark.needs("netns")
def test_the_notebook_fails(wrong):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    done = run([*command, "--nbval-cell-timeout=60", str(NOTEBOOK)], wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Cell outputs differ" in done.stdout
