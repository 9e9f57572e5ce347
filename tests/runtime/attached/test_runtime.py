"""A lab whose hosts are there already: who gets it, what its owner leaves, and what is told where it cannot be had."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.errors import LabNotRunning, RuntimeUnavailable
from labkit.runtime import AGENTS, candidates
from labkit.runtime.attached.runtime import AttachedRuntime
from labkit.topology import default, moved, sized, without_ipv6
from tests.runtime.attached.hosts import hosts

JOBS = "tests.runtime.jobs:"
SMALL = sized(backends=2, clients=1)  # client1, lb, api1, images1
OWNER = """
import sys, time
from pathlib import Path
from labkit.runtime.attached.runtime import AttachedRuntime
from labkit.topology import sized
runtime = AttachedRuntime(Path(sys.argv[1]))
runtime.start(sized(backends=2, clients=1))
runtime.nodes["api1"].start("tests.runtime.jobs:stubborn").receive(5)
print("here", flush=True)
time.sleep(60)
"""


@pytest.fixture
def there(folder):
    with hosts(folder, SMALL) as made:
        made.start()
        made.listen()
        yield made


def attach(folder: Path, **options: float) -> AttachedRuntime:
    runtime = AttachedRuntime(folder, **options)
    runtime.start(SMALL, ["json"])
    return runtime


def test_its_hosts_are_nodes_in_the_topologys_order_until_they_are_left(there):
    runtime = AttachedRuntime(there.folder)
    assert runtime.start(SMALL) == SMALL
    assert (runtime.name, runtime.running, list(runtime.nodes)) == (
        "docker",
        True,
        ["client1", "lb", "api1", "images1"],
    )
    assert runtime.nodes["api1"].call(JOBS + "where")["pid"] != runtime.nodes["lb"].call(JOBS + "where")["pid"]
    runtime.stop()
    runtime.stop()
    assert (runtime.running, runtime.cause) == (False, "")
    with pytest.raises(LabNotRunning, match="api1 is gone"):
        runtime.nodes["api1"].call(JOBS + "where")
    assert [process.poll() for process in there.processes.values()] == [None] * 4


def test_one_owner_at_a_time(there):
    first = attach(there.folder)
    began = time.monotonic()
    with pytest.raises(RuntimeUnavailable, match=r"^lb is in use: another notebook .* lab\.stop\(\)"):
        attach(there.folder, busy=0.5)
    assert 0.5 < time.monotonic() - began < 5
    assert first.nodes["client1"].call(JOBS + "sleep", 0) == "slept"  # who came second has disturbed nobody
    first.stop()
    attach(there.folder).stop()


def test_a_killed_owner_leaves_hosts_without_its_tasks_at_once(there):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(there.folder)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner:
        assert owner.stdout.readline() == b"here\n"
        assert len(_children(there.processes["api1"].pid)) == 1
        owner.kill()
        began = time.monotonic()
        attach(there.folder).stop()
        assert time.monotonic() - began < 5


def test_the_next_owner_finds_the_hosts_as_new(there):
    runtime = attach(there.folder)
    for _ in range(2):
        runtime.know({"shop.test": "10.1.0.10"})
    names = (there.folder / "api1/hosts").read_text()
    assert names.count("10.1.0.10 shop.test\n") == 1
    (there.folder / "api1/scratch/folder").mkdir()
    (there.folder / "api1/scratch/folder/file").write_text("x")
    (there.folder / "api1/scratch/link").symlink_to(there.folder)
    runtime.stop()
    attach(there.folder).stop()
    assert (there.folder / "api1/hosts").read_text() == names.replace("10.1.0.10 shop.test\n", "")
    assert list((there.folder / "api1/scratch").iterdir()) == []
    assert (there.folder / "api1/hosts").exists()


def test_hosts_that_are_still_starting_are_waited_for(folder):
    with hosts(folder, SMALL) as made:
        made.start()
        made.listen("lb", "client1")
        wiring = threading.Timer(1.0, made.listen, ["api1", "images1"])
        wiring.start()
        runtime = attach(folder)
        wiring.join()
        assert runtime.nodes["images1"].call(JOBS + "sleep", 0) == "slept"
        runtime.stop()


def test_a_lab_is_gone_without_one_of_its_hosts_and_can_be_had_again_with_it(there):
    runtime = attach(there.folder)
    task = runtime.nodes["client1"].start(JOBS + "deaf")
    there.processes["images1"].terminate()
    assert there.processes["images1"].wait(5) == 0
    task.wait(5)
    assert (runtime.running, runtime.cause) == (False, "the container of images1 ended")
    with pytest.raises(LabNotRunning, match="client1 is gone"):
        task.send("x")
    with pytest.raises(RuntimeUnavailable, match=r"No answer within 1 s from images1 \(in .*docker compose ps"):
        attach(there.folder, ready=1)
    runtime.stop()
    there.start("images1")
    there.listen("images1")
    attach(there.folder).stop()


def test_where_nobody_listens_it_says_who_and_what_to_do(folder):
    for node in SMALL.nodes:
        (folder / f"{node.name}.sock").touch()
    with pytest.raises(
        RuntimeUnavailable, match=r"from lb \(in .*`docker compose up -d` starts and wires what is missing"
    ):
        attach(folder, ready=0.2)


def test_without_a_folder_there_is_no_lab_to_attach_to(folder):
    with pytest.raises(RuntimeUnavailable, match=r"no lab to attach to: .*/nowhere: No such file.*LABKIT_AGENTS"):
        attach(folder / "nowhere")


def test_a_topology_with_other_hosts_is_refused(there):
    with pytest.raises(
        RuntimeUnavailable, match=r"is not the default lab: it has no alice, bob, .*, only api1, client1"
    ):
        AttachedRuntime(there.folder).start(default())


def test_it_lives_where_its_hosts_do(folder):
    there = without_ipv6(moved(SMALL, {"front": IPv4Network("10.8.0.0/16")}))
    with hosts(folder, there) as made:
        made.start()
        made.listen()
        runtime = AttachedRuntime(folder)
        assert runtime.start(SMALL) == there
        runtime.stop()


def test_another_labkit_in_the_hosts_is_refused(folder, monkeypatch):
    with hosts(folder, SMALL) as made:
        made.start()
        made.listen()
        monkeypatch.setattr("labkit.runtime.greeted.VERSION", "9.9")
        with pytest.raises(
            RuntimeUnavailable, match=r"The image of lb holds labkit .*, and this is 9\.9: build it anew"
        ):
            attach(folder)
        monkeypatch.undo()
        attach(folder).stop()


def test_only_a_host_with_the_right_to_is_administered(there):
    runtime = attach(there.folder)
    runtime.nodes["lb"].administer(JOBS + "sleep", 0)
    with pytest.raises(RuntimeUnavailable, match=r'Nobody may change the network of api1 .*Lab\(runtime="docker"\)'):
        runtime.nodes["api1"].administer(JOBS + "sleep", 0)
    runtime.stop()


def test_a_fork_of_the_owner_does_not_let_the_lab_go(there):
    runtime = attach(there.folder)
    pid = os.fork()
    if pid == 0:
        runtime.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert runtime.nodes["api1"].call(JOBS + "sleep", 0) == "slept"
    runtime.stop()


def test_a_lab_that_is_left_is_free_though_a_fork_of_its_owner_lives(there):
    first = attach(there.folder)
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        first.stop()
        attach(there.folder, busy=2.0).stop()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_hosts_that_are_told_to_end_take_along_what_runs_in_them(there):
    runtime = attach(there.folder)
    task = runtime.nodes["api1"].start(JOBS + "stubborn")
    assert task.receive(5) == "ready"
    inner = _children(there.processes["api1"].pid)
    there.processes["api1"].send_signal(signal.SIGTERM)
    assert there.processes["api1"].wait(5) == 0
    assert [pid for pid in inner if Path(f"/proc/{pid}").exists()] == []
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(str(there.socket("api1")))
    runtime.stop()


def test_the_environment_says_that_auto_is_this_one(monkeypatch, folder):
    monkeypatch.delenv(AGENTS, raising=False)
    assert [runtime.name for runtime in candidates("auto")] == ["netns", "docker"]
    assert [type(runtime) for runtime in candidates("attached")] == [AttachedRuntime]
    monkeypatch.setenv(AGENTS, str(folder))
    assert [type(runtime) for runtime in candidates("auto")] == [AttachedRuntime]
    assert [runtime.name for runtime in candidates("netns")] == ["netns"]
    (folder / "carol.sock").touch()
    with pytest.raises(RuntimeUnavailable, match="is not the default lab"):
        next(candidates("auto")).start(default())


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
