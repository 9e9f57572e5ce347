"""The development container: its file can be read, names what is there, and gives nobody more than a lab needs."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".devcontainer"


@pytest.fixture(scope="module")
def container() -> dict[str, Any]:
    lines = (FOLDER / "devcontainer.json").read_text().splitlines()
    return json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))


def test_it_is_started_with_what_labs_inside_need(container):
    options = container["runArgs"]
    assert options[::2] == ["--security-opt"] * 3
    assert options[1::2] == [
        "seccomp=${localWorkspaceFolder}/docker/seccomp.json",
        "systempaths=unconfined",
        "apparmor=unconfined",
    ]
    assert (ROOT / "docker" / "seccomp.json").is_file()


def test_nobody_in_it_is_root(container):
    assert container["containerUser"] == container["remoteUser"] == "lab"
    assert (FOLDER / container["build"]["dockerfile"]).read_text().rstrip().endswith("USER lab")


def test_it_makes_the_environment_and_shows_jupyterlab(container):
    assert container["postCreateCommand"] == "make setup && .venv/bin/labkit doctor"
    assert container["forwardPorts"] == [8888]
    assert container["customizations"]["vscode"]["extensions"] == ["ms-python.python", "ms-toolsai.jupyter"]
