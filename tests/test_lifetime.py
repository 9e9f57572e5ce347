"""Whatever dies, everything below it dies and nothing is left; what stands beside it goes on."""

import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning
from tests.namespaces import Namespaces

VICTIM = Path(__file__).parent / "victim.py"
SUPERVISOR = "labkit.runtime.netns.supervisor"
# By the names that Docker gives, which no lab of namespaces does.
DOCKERS_INTERFACE = re.compile(r"docker0|br-[0-9a-f]{12}|veth[0-9a-f]{7}")
DOCKERS_MOUNT = re.compile(
    r"/overlay2/[0-9a-f]{64}(-init)?/merged$|/docker/netns/|/containers/[0-9a-f]{64}/mounts/shm$"
)
SCENES = ("boot", "traffic", "capture", "switch")
ROUNDS = [pytest.param(20, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.long)]


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


def gone_within(seconds: float, owner: int, spaces: Namespaces) -> list[int | str]:
    """What is left of *owner*'s labs after *seconds*: their processes, and whatever uses their namespaces.

    A look takes a while, and on a busy machine long; only one that begins after that time tells what is left then.
    """

    def left() -> list[int | str]:
        return [*processes_of(owner), *spaces.used()]

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not left():
            return []
        time.sleep(0.02)
    return left()


def watch(victim: subprocess.Popen[str], spaces: Namespaces, seconds: float) -> None:
    """Let *victim* go on for so long, and keep the namespaces of all that it starts."""
    deadline = time.monotonic() + seconds
    while True:
        spaces.add(family(victim.pid))
        if time.monotonic() >= deadline:
            return
        time.sleep(max(0.0, min(0.1, deadline - time.monotonic())))


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


def of_the_host() -> tuple[list[str], list[str]]:
    """What a lab must leave alone: the host's interfaces and mounts, but for what Docker gives containers meanwhile."""
    interfaces = [name for name in os.listdir("/sys/class/net") if not DOCKERS_INTERFACE.fullmatch(name)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(interfaces), [line for line in mounts if not DOCKERS_MOUNT.search(line.split()[4])]


def kill_rounds(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(rounds):
        scene = SCENES[number % len(SCENES)]
        host, scratch = of_the_host(), set(os.listdir("/tmp"))
        with Namespaces() as spaces:
            with begun(scene) as victim:
                watch(victim, spaces, chance.uniform(0.0, 1.0))
                if scene != "boot":
                    assert spaces.count("net") > len(Lab().nodes)  # a node has its own, and the lab's bridges have one
                    assert spaces.count("pid") == 1
                    assert spaces.used()
                victim.kill()
                victim.wait()
            assert gone_within(1.0, victim.pid, spaces) == [], f"round {number}, {scene}"
        assert of_the_host() == host
        assert not [name for name in set(os.listdir("/tmp")) - scratch if "labkit" in name]


def test_who_holds_a_namespace_of_a_lab_that_is_gone_is_found():
    """That the checks below find nothing means something."""
    with Namespaces() as spaces:
        with Lab() as lab:
            spaces.add(family(lab._runtime.pid))
            held = os.open(f"/proc/{lab._runtime.pid}/ns/pid_for_children", os.O_RDONLY)
            name = os.readlink(f"/proc/self/fd/{held}")
        other = subprocess.Popen(["sleep", "60"], pass_fds=[held])
        try:
            ours = Path("/proc/self/comm").read_text().strip()
            assert set(spaces.used()) == {f"{os.getpid()} {ours}: holds {name}", f"{other.pid} sleep: holds {name}"}
        finally:
            os.close(held)
            other.kill()
            other.wait()
        assert spaces.used() == []


def test_killing_the_notebooks_process_leaves_nothing():
    kill_rounds(4, seed=1)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killing_the_notebooks_process_again_and_again_leaves_nothing(rounds):
    kill_rounds(rounds, seed=rounds)


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


@pytest.mark.parametrize("scene", ["fork", "multiprocessing"])
def test_a_child_that_the_notebook_forked_does_not_keep_its_lab_alive(scene):
    """The child has a copy of everything its parent had open, the socket that the lab is held by among it."""
    with Namespaces() as spaces, begun(scene) as victim:
        child = int(victim.stdout.readline())
        child_alive = os.pidfd_open(child)
        try:
            watch(victim, spaces, 0.2)
            assert spaces.count("net") > len(Lab().nodes)
            assert spaces.used()
            victim.kill()
            victim.wait()
            assert gone_within(1.0, victim.pid, spaces) == []
            assert not select.select([child_alive], [], [], 0)[0]
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(child_alive, signal.SIGKILL)
            os.close(child_alive)
        assert gone_within(1.0, victim.pid, spaces) == []


def supervisor_rounds(rounds: int) -> None:
    for _ in range(rounds):
        host = of_the_host()
        lab = Lab().start()
        supervisor = lab._runtime.pid
        members = family(supervisor)
        assert len(members) > len(lab.nodes)
        with Namespaces() as spaces:
            spaces.add(members)
            assert spaces.count("net") > len(lab.nodes)
            os.kill(supervisor, signal.SIGKILL)
            deadline = time.monotonic() + 1.0
            while (lab.running or members & everyone() or spaces.used()) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not lab.running
            assert members & everyone() == set()
            assert spaces.used() == []
        with pytest.raises(LabNotRunning, match=r"the lab died: its supervisor ended\. Call lab\.start\(\)"):
            lab.alice.get("http://lb/")
        lab.start()
        assert lab.alice.get("http://lb/").status == 200
        lab.stop()
        assert of_the_host() == host


def everyone() -> set[tuple[int, str]]:
    return family(1) | family(2) | family(0)


def test_killing_the_supervisor_ends_the_lab_and_it_can_be_started_again():
    supervisor_rounds(1)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killing_the_supervisor_again_and_again(rounds):
    supervisor_rounds(rounds // 5)


@pytest.mark.parametrize("scene", SCENES)
def test_an_interrupt_leaves_nothing_when_the_program_ends_by_it(scene):
    host = of_the_host()
    with Namespaces() as spaces:
        with begun(scene) as victim:
            watch(victim, spaces, 0.2)
            victim.send_signal(signal.SIGINT)
            victim.wait(10)
        assert gone_within(1.0, victim.pid, spaces) == []
    assert of_the_host() == host
