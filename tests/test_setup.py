"""Finding a Python and making the environment, by the scripts themselves, in folders of the test's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = os.path.realpath(sys.executable)  # not the environment's, which would make environments of itself
TOOLS = ("cat", "cksum", "date", "dirname", "grep", "mkdir", "rm", "sh", "tail", "uname")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def working(path: Path) -> Path:
    """A Python that works, under another name."""
    return program(path, f'exec "{PYTHON}" "$@"')


class Machine:
    """A PATH with the programs given and the few that scripts need; a home with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)

    def run(self, script: Path, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        keep = {name: value for name, value in os.environ.items() if name.startswith(("LD_", "LANG"))}
        environment = {**keep, "PATH": str(self.bin), "HOME": str(self.folder), **(extra or {})}
        return subprocess.run(["/bin/sh", str(script)], env=environment, capture_output=True, text=True, check=False)

    def find(self, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run(ROOT / "tools" / "find-python.sh", extra)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_name_on_path(machine: Machine) -> None:
    working(machine.bin / "python3")
    done = machine.find()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{PYTHON}\n", "")


def test_shims_that_fail_and_old_ones_are_passed_over(machine: Machine) -> None:
    program(machine.bin / "python3.13", 'echo "pyenv: python3.13: command not found" >&2; exit 127')
    program(machine.bin / "python3.12", "exit 0")  # an old one prints nothing
    working(machine.bin / "python3")
    assert machine.find().stdout == f"{PYTHON}\n"


def test_an_environment_gives_the_python_it_was_made_with(machine: Machine) -> None:
    """Or else making .venv anew while it is active would saw off its own branch."""
    environment = machine.folder / "environment"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", environment], check=True)
    assert machine.find(LABKIT_PYTHON=str(environment / "bin" / "python")).stdout == f"{PYTHON}\n"


def test_a_link_gives_what_it_leads_to_but_by_a_link_to_the_whole_folder(machine: Machine) -> None:
    """uv keeps one such folder a minor version, so that environments outlive updates."""
    managed = machine.folder / "managed"
    managed.symlink_to(Path(PYTHON).parents[1])
    (machine.bin / "python3").symlink_to(f"../managed/bin/{Path(PYTHON).name}")
    assert machine.find().stdout == f"{managed}/bin/{Path(PYTHON).name}\n"
    (machine.bin / "python3.13").symlink_to("python3")
    assert machine.find().stdout == f"{managed}/bin/{Path(PYTHON).name}\n"


def test_pyenv_versions(machine: Machine) -> None:
    program(machine.bin / "python3", "exit 127")
    working(machine.folder / ".pyenv" / "versions" / "3.12.9" / "bin" / "python3")
    assert machine.find().stdout == f"{PYTHON}\n"
    elsewhere = machine.folder / "else where"
    (machine.folder / ".pyenv").rename(elsewhere)
    assert machine.find().returncode == 1
    assert machine.find(PYENV_ROOT=str(elsewhere)).stdout == f"{PYTHON}\n"


def test_what_uv_knows(machine: Machine) -> None:
    managed = working(machine.folder / "managed" / "python3")
    program(machine.bin / "uv", f'case "$*" in *3.13*) echo "{managed}" ;; *) exit 2 ;; esac')
    assert machine.find().stdout == f"{PYTHON}\n"


def test_none_says_in_one_line_what_to_install(machine: Machine) -> None:
    done = machine.find()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "needs Python 3.12, 3.13 or 3.14" in done.stderr
    assert "install one, for example: apt-get install python3" in done.stderr


def test_one_without_venv_is_named(machine: Machine) -> None:
    python = machine.bin / "python3.13"
    program(python, f'case "$*" in *ensurepip*) exit 1 ;; *) echo "{python}" ;; esac')
    done = machine.find()
    assert done.returncode == 1
    assert f"{python} lacks venv or ssl" in done.stderr


def test_the_one_that_the_user_names(machine: Machine) -> None:
    chosen = working(machine.folder / "my python")
    assert machine.find(LABKIT_PYTHON=str(chosen)).stdout == f"{PYTHON}\n"
    done = machine.find(LABKIT_PYTHON=str(machine.folder / "absent"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "LABKIT_PYTHON=" in done.stderr


BACKEND = """\
import zipfile
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "labkit-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("labkit_here.py", "")
        wheel.writestr("labkit-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: labkit\\nVersion: 1\\n")
        wheel.writestr("labkit-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("labkit-1.dist-info/RECORD", "")
    return name
"""


@pytest.fixture
def project(machine: Machine) -> Path:
    """A project of labkit's shape that depends on nothing, so that setting it up asks no registry."""
    folder = machine.folder / "a project; with 'odd' $(name)"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements-dev.lock").write_text("")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "labkit"\nversion = "1"\n'
    )
    working(machine.bin / "python3")
    return folder


@pytest.mark.slow
def test_set_up_again_and_again(machine: Machine, project: Path) -> None:
    script = project / "tools" / "setup.sh"
    venv = project / ".venv"

    first = machine.run(script)
    assert (first.returncode, first.stderr) == (0, "")
    assert "making .venv with Python 3" in first.stdout
    assert "ready after" in first.stdout
    subprocess.run([venv / "bin" / "python", "-c", "import labkit_here"], check=True)

    # Twice in a row: nothing is done, nothing is said.
    (venv / "mine").touch()
    again = machine.run(script)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    # Another lock: installed into the same environment.
    (project / "requirements-dev.lock").write_text("# changed\n")
    changed = machine.run(script)
    assert "making" not in changed.stdout
    assert (venv / "mine").exists()

    # Interrupted: made anew.
    (venv / ".labkit-complete").unlink()
    (venv / ".labkit-unfinished").touch()
    (venv / "bin" / "pip").unlink()
    assert "making" in machine.run(script).stdout
    assert not (venv / "mine").exists()

    # Half an environment, by whatever accident: made anew.
    (venv / "bin" / "python").unlink()
    assert "making" in machine.run(script).stdout

    # Moved: made anew, since environments hold absolute paths.
    moved = project.rename(project.parent / "moved here")
    assert "making" in machine.run(moved / "tools" / "setup.sh").stdout

    # What cannot be installed: a line that says so, and no stamp.
    (moved / "requirements-dev.lock").write_text("./absent.whl --hash=sha256:00\n")
    failed = machine.run(moved / "tools" / "setup.sh")
    assert failed.returncode == 1
    assert "installing failed" in failed.stderr
    assert "absent.whl" in failed.stderr
    assert (moved / ".venv" / ".labkit-unfinished").exists()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_host_and_hash_everything(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if not line.startswith(" ")]
    assert len(names) > 100
    assert all("==" in line and line.endswith("\\") for line in names)
    assert all(line.strip().startswith("--hash=sha256:") for line in lines if line.startswith(" "))
