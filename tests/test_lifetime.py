"""Whatever dies, everything below it dies and nothing is left; what stands beside it goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning

VICTIM = Path(__file__).parent / "victim.py"
SUPERVISOR = "labkit.runtime.netns.supervisor"
SCENES = ("boot", "traffic", "capture", "switch")


def processes_of(owner: int) -> list[int]:
    """Every process of the labs that *owner* started: they all carry its number on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if SUPERVISOR in words and words[words.index(SUPERVISOR) + 2] == str(owner):
                found.append(int(entry.name))
    return found


def gone_within(seconds: float, owner: int) -> list[int]:
    """What is left of *owner*'s labs after at most *seconds*."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(owner)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


@contextmanager
def begun(scene: str) -> Iterator[subprocess.Popen[str]]:
    """A victim in the middle of *scene*, or of booting its first lab; killed at the end if it still lives."""
    # Without folders exposed: what writes into them gets time to finish, which a lab otherwise does not take.
    environment = {name: value for name, value in os.environ.items() if name != "LABKIT_EXPOSE"}
    command = [sys.executable, str(VICTIM), scene]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert victim.stdout
    try:
        assert victim.stdout.readline() == "booting\n"
        if scene != "boot":
            assert victim.stdout.readline() == "at it\n"
        yield victim
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()


def kill_rounds(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(rounds):
        scene = SCENES[number % len(SCENES)]
        with begun(scene) as victim:
            interfaces, scratch = sorted(os.listdir("/sys/class/net")), set(os.listdir("/tmp"))
            time.sleep(chance.uniform(0.0, 1.0))
            victim.kill()
            victim.wait()
        assert gone_within(1.0, victim.pid) == [], f"round {number}, {scene}"
        assert sorted(os.listdir("/sys/class/net")) == interfaces
        assert not [name for name in set(os.listdir("/tmp")) - scratch if "labkit" in name]


def test_killing_the_notebooks_process_leaves_nothing():
    kill_rounds(4, seed=1)


@pytest.mark.slow
def test_killing_the_notebooks_process_a_hundred_times_leaves_nothing():
    kill_rounds(100, seed=2)


def family(pid: int) -> set[tuple[int, str]]:
    """*pid* and all that descends from it and lives, each with its start time, since numbers are used again."""
    parents: dict[int, list[int]] = {}
    started: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "Z":
                continue  # dead; it waits to be counted by its parent
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            started[int(entry.name)] = fields[19]
    members, found = [pid], set()
    while members:
        member = members.pop()
        found.add((member, started.get(member, "")))
        members += parents.get(member, [])
    return found


def supervisor_rounds(rounds: int) -> None:
    for _ in range(rounds):
        lab = Lab().start()
        supervisor = lab._runtime.pid
        members = family(supervisor)
        assert len(members) > len(lab.nodes)
        os.kill(supervisor, signal.SIGKILL)
        deadline = time.monotonic() + 1.0
        while (lab.running or members & everyone()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not lab.running
        assert members & everyone() == set()
        with pytest.raises(LabNotRunning, match=r"the lab died: its supervisor ended\. Call lab\.start\(\)"):
            lab.alice.get("http://lb/")
        lab.start()
        assert lab.alice.get("http://lb/").status == 200
        lab.stop()


def everyone() -> set[tuple[int, str]]:
    return family(1) | family(2) | family(0)


def test_killing_the_supervisor_ends_the_lab_and_it_can_be_started_again():
    supervisor_rounds(1)


@pytest.mark.slow
def test_killing_the_supervisor_twenty_times():
    supervisor_rounds(20)


@pytest.mark.parametrize("scene", SCENES)
def test_an_interrupt_leaves_nothing_when_the_program_ends_by_it(scene):
    with begun(scene) as victim:
        time.sleep(0.2)
        victim.send_signal(signal.SIGINT)
        victim.wait(10)
    assert gone_within(1.0, victim.pid) == []
