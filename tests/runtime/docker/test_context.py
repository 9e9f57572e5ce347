"""The build context of a node's image: what is in it, and that it is the same from a clone and from a wheel."""

import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.docker import context

ROOT = Path(__file__).parents[3]


def _unpacked() -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(context.tar())) as archive:
        return {entry.name: entry for entry in archive}


def test_it_holds_the_dockerfile_the_lock_and_every_source_of_labkit():
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "labkit").rglob("*.py")}
    assert set(_unpacked()) == sources | {context.DOCKERFILE, "docker/requirements-node.lock"}
    assert "labkit/runtime/agent/serve.py" in sources


def test_nothing_in_it_tells_of_the_machine_it_was_made_on():
    assert {(e.mode, e.uid, e.uname, e.mtime) for e in _unpacked().values()} == {(0o644, 0, "", 0)}


def test_the_same_contents_give_the_same_name_and_others_another(tmp_path, monkeypatch):
    before = context.sources()
    assert re.fullmatch(r"[0-9a-f]{12}", before)
    assert context.sources() == before

    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit/one.py").write_text("a = 1\n")
    monkeypatch.setattr(context, "_PACKAGE", tmp_path / "labkit")
    monkeypatch.setattr(context, "_IN_WHEEL", ROOT / "docker")
    one = context.sources()
    (tmp_path / "labkit/one.py").write_text("a = 2\n")
    assert len({before, one, context.sources()}) == 3


def test_a_wheel_gives_the_same_bytes_as_the_clone(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    told = subprocess.run(
        [sys.executable, "-P", "-c", "from labkit.runtime.docker import context as c; print(c.__file__, c.sources())"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert told == [str(tmp_path / "installed/labkit/runtime/docker/context.py"), context.sources()]


def test_the_notebook_is_built_from_a_clone_and_the_error_says_how():
    with pytest.raises(RuntimeUnavailable, match="docker build --target notebook --file docker/Dockerfile"):
        context.tar("notebook")


def test_a_file_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(context, "_PACKAGE", tmp_path / "labkit")
    monkeypatch.setattr(context, "_IN_WHEEL", tmp_path)
    with pytest.raises(RuntimeUnavailable, match=f"own file Dockerfile is not in {tmp_path}"):
        context.shipped("Dockerfile")
