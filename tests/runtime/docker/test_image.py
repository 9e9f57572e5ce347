"""Which image a lab's hosts are made from."""

import sys

import pytest

from labkit import cli
from labkit.errors import RuntimeUnavailable
from labkit.runtime.docker import context, image
from labkit.runtime.docker.engine import Engine

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (image.IMAGE, image.BASE):
        monkeypatch.delenv(name, raising=False)


def test_its_name_says_what_is_in_it(monkeypatch: pytest.MonkeyPatch):
    assert image.tag() == f"labkit-node:{context.sources()}-python-{PYTHON}-slim"
    monkeypatch.setattr(context, "sources", lambda: "0123456789ab")
    assert image.tag() == f"labkit-node:0123456789ab-python-{PYTHON}-slim"


def test_the_base_has_the_python_that_runs_here_or_is_the_user_s(monkeypatch: pytest.MonkeyPatch):
    assert image.base_image() == f"python:{PYTHON}-slim"
    monkeypatch.setenv(image.BASE, "registry.example:5000/our/python:3.13")
    assert image.base_image() == "registry.example:5000/our/python:3.13"
    assert image.tag().endswith("-registry.example-5000-our-python-3.13")


def test_an_image_of_the_user_s_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(image.IMAGE, "ours:7")
    assert image.tag() == "ours:7"


@pytest.mark.needs("docker")
def test_it_is_built_once_and_each_step_is_told(capsys: pytest.CaptureFixture[str]):
    engine = Engine()
    image.ensure(engine)
    told: list[str] = []
    assert image.ensure(engine, told.append) == image.tag()
    assert told == []
    engine.build(
        context.tar(), image.tag(), {"BASE": image.base_image(), "SOURCES": context.sources()}, None, told.append
    )
    assert told[0].startswith("Step 1/")
    assert max(map(len, told)) <= 100
    engine.close()
    assert cli.main(["build"]) == 0
    assert capsys.readouterr().out == f"{image.tag()} is ready\n"


@pytest.mark.needs("docker")
def test_a_base_that_cannot_be_had_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(image.BASE, "localhost:1/nosuch:base")
    engine = Engine()
    with pytest.raises(RuntimeUnavailable, match=r"cannot build the image .*README\.md says how"):
        image.ensure(engine)
    engine.close()
