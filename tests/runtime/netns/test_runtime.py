"""A lab of real namespaces: what its hosts see, reach and are kept from."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import LabNotRunning, RuntimeUnavailable
from labkit.runtime import candidates
from labkit.runtime.netns.mounts import hidden_folders, steps_to
from labkit.runtime.netns.runtime import NetnsRuntime
from labkit.topology import default

pytestmark = pytest.mark.measured

INSIDE = "tests.runtime.netns.inside:"


@pytest.fixture(scope="module")
def runtime() -> Iterator[NetnsRuntime]:
    os.environ["SOME_TOKEN"] = "x"
    runtime = NetnsRuntime()
    runtime.start(default(), ["json"])
    yield runtime
    runtime.stop()
    del os.environ["SOME_TOKEN"]


def test_every_host_has_its_own_name_addresses_and_loopback(runtime):
    alice = runtime.nodes["alice"].call(INSIDE + "identity")
    api1 = runtime.nodes["api1"].call(INSIDE + "identity")
    lb = runtime.nodes["lb"].call(INSIDE + "identity")
    assert (alice["host"], api1["host"], lb["host"]) == ("alice", "api1", "lb")
    assert alice["interfaces"] == ["front", "lo"]
    assert lb["interfaces"] == ["back", "front", "lo"]
    assert len({alice["netns"], api1["netns"], lb["netns"]}) == 3
    assert alice["uid"] == 0


def test_hosts_resolve_each_other_and_lb_is_the_vip(runtime):
    assert runtime.nodes["bob"].call(INSIDE + "resolve", "lb") == ["10.0.1.10"]
    assert runtime.nodes["bob"].call(INSIDE + "resolve", "ip6-lb") == ["fd00:10:0:1::10"]
    assert runtime.nodes["bob"].call(INSIDE + "resolve", "images2") == ["10.0.2.22"]
    assert runtime.nodes["bob"].call(INSIDE + "resolve", "example.com") == []


def test_hosts_get_to_know_further_names_each_once_and_the_machine_does_not(runtime):
    before = Path("/etc/hosts").read_text()
    for _ in range(2):
        runtime.know({"shop.test": "10.0.1.10", "api.test": "10.0.1.10"})
    for host in ("alice", "lb", "api2"):
        assert runtime.nodes[host].call(INSIDE + "resolve", "shop.test") == ["10.0.1.10"]
        assert runtime.nodes[host].call(INSIDE + "resolve", "bob") == ["10.0.1.12"]
    hosts = runtime.nodes["alice"].call(INSIDE + "hosts_file")
    assert hosts.count("shop.test") == hosts.count("api.test") == 1
    assert Path("/etc/hosts").read_text() == before


@pytest.mark.parametrize("address", ["10.0.2.11", "fd00:10:0:2::11"])
def test_clients_reach_backends_through_lb_and_are_seen_by_their_address(runtime, address):
    served = threading.Event()
    peer: list[str] = []

    def serve() -> None:
        peer.append(runtime.nodes["api1"].call(INSIDE + "accept_one", address, 5000))
        served.set()

    threading.Thread(target=serve, daemon=True).start()
    assert runtime.nodes["alice"].call(INSIDE + "connect", address, 5000) == "hello"
    assert served.wait(5)
    assert peer == [{"10.0.2.11": "10.0.1.11", "fd00:10:0:2::11": "fd00:10:0:1::11"}[address]]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_there_is_no_way_out(runtime, address):
    assert "nreachable" in runtime.nodes["alice"].call(INSIDE + "failure_to_connect", address)


def test_the_users_home_and_the_hosts_scratch_are_hidden(runtime, tmp_path):
    (tmp_path / "secret").write_text("x")
    home = os.path.realpath(Path.home())
    seen = runtime.nodes["alice"].call(INSIDE + "listing", ["/tmp", "/run", home, str(tmp_path)])
    shown = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[3]))  # Python and the tests, wherever they are
    places = {*map(os.path.realpath, shown), *steps_to((sys.executable, *shown), ["/"])}
    leading = {
        folder: {Path(place).relative_to(folder).parts[0] for place in places if Path(place).is_relative_to(folder)}
        for folder in ("/tmp", home)
    }
    assert set(seen["/tmp"]) <= leading["/tmp"]
    assert seen["/run"] == ["labkit"]
    assert seen[str(tmp_path)] is None
    assert set(seen[home]) & set(os.listdir(home)) <= leading[home]


def test_nobody_in_a_host_can_uncover_what_is_hidden(runtime):
    """Whatever its rights there: a host's root may mount and unmount, but not undo what the lab has covered."""
    hidden = hidden_folders([str(Path.home())])
    tried = runtime.nodes["alice"].call(INSIDE + "try_to_uncover", [*hidden, "/proc", "/etc/hosts"])
    assert tried == {
        **{f"umount {path}": "Invalid argument" for path in (*hidden, "/proc", "/etc/hosts")},
        "bind the root without what is mounted on it": "Invalid argument",
        "make the root writable": "Operation not permitted",
        "enter the first process's mounts": "nothing is gained (mnt)",
        "umount as somebody new": "Invalid argument",
        "see the root with all that is mounted on it": "done",
        "and that shows what it hid": "no",
    }


def test_no_device_leads_to_the_hosts_disks_or_memory(runtime):
    shown = runtime.nodes["alice"].call(INSIDE + "listing", ["/dev"])["/dev"]
    files = {"full", "null", "random", "tty", "urandom", "zero"}
    assert set(shown) - files == {"fd", "ptmx", "pts", "shm", "stderr", "stdin", "stdout"}
    assert runtime.nodes["alice"].call(INSIDE + "try_to_write", ["/dev", "/dev/shm"]) == [
        "Read-only file system",
        "written",
    ]


def test_python_is_put_back_read_only(runtime):
    assert runtime.nodes["alice"].call(INSIDE + "try_to_write_into_labkit") == "Read-only file system"


def test_nothing_of_the_host_can_be_written_to(runtime):
    failures = runtime.nodes["alice"].call(INSIDE + "try_to_write", ["/etc", "/usr", "/", "/var"])
    assert set(failures) == {"Read-only file system"}
    assert runtime.nodes["alice"].call(INSIDE + "try_to_write", ["/tmp"]) == ["written"]


def test_hosts_cannot_see_or_signal_processes_outside(runtime):
    assert runtime.nodes["alice"].call(INSIDE + "can_signal", os.getpid()) is False


def test_offloads_are_off(runtime):
    assert runtime.nodes["lb"].call(INSIDE + "offloads", "front") == {"tx": 0, "tso": 0, "gso": 0, "gro": 0}


def test_no_secret_of_the_notebook_is_in_the_nodes_environment(runtime):
    assert not [
        name for name in runtime.nodes["alice"].call(INSIDE + "environment") if "TOKEN" in name or "SECRET" in name
    ]


def test_two_labs_do_not_see_each_other(runtime):
    other = NetnsRuntime()
    other.start(default())
    try:
        first = runtime.nodes["api1"].call(INSIDE + "identity")
        second = other.nodes["api1"].call(INSIDE + "identity")
        assert first["netns"] != second["netns"]
        assert first["pidns"] != second["pidns"]
    finally:
        other.stop()
    assert runtime.nodes["alice"].call(INSIDE + "identity")["host"] == "alice"


def test_stop_ends_every_process_and_is_idempotent():
    runtime = NetnsRuntime()
    runtime.start(default())
    task = runtime.nodes["alice"].start("tests.runtime.jobs:stubborn")
    assert task.receive(5) == "ready"
    supervisor = runtime.pid
    runtime.stop()
    runtime.stop()
    assert not Path(f"/proc/{supervisor}").exists()
    assert not runtime.running
    assert not task.running
    with pytest.raises(LabNotRunning, match="alice is gone"):
        runtime.nodes["alice"].call("os:getpid")


def test_an_unknown_kind_of_runtime_is_refused_with_the_kinds_there_are():
    with pytest.raises(RuntimeUnavailable, match="Choose one of: auto, netns"):
        next(candidates("dokcer"))


def test_what_the_lab_cannot_import_is_named_and_nothing_is_left():
    runtime = NetnsRuntime()
    with pytest.raises(RuntimeUnavailable, match="no_such_module"):
        runtime.start(default(), ["no_such_module"])
    assert runtime.pid is None
