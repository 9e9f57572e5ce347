"""The owner's side of a lab needs nothing of Linux: with hosts in containers, the notebook may run on macOS."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def seen(part: str) -> dict[str, Any]:
    """What `portable` sees where the names of Linux are taken away."""
    command = [sys.executable, "-m", "tests.runtime.not_linux", "tests.runtime.portable", part]
    no_engine = f"unix://{Path(__file__).with_name('no.sock')}"  # whether one runs here or not
    environment = os.environ | {"DOCKER_HOST": no_engine}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert shown.pop("selector") == "PollSelector"  # or else nothing was taken away
    assert shown.pop("imported") == []
    return shown


def test_a_file_is_read_and_explained_and_namespaces_are_refused_by_name():
    shown = seen("file")
    assert "netns runtime needs Linux" in shown.pop("netns")
    assert shown == {
        "packets": 1961,
        "connections": 40,
        "ladder": True,
        "graph": ["alice", "api1", "api2", "bob", "images1", "images2", "lb"],
        "doctor": ["it needs Linux"],
        "ended": [],
    }


def test_tasks_and_calls_go_over_a_stream_to_wherever_their_node_is():
    shown = seen("agent")
    assert shown["numbers"] == list(range(50))
    assert (shown["bytes"], shown["kept"]) == (50 * 100_000, "kept")


@pytest.mark.needs("netns")  # for the hosts, which somebody else boots here
def test_a_whole_lab_is_driven_and_captured():
    shown = seen("lab")
    assert shown["runtimes"] == ["netns", "docker"]
    assert {name: shown[name] for name in ("l4", "l4 connections", "l4 states", "rules")} == {
        "l4": 200,
        "l4 connections": 1,
        "l4 states": ["in clear, not read", "read and used"],
        "rules": True,
    }
    assert {name: shown[name] for name in ("l7", "l7 connections", "exchanges", "flows", "followed", "envoy")} == {
        "l7": 200,
        "l7 connections": 2,
        "exchanges": ["/api/users"],
        "flows": ["/api/users"],
        "followed": True,
        "envoy": 200,  # whose binary is where lb is, not here
    }
    assert {name: shown[name] for name in ("chat", "fault", "load", "crafted", "called", "shown")} == {
        "chat": True,
        "fault": True,
        "load": True,
        "crafted": "SA",
        "called": 3,
        "shown": ["image/svg+xml", "text/plain"],
    }
