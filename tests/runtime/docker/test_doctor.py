"""What the doctor says of Docker, found by doing it."""

import pytest

from labkit.runtime.docker import doctor, image
from labkit.runtime.docker.engine import Engine


def test_without_an_engine_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    engine, runtime = doctor.findings()
    assert (engine.name, engine.works) == ("Docker engine", False)
    assert "No such file" in engine.detail
    assert "group docker" in engine.remedy
    assert (runtime.name, runtime.works, runtime.remedy) == ("docker runtime", False, engine.remedy)


@pytest.mark.needs("docker")
def test_without_the_image_the_command_that_builds_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(image.IMAGE, "nosuch:image")
    found = doctor.findings()
    assert [finding.works for finding in found] == [True, False, False]
    assert found[1].remedy == "labkit build"


@pytest.mark.needs("docker")
def test_where_all_works_a_lab_was_booted_and_is_gone():
    engine = Engine()
    image.ensure(engine)
    before = {each["labels"]["labkit.lab"] for each in engine.networks()}
    found = doctor.findings()
    assert [finding.name for finding in found if not finding.works] == []
    assert found[-1].name == "docker runtime"
    assert "Docker engine" in [finding.name for finding in found]
    assert len(found) == 6
    after = {each["labels"]["labkit.lab"] for each in engine.networks()}
    assert not [lab for lab in after - before if "doctor" in lab]
    engine.close()


@pytest.mark.needs("docker")
def test_what_fails_in_a_container_is_named(monkeypatch: pytest.MonkeyPatch):
    engine = Engine()
    image.ensure(engine)
    engine.close()
    trial = ("client1", "labkit.runtime.container.trials:no_such_trial")
    monkeypatch.setitem(doctor._TRIALS, "packet capture in a container", trial)
    *_, failed, runtime = doctor.findings()
    assert (failed.name, failed.works, runtime.works) == ("packet capture in a container", False, False)
    assert "no_such_trial" in failed.detail
