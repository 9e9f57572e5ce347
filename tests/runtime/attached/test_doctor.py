"""What the doctor says of a lab that is there already."""

import pytest

from labkit.runtime import AGENTS, doctor
from labkit.runtime.attached.doctor import RUNTIME, findings
from labkit.runtime.attached.runtime import AttachedRuntime
from labkit.topology import default
from tests.runtime.attached.hosts import hosts


@pytest.fixture
def there(folder, monkeypatch):
    with hosts(folder, default()) as made:
        made.start()
        made.listen()
        monkeypatch.setenv(AGENTS, str(folder))
        yield made


def test_it_is_there(there):
    (found,) = findings()
    assert (found.name, found.works) == (RUNTIME, True)
    assert "Lab().start() attaches" in found.detail


def test_somebody_else_has_it(there):
    owner = AttachedRuntime(there.folder)
    owner.start(default())
    (found,) = findings()
    assert found.works
    assert "is in use: another notebook is attached" in found.detail
    owner.stop()


def test_it_is_not_there(folder, monkeypatch):
    monkeypatch.setenv(AGENTS, str(folder / "nowhere"))
    (found,) = findings()
    assert not found.works
    assert "no lab to attach to" in found.detail
    assert found.remedy.startswith("docker compose")


def test_an_engine_is_looked_for_only_where_there_is_no_such_lab(there, monkeypatch):
    monkeypatch.setattr(doctor, "netns", list)
    assert [finding.name for finding in doctor.report()] == ["Python", RUNTIME]
    monkeypatch.delenv(AGENTS)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert [finding.name for finding in doctor.report()][-1] == "docker runtime"
