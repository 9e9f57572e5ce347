"""What is asked of the engine: as few rights as a host needs, and no way out."""

import json

import pytest

from labkit.runtime.docker import plan
from labkit.runtime.docker.labels import LAB, NODE, OWNER, Owner
from labkit.topology import default, direct_return

OWNED = Owner("here", 4711, 17.5)
BECOMING = {"SETGID", "SETPCAP", "SETUID"}


@pytest.fixture(scope="module")
def containers():
    return plan.containers(direct_return(), "abc", OWNED)


def test_only_the_balancer_may_administer_its_network(containers):
    rights = {name: set(spec["host"]["cap_add"]) - BECOMING for name, spec in containers.items()}
    assert rights.pop("lb") == {"NET_ADMIN", "NET_RAW"}
    assert set(map(frozenset, rights.values())) == {frozenset({"NET_RAW"})}
    assert all(spec["host"]["cap_drop"] == ["ALL"] for spec in containers.values())


def test_no_container_is_privileged_or_sees_the_machine(containers):
    for spec in containers.values():
        assert spec["host"]["security_opt"] == ["no-new-privileges"]
        assert not {"privileged", "binds", "mounts", "pid_mode", "ipc_mode", "devices"} & set(spec["host"])


def test_only_the_balancer_may_write_what_its_kernel_is_told_and_only_of_its_network(containers):
    assert [name for name, spec in containers.items() if spec["more"]] == ["lb"]
    closed = containers["lb"]["more"]["ReadonlyPaths"]
    assert "/proc/sysrq-trigger" in closed
    of_sys = {path.removeprefix("/proc/sys/") for path in closed if path.startswith("/proc/sys/")}
    assert {"kernel", "vm", "fs", "user", "dev"} <= of_sys
    assert "net" not in of_sys


def test_networks_have_no_way_out_and_no_address_of_the_machine():
    for link, spec in plan.networks(default(), "abc", OWNED).items():
        assert spec["options"]["com.docker.network.bridge.inhibit_ipv4"] == "true"
        assert spec["options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
        assert spec["options"]["com.docker.network.bridge.gateway_mode_ipv4"] == "routed"
        assert spec["options"]["com.docker.network.advertise_addr_nmsgs"] == "0"
        assert spec["name"] == f"labkit-abc-{link}"
        assert spec["labels"] == {LAB: "abc", OWNER: "4711/17.50/here"}


def test_each_container_is_told_who_it_is(containers):
    spec = containers["api2"]
    assert (spec["name"], spec["hostname"], spec["addresses"]) == ("labkit-abc-api2", "api2", {"back": "10.0.2.12"})
    assert spec["labels"] == {LAB: "abc", OWNER: "4711/17.50/here", NODE: "api2"}
    order = json.loads(spec["environment"]["LABKIT_ORDER"])
    assert (order["name"], order["rights"]) == ("api2", ["net_raw"])
    assert "10.0.1.10 lb\n" in order["hosts"]


def test_what_is_told_to_new_interfaces_is_told_to_those_that_are_there(containers):
    told = containers["alice"]["host"]["sysctls"]
    assert told["net.ipv6.conf.all.disable_ipv6"] == "0"
    assert told["net.ipv6.conf.all.addr_gen_mode"] == told["net.ipv6.conf.default.addr_gen_mode"] == "1"
    assert told["net.ipv4.ip_forward"] == "0"
    assert containers["lb"]["host"]["sysctls"]["net.ipv4.ip_forward"] == "1"
    assert containers["gw"]["host"]["sysctls"]["net.ipv4.ip_forward"] == "1"


def test_the_container_that_wires_has_one_right_and_the_network_of_its_host(containers):
    spec = plan.wiring(containers["alice"], "f00", ["some.module", "argument"])
    assert spec["host"]["cap_add"] == ["NET_ADMIN"]
    assert spec["host"]["cap_drop"] == ["ALL"]
    assert spec["host"]["network_mode"] == "container:f00"
    assert spec["command"] == ["python", "-m", "some.module", "argument"]
    assert spec["labels"] == containers["alice"]["labels"]
