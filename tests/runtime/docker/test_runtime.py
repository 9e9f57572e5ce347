"""Labs of containers: what they are, what is in them, who may do what, and that nothing is left of them."""

import gc
import json
import os
import re
import signal
import threading
import time
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning, RuntimeUnavailable, TaskError, TrafficError
from labkit.runtime.docker.engine import Engine
from labkit.runtime.docker.node import ContainerNode
from labkit.runtime.docker.runtime import DockerRuntime
from labkit.topology import default, sized
from tests.interrupt import interrupted

from .conftest import docker, inspected, of_lab

pytestmark = pytest.mark.needs("docker")
RAW, ADMIN = 1 << 13, 1 << 12
TRY = "python3 -c 'import socket; socket.create_connection((\"{}\", {}), 5)'"


def lab_id(lab: Lab) -> str:
    runtime = lab._runtime
    assert isinstance(runtime, DockerRuntime)
    return runtime.id


def capabilities(lab: Lab, node: str, kind: str) -> int:
    status = lab.nodes[node].run("cat /proc/self/status").stdout
    return int(re.search(rf"Cap{kind}:\s+(\w+)", status)[1], 16)


def test_every_host_is_a_container_with_its_name_and_address(lab: Lab):
    there = of_lab(lab_id(lab))
    assert there == sorted([f"labkit-{lab_id(lab)}-{name}" for name in (*lab.nodes, "front", "back")])
    for name, node in lab.nodes.items():
        found = inspected(f"labkit-{lab_id(lab)}-{name}")
        assert found["Config"]["Hostname"] == name
        assert node.address in [each["IPAddress"] for each in found["NetworkSettings"]["Networks"].values()]
    assert lab.runtime == "docker"


def test_a_host_s_processes_are_nobody_with_the_rights_of_a_vantage_point(lab: Lab):
    assert lab.alice.run("id -un").stdout == "lab\n"
    for name in lab.nodes:
        expected = RAW | (ADMIN if name == "lb" else 0)
        assert [capabilities(lab, name, kind) for kind in ("Prm", "Eff", "Bnd", "Amb")] == [expected] * 4
    assert "NoNewPrivs:\t1" in lab.alice.run("cat /proc/self/status").stdout


def test_no_container_has_more_than_it_needs(lab: Lab):
    for name in lab.nodes:
        host = inspected(f"labkit-{lab_id(lab)}-{name}")["HostConfig"]
        assert (host["Privileged"], host["Binds"], host["PidMode"], host["CapDrop"]) == (False, None, "", ["ALL"])
        assert host["PidsLimit"] == 4096
        assert ("NET_ADMIN" in host["CapAdd"]) == (name == "lb")


def test_there_is_no_way_out_not_even_for_names(lab: Lab):
    bridge = docker("network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}")
    for host, port in (("1.1.1.1", 80), (bridge or "172.17.0.1", 22), ("lb", 9)):
        for node in (lab.alice, lab.lb, lab.api1):
            assert node.run(TRY.format(host, port), timeout=20).returncode != 0
    asked = lab.alice.run("python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'", timeout=20)
    assert "Temporary failure in name resolution" in asked.stderr
    assert lab.alice.call(answers_names) == "nobody"


def answers_names() -> str:
    """Whether the engine's own name server, which every container has, answers."""
    import socket

    query = bytes.fromhex("12340100000100000000000007") + b"example\x03com\0\0\x01\0\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        try:
            sock.sendto(query, ("127.0.0.11", 53))
            return sock.recv(512).hex()
        except OSError:
            return "nobody"


def test_nobody_reaches_the_lab_from_the_engine_s_machine(lab: Lab):
    assert lab.vip not in docker("network", "inspect", "bridge")
    routes = docker("run", "--rm", "--network", "host", inspected(f"labkit-{lab_id(lab)}-lb")["Image"], "cat",
                    "/proc/net/route")  # fmt: skip
    subnets = {f"{int.from_bytes(link.subnet4.network_address.packed, 'little'):08X}" for link in lab.topology.links}
    assert not subnets & set(routes.split())


def test_a_request_is_what_it_is_on_any_runtime(lab: Lab):
    reply = lab.alice.get("http://lb/api/users")
    assert (reply.status, reply.remote[0]) == (200, lab.vip)
    assert reply.received["peer"][0] == lab.alice.address
    assert lab.alice.get("http://ip6-lb/").status == 200
    assert lab.alice.get("https://lb/").status == 200


def test_faults_that_change_a_host_s_network_need_no_rights_in_it(lab: Lab):
    lab.balancer.l4(backends=["api1"])
    with lab.faults.backend_killed("api1", silently=True), pytest.raises(TrafficError):
        lab.alice.get("http://lb/", timeout=1)
    assert lab.lb.get(f"http://{lab.api1.address}/").status == 200
    with pytest.raises(TaskError, match="no_such_function"):
        lab._node("alice").administer("labkit.faults.routes:no_such_function")
    lab.balancer.l4()


def test_names_that_come_later_are_known_everywhere(lab: Lab):
    lab._runtime.know({"shop.example": lab.vip})
    assert (
        lab.bob.run("python3 -c 'import socket; print(socket.gethostbyname(\"shop.example\"))'").stdout.strip()
        == lab.vip
    )
    lab._runtime.know({"shop.example": lab.vip})
    assert lab.bob.run("cat /etc/hosts").stdout.count("shop.example") == 1


def test_what_a_host_prints_is_told_here(lab: Lab, capfd: pytest.CaptureFixture[str]):
    lab.alice.call(print_an_error)
    assert "from inside" in capfd.readouterr().err


def print_an_error() -> None:
    import sys

    print("from inside", file=sys.stderr, flush=True)


def test_two_labs_at_once_have_other_subnets_and_know_nothing_of_each_other(lab: Lab):
    with Lab(runtime="docker") as other:
        assert other.vip != lab.vip
        assert not {node.address for node in other.nodes.values()} & {node.address for node in lab.nodes.values()}
        for each in (lab, other):
            assert each.alice.get(f"https://{each.vip}/").status == 200, "certificates name the addresses that are"
        other.balancer.l7()
        assert (other.balancer.mode, lab.balancer.mode) == ("l7", "l4")
        with other.capture() as cap:
            assert lab.alice.get("http://lb/").status == 200
        assert cap.connections().empty
        addresses = json.dumps([str(node.address) for node in other.topology.nodes])
        assert other.vip in addresses
        ended = lab_id(other)
    assert of_lab(ended) == []
    assert lab.alice.get("http://lb/").status == 200


def test_many_labs_that_start_at_the_same_time_find_room():
    labs = [Lab(sized(backends=1, clients=1), runtime="docker") for _ in range(3)]
    threads = [threading.Thread(target=each.start) for each in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    try:
        assert [each.running for each in labs] == [True] * 3
        assert len({each.vip for each in labs}) == 3
    finally:
        for each in labs:
            each.stop()


def test_a_lab_is_whole_or_gone():
    with Lab(sized(backends=1, clients=1), runtime="docker") as lab:
        ident = lab_id(lab)
        docker("kill", f"labkit-{ident}-api1")
        deadline = time.monotonic() + 10
        while lab.running and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(LabNotRunning, match="the lab died: the container of api1 ended"):
            lab.client1.run("true")
        assert repr(lab).endswith(": died>")
        lab.stop()
        assert of_lab(ident) == []
        lab.start()
        assert lab.client1.get("http://lb/").status == 200


def test_a_lab_that_nobody_holds_ends():
    lab = Lab(sized(backends=1, clients=1), runtime="docker").start()
    ident = lab_id(lab)
    assert of_lab(ident)
    del lab
    gc.collect()
    assert of_lab(ident) == []


@pytest.mark.parametrize("after", ["begun", "a network", "a container", "a stream", "an agent"])
def test_an_interrupted_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, after: str):
    """The interrupt comes when *after* has just been made, in the thread that makes it or in another one."""
    moments = {
        "begun": (Engine, "has_image"),
        "a network": (Engine, "create_network"),
        "a container": (Engine, "create"),
        "a stream": (Engine, "attach"),
        "an agent": (ContainerNode, "fits"),
    }
    where, name = moments[after]
    done = getattr(where, name)

    def interrupting(*arguments: Any) -> Any:
        result = done(*arguments)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        monkeypatch.undo()
        return result

    monkeypatch.setattr(where, name, interrupting)
    runtime = DockerRuntime()
    with pytest.raises(KeyboardInterrupt):
        runtime.start(sized(backends=1, clients=1))
    assert of_lab(runtime.id) == []
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("labkit docker")]


def test_an_interrupt_does_not_cut_the_end_of_a_lab_in_half():
    lab = Lab(sized(backends=1, clients=1), runtime="docker").start()
    ident = lab_id(lab)
    with pytest.raises(KeyboardInterrupt), interrupted(0.1):
        lab.stop()
    assert of_lab(ident) == []
    assert not lab.running


def test_a_lab_ends_at_once_though_a_fork_of_its_owner_lives(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labkit.runtime.docker.runtime._STOP_SECONDS", 60.0)  # after which containers are killed
    lab = Lab(sized(backends=1, clients=1), runtime="docker").start()
    ident = lab_id(lab)
    pid = os.fork()
    if pid == 0:
        time.sleep(120)
        os._exit(0)
    try:
        began = time.monotonic()
        lab.stop()
        assert time.monotonic() - began < 30
        assert of_lab(ident) == []
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_cannot_start_leaves_nothing_and_says_why(monkeypatch: pytest.MonkeyPatch):
    runtime = DockerRuntime()
    monkeypatch.setattr("labkit.runtime.docker.node._WIRE", ["labkit.runtime.container.no_such_module"])
    with pytest.raises(RuntimeUnavailable, match=r"network of \w+ cannot be changed.*no_such_module"):
        runtime.start(default())
    assert of_lab(runtime.id) == []
    assert not runtime.running


def test_an_image_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABKIT_IMAGE", "nosuch:image")
    with pytest.raises(RuntimeUnavailable, match=r"no image nosuch:image, which LABKIT_IMAGE names"):
        Lab(runtime="docker").start()


def test_an_image_that_is_none_of_ours_is_told_by_what_it_says(monkeypatch: pytest.MonkeyPatch):
    from labkit.runtime.docker import image

    monkeypatch.setenv("LABKIT_IMAGE", image.base_image())
    runtime = DockerRuntime()
    with pytest.raises(RuntimeUnavailable, match=r"container of \w+, of the image .*, is no host of a lab: "):
        runtime.start(sized(backends=1, clients=1))
    assert of_lab(runtime.id) == []


def test_where_the_engine_s_kernel_has_no_ipv6_the_lab_says_so_and_has_none(monkeypatch: pytest.MonkeyPatch):
    missing = {"net.ipv6.conf.no_such_interface.disable_ipv6": "0"}  # refused as all of them would be there
    monkeypatch.setattr("labkit.runtime.docker.plan._SYSCTLS", missing)
    lab = Lab(sized(backends=1, clients=1), runtime="docker")
    with pytest.warns(UserWarning, match="kernel has no IPv6"):
        lab.start()
    try:
        assert (lab.topology.vip6, lab.client1.addresses) == (None, [lab.client1.address])
        assert lab.client1.get("http://lb/").status == 200
        ident = lab_id(lab)
    finally:
        lab.stop()
    assert of_lab(ident) == []


def test_auto_takes_docker_where_namespaces_are_refused(monkeypatch: pytest.MonkeyPatch):
    from labkit.runtime.netns.runtime import NetnsRuntime

    def refused(*_: object) -> None:
        raise RuntimeUnavailable("user namespaces are for root only here")

    monkeypatch.setattr(NetnsRuntime, "start", refused)
    with Lab(sized(backends=1, clients=1)) as lab:
        assert lab.runtime == "docker"
        assert lab.client1.get("http://lb/").status == 200
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(
        RuntimeUnavailable, match=r"No runtime works here.*netns: user namespaces.*docker: No Docker engine"
    ):
        lab.start()


def test_an_engine_whose_clock_is_wrong_is_told_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labkit.runtime.docker.node._CLOCKS", -1.0)
    with (
        pytest.warns(UserWarning, match=r"engine's clock is [+-]0\.\d s from"),
        Lab(sized(backends=1, clients=1), runtime="docker"),
    ):
        pass
