"""docker/compose.yaml starts the default topology, as labkit's own Docker runtime would."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.balancer.nftables.sysctls import SYSCTLS
from labkit.runtime import AGENTS
from labkit.runtime.attached.runtime import USUAL
from labkit.runtime.container.order import find
from labkit.runtime.docker import plan
from labkit.runtime.docker.labels import this_process
from labkit.topology import default
from labkit.version import VERSION

FILE = Path(__file__).parents[2] / "docker/compose.yaml"
NODES = [node.name for node in default().nodes]
PLANNED = plan.containers(default(), "lab", this_process())
LAB = {"net.ipv4.conf.all.arp_announce": "2"}  # for source.give, which cannot write it in a container


def compose(**variables: str) -> dict[str, Any]:
    """The file as Compose reads it with these variables."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], FILE.read_text())
    assert "$" not in text
    read: dict[str, Any] = yaml.safe_load(text)
    return read


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def test_there_is_a_service_for_every_node_and_one_that_wires_it_and_the_notebook_and_what_holds_the_sockets():
    assert set(SERVICES) == {*NODES, *(f"wire-{name}" for name in NODES), "notebook", "sockets"}


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_asked_of_the_engine_as_the_runtime_asks(name):
    service, planned = SERVICES[name], PLANNED[name]
    host = planned["host"]
    addresses = {link: each["ipv4_address"] for link, each in service["networks"].items()}
    assert (service["hostname"], addresses) == (planned["hostname"], planned["addresses"])
    assert service["command"] == [*planned["command"], "--door", "labkit"]
    assert (service["cap_drop"], service["cap_add"]) == (host["cap_drop"], host["cap_add"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["init"], service["dns"]) == (host["init"], host["dns"])
    assert dict(mount.split(":", 1) for mount in service["tmpfs"]) == host["tmpfs"]
    assert service["labels"]["labkit.node"] == name


@pytest.mark.parametrize("name", NODES)
def test_its_kernel_is_asked_for_the_same_and_at_lb_for_what_l4_sets_elsewhere(name):
    wanted = dict(PLANNED[name]["host"]["sysctls"])
    if name == "lb":
        wanted |= LAB | {path.replace("/", "."): value for path, value, _ in SYSCTLS}
    assert SERVICES[name]["sysctls"] == wanted


@pytest.mark.parametrize("name", NODES)
def test_what_it_is_told_gives_the_order_that_the_runtime_gives(name):
    assert find(SERVICES[name]["environment"]) == find(PLANNED[name]["environment"])


@pytest.mark.parametrize("name", NODES)
def test_its_wiring_is_beside_it_with_the_one_right_that_takes(name):
    wiring, spec = SERVICES[f"wire-{name}"], plan.wiring(PLANNED[name], "container", ["labkit.runtime.container.wire"])
    assert wiring["command"] == [*spec["command"], "--door", "labkit", "--agents", str(USUAL)]
    assert wiring["network_mode"] == f"service:{name}"
    assert (
        (wiring["cap_drop"], wiring["cap_add"])
        == (["ALL"], ["NET_ADMIN"])
        == (
            spec["host"]["cap_drop"],
            spec["host"]["cap_add"],
        )
    )
    assert wiring["environment"] == SERVICES[name]["environment"]
    assert wiring["image"] == SERVICES[name]["image"]
    assert wiring["restart"] == "on-failure:5"
    assert (
        "depends_on" not in wiring
    )  # it depends on whose network and memory it shares; said twice, Compose v2 forgets


def test_the_networks_are_as_the_runtime_makes_them():
    networks = compose()["networks"]
    for link, planned in plan.networks(default(), "lab", this_process()).items():
        assert networks[link]["driver_opts"] == planned["options"]
        assert networks[link]["ipam"]["config"] == [{"subnet": planned["subnet"], "gateway": planned["gateway"]}]
    assert set(networks) == {"front", "back", "outside"}


def test_the_sockets_are_in_memory_that_the_wirings_and_the_notebook_share_and_no_host_sees():
    sharing = {name: service["ipc"] for name, service in SERVICES.items() if "ipc" in service}
    assert sharing.pop("sockets") == "shareable"
    assert sharing == dict.fromkeys(["notebook", *(f"wire-{name}" for name in NODES)], "service:sockets")
    assert SERVICES["notebook"]["environment"][AGENTS] == str(USUAL)
    assert USUAL.is_relative_to("/dev/shm")
    assert "docker.sock" not in FILE.read_text()


def test_there_is_no_volume_that_would_outlive_it():
    assert [name for name, service in SERVICES.items() if "volumes" in service] == []


def test_what_holds_the_sockets_may_nothing():
    sockets = SERVICES["sockets"]
    assert (sockets["cap_drop"], sockets["user"], sockets["network_mode"]) == (["ALL"], "lab", "none")
    assert sockets["read_only"]
    assert "cap_add" not in sockets


def test_the_notebook_is_in_no_network_of_the_lab_and_published_on_this_machine_alone():
    notebook = SERVICES["notebook"]
    assert notebook["networks"] == ["outside"]
    assert notebook["ports"] == ["127.0.0.1:8888:8888"]
    assert notebook["cap_drop"] == ["ALL"]
    assert "cap_add" not in notebook
    assert set(notebook["depends_on"]) == set(NODES)


def test_nothing_is_privileged_and_everything_is_labelled_and_pinned():
    for name, service in SERVICES.items():
        assert not service.get("privileged"), name
        assert "pid" not in service
        assert service["labels"]["labkit.started-by"] == "compose"
        assert service["image"] == f"labkit-{'notebook' if name == 'notebook' else 'node'}:{VERSION}"
    for network in compose()["networks"].values():
        assert network["labels"] == {"labkit.started-by": "compose"}


def test_each_image_is_built_once_and_nobody_asks_a_registry_for_it():
    built = {name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service}
    assert built == {"sockets": "node", "notebook": "notebook"}
    for name in NODES:
        assert (SERVICES[name]["pull_policy"], SERVICES[name]["depends_on"]) == ("never", ["sockets"])
        wiring = SERVICES[f"wire-{name}"]
        assert (wiring["pull_policy"], wiring["ipc"]) == ("never", "service:sockets")


def test_it_is_for_every_compose():
    assert set(compose()) - {key for key in compose() if key.startswith("x-")} == {"services", "networks"}


def test_subnets_are_moved_by_two_variables():
    moved = compose(LABKIT_FRONT="10.77.1", LABKIT_BACK="10.77.2")
    assert list(_addresses(moved, "front")) == ["10.77.1.11", "10.77.1.12", "10.77.1.10"]
    assert moved["networks"]["back"]["ipam"]["config"] == [{"subnet": "10.77.2.0/24", "gateway": "10.77.2.1"}]
    order = find(moved["services"]["lb"]["environment"])
    assert [interface["addresses"][0][0] for interface in order["network"]["interfaces"]] == [
        "10.77.1.10",
        "10.77.2.10",
    ]


def test_its_head_names_every_variable():
    head = FILE.read_text().partition("\n\n")[0]
    used = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert {name for name in used if name not in head} == set()


def _addresses(read: dict[str, Any], link: str) -> Iterator[str]:
    for name in NODES:
        if link in read["services"][name]["networks"]:
            yield read["services"][name]["networks"][link]["ipv4_address"]
