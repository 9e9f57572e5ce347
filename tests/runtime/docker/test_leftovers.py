"""A dead owner leaves networks at most, which are swept; what is not a lab's, or another's, is not touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from labkit import Lab, runtime
from labkit.runtime.docker.labels import this_process
from labkit.topology import sized

from .conftest import docker, of_lab

pytestmark = pytest.mark.needs("docker")
OWNER = """
from labkit import Lab
from labkit.topology import sized
lab = Lab(sized(backends=1, clients=1), runtime="docker")
print("starting", flush=True)
lab.start()
print(lab._runtime.id, lab.client1.get("http://lb/").status, flush=True)
input()
"""


@pytest.fixture
def decoys() -> Iterator[list[str]]:
    """Networks and a volume of others': unlabelled but named as ours, of another machine, of an owner that lives."""
    alive = str(this_process())
    made = {
        "labkit-deadbeef-front": [],
        "decoy-elsewhere": ["labkit.lab=decoy001", "labkit.owner=4711/1.00/another.machine"],
        "decoy-alive": ["labkit.lab=decoy002", f"labkit.owner={alive}"],
        "decoy-odd": ["labkit.lab=decoy003", "labkit.owner=nonsense"],
        "decoy-half": ["labkit.owner=4194000/1.00/" + os.uname().nodename],
    }
    for name, labels in made.items():
        options = [word for label in labels for word in ("--label", label)]
        docker("network", "create", *options, name)
        docker("volume", "create", *options, name)
    yield sorted(made)
    for name in made:
        docker("network", "rm", name)
        docker("volume", "rm", name)


def there(kind: str) -> list[str]:
    return docker(kind, "ls", "--format", "{{.Name}}").split()


def owner(*, until: str, first: str = "") -> tuple[subprocess.Popen[str], str]:
    """A process with a lab: it has begun to start it, or its lab runs; and that lab's id, if it is known yet.

    first: what it does before.
    """
    script = f"{first}\n{OWNER}"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline()
    ident = process.stdout.readline().split()[0] if until == "running" else ""
    return process, ident


def within(seconds: float, what: object) -> bool:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_killed_owner_s_containers_go_by_themselves_and_clean_takes_the_networks(
    decoys: list[str], monkeypatch: pytest.MonkeyPatch
):
    """On a machine of its own, or else the labs of other tests would sweep too."""
    machine = f"alone-{os.getpid()}"
    monkeypatch.setattr("platform.node", lambda: machine)
    process, ident = owner(until="running", first=f"import platform; platform.node = lambda: {machine!r}")
    assert len(of_lab(ident)) == 5
    process.kill()
    process.communicate()
    networks = [f"labkit-{ident}-back", f"labkit-{ident}-front"]
    assert within(5, lambda: of_lab(ident) == networks)
    said = runtime.clean()
    assert [f"network {name} of a lab whose owner is gone" in said for name in networks] == [True, True]
    assert of_lab(ident) == []
    assert set(decoys) <= set(there("network"))
    assert set(decoys) <= set(there("volume"))


def test_the_next_lab_sweeps_what_the_last_one_left_and_leaves_others_running(decoys: list[str]):
    with Lab(sized(backends=1, clients=1), runtime="docker") as running:
        process, ident = owner(until="running")
        process.kill()
        process.communicate()
        with Lab(sized(backends=1, clients=1), runtime="docker"):
            assert within(5, lambda: of_lab(ident) == [])
        assert running.client1.get("http://lb/").status == 200
    assert set(decoys) <= set(there("network"))


@pytest.mark.parametrize("after", [0.05, 0.3, 0.6, 1.0, 1.6])
def test_an_owner_may_be_killed_while_its_lab_starts(after: float):
    process, _ = owner(until="begun")
    time.sleep(after)
    process.kill()
    process.communicate()
    time.sleep(0.5)  # the engine finishes what it was asked for
    runtime.clean()
    assert within(8, lambda: not _of_dead("ps --all"))
    runtime.clean()
    assert not _of_dead("network ls")


def test_an_engine_that_was_named_and_does_not_answer_is_told_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert any("nothing was looked at: No Docker engine answers" in line for line in runtime.clean())


@pytest.mark.slow
def test_twenty_owners_killed_leave_nothing(decoys: list[str]):
    for number in range(20):
        process, ident = owner(until="running" if number % 2 else "begun")
        time.sleep(0.1 * number / 2 if not ident else 0)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    time.sleep(1)
    runtime.clean()
    assert within(8, lambda: not _of_dead("ps --all"))
    runtime.clean()
    assert not _of_dead("network ls")
    assert set(decoys) <= set(there("network"))
    assert set(decoys) <= set(there("volume"))
    assert docker("volume", "ls", "--quiet", "--filter", "label=labkit.lab").split() == [
        name for name in there("volume") if name in decoys and name not in ("decoy-half", "labkit-deadbeef-front")
    ]


def _of_dead(listing: str) -> list[str]:
    """What has the label of a lab of this machine whose owner is dead."""
    from labkit.runtime.docker.labels import owner_of

    names = docker(*listing.split(), "--filter", "label=labkit.lab", "--format", '{{.Label "labkit.owner"}}')
    return [name for name in names.splitlines() if (whose := owner_of(name)) and whose.dead]
