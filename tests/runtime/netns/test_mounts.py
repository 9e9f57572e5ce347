"""What the hosts of a lab see of the user's home where links in it lead to Python, which runs there all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtime.netns.mounts import steps_to

ROOT = Path(__file__).parents[3]
NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
LOOK = "import json, os, sys; print(json.dumps([[folder, *names] for folder, *names in os.walk(sys.argv[1])]))"
PROGRAM = f"""
import json, os, sys
from labkit import Lab, Route

def wanted(request):
    return request.query["to"] == "images"

with Lab(runtime="netns") as lab:
    looked = lab.alice.run([sys.executable, "-c", {LOOK!r}, os.environ["HOME"]])
    lab.balancer.l7(routes=[Route("*", pool="images", when=wanted), Route("*", pool="api")])
    served = [lab.alice.get(f"http://lb/?to={{pool}}").backend for pool in ("images", "api")]
    print(json.dumps([sys.executable, looked.stdout, looked.stderr, served, len(lab.balancer.rule_errors())]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With an environment whose Python is a link to a link to a link through one to a folder; and with two secrets."""
    for folder in (".local/bin", ".local/share", "work"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "work" / "secret").write_text("x")
    (tmp_path / ".local" / "share" / "secret").write_text("x")
    (tmp_path / ".local" / "share" / "python").symlink_to(os.path.realpath(sys.base_prefix))
    (tmp_path / ".local" / "bin" / "linked").symlink_to(f"../share/python/bin/{NAME}")
    (tmp_path / ".local" / "bin" / NAME).symlink_to("linked")
    make = [Path(os.path.realpath(sys.base_prefix), "bin", NAME), "-m", "venv", "--without-pip", tmp_path / ".venv"]
    subprocess.run(make, check=True, timeout=30)
    (tmp_path / ".venv" / "bin" / NAME).unlink()
    (tmp_path / ".venv" / "bin" / NAME).symlink_to(tmp_path / ".local" / "bin" / NAME)
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    own = tmp_path / ".venv" / "lib" / NAME / "site-packages" / "labkit.pth"
    own.write_text("\n".join([str(ROOT), *libraries]) + "\n")
    return tmp_path


def test_steps_are_links_as_they_are_written_and_folders_left_again(tmp_path):
    home = Path(os.path.realpath(tmp_path / "home"))
    for folder in ("opt/python/bin", "bin", "other"):
        (home / folder).mkdir(parents=True)
    (home / "opt" / "python" / "bin" / "python3").touch()
    (home / "opt" / "3").symlink_to("python")
    (home / "python").symlink_to(home / "opt" / "3")
    (home / "bin" / "python3").symlink_to("../other/./..//python/bin/python3")
    (home / "bin" / "python").symlink_to("python3")
    (tmp_path / "outside").symlink_to(home / "bin")
    assert list(steps_to([str(tmp_path / "outside" / "python")], [str(home)]).items()) == [
        (f"{home}/bin/python", "python3"),
        (f"{home}/bin/python3", "../other/./..//python/bin/python3"),
        (f"{home}/bin", ""),
        (f"{home}/other", ""),
        (f"{home}/python", f"{home}/opt/3"),
        (f"{home}/opt/3", "python"),
    ]


def test_what_leads_nowhere_has_no_steps(tmp_path):
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "gone").symlink_to("nothing")
    assert steps_to(["", str(tmp_path / "round"), str(tmp_path / "gone")], ["/"]) == {}


@pytest.mark.needs("netns")
def test_hosts_run_a_python_that_links_in_the_home_lead_to(home):
    python = home / ".venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HOME": str(home)}
    command = [python, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    started, looked, said, served, errors = json.loads(done.stdout)
    assert (started, said) == (str(python), "")
    seen = {folder: sorted([*folders, *files]) for folder, folders, files in json.loads(looked)}
    assert {folder: names for folder, names in seen.items() if not folder.startswith(f"{home}/.venv")} == {
        f"{home}": [".local", ".venv"],
        f"{home}/.local": ["bin", "share"],
        f"{home}/.local/bin": sorted(["linked", NAME]),
        f"{home}/.local/share": ["python"],
    }
    assert (served[0][:-1], served[1][:-1], errors) == ("images", "api", 0)
