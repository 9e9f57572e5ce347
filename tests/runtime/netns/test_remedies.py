"""Each known cause has its remedy; an unknown one still says what to do."""

import errno

import pytest

from labkit.runtime.netns.probe import STEPS
from labkit.runtime.netns.remedies import _TABLE, facts, remedy
from labkit.runtime.netns.runtime import unavailable

OPEN = {
    "max_user_namespaces": "96343",
    "unprivileged_userns_clone": "1",
    "apparmor_restrict": "0",
    "container": "0",
    "engine": "",
    "seccomp": "0",
    "confined": "",
    "root": "0",
}
DOCKER = {"container": "1", "engine": "docker", "seccomp": "1"}


@pytest.mark.parametrize(
    ("step", "number", "known", "command"),
    [
        ("namespaces", errno.ENOSPC, {"max_user_namespaces": "0"}, "sudo sysctl -w user.max_user_namespaces=15000"),
        ("namespaces", errno.ENOSPC, {}, "max_net_namespaces"),
        ("namespaces", errno.EPERM, {"unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ("namespaces", errno.EPERM, {"apparmor_restrict": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("namespaces", errno.EPERM, DOCKER, "docker run --security-opt seccomp=docker/seccomp.json"),
        ("namespaces", errno.EPERM, DOCKER | {"apparmor_restrict": "1"}, "seccomp=docker/seccomp.json"),
        ("namespaces", errno.EPERM, DOCKER | {"seccomp": "0", "apparmor_restrict": "1"}, "sudo sysctl"),
        ("namespaces", errno.EINVAL, {}, "CONFIG_USER_NS=y"),
        ("namespaces", errno.EPERM, DOCKER | {"seccomp": "0", "root": "1"}, "docker run --user 1000"),
        ("mounts", errno.EACCES, {"apparmor_restrict": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("mounts", errno.EPERM, DOCKER | {"seccomp": "0", "apparmor_restrict": "1"}, "sudo sysctl"),
        ("proc", errno.EPERM, DOCKER | {"seccomp": "0", "apparmor_restrict": "1"}, "systempaths=unconfined"),
        ("mounts", errno.EACCES, DOCKER | {"confined": "apparmor"}, "--security-opt apparmor=unconfined"),
        ("mounts", errno.EPERM, DOCKER, "seccomp=docker/seccomp.json"),
        ("view", errno.EPERM, DOCKER, "seccomp=docker/seccomp.json"),
        ("proc", errno.EPERM, DOCKER, "--security-opt systempaths=unconfined"),
        ("proc", errno.EPERM, DOCKER | {"engine": "podman"}, "--security-opt unmask=ALL"),
        ("proc", errno.EPERM, DOCKER | {"engine": "podman", "confined": "selinux"}, "--security-opt label=disable"),
        ("proc", errno.EPERM, DOCKER | {"engine": "kubernetes"}, "procMount: Unmasked"),
        ("sysctls", errno.EROFS, DOCKER, "--security-opt systempaths=unconfined"),
        ("nodes", errno.EPERM, DOCKER, "seccomp=docker/seccomp.json"),
        ("network", errno.EOPNOTSUPP, {}, "sudo modprobe -a veth bridge"),
        ("nftables", errno.ENOENT, {}, "nft_chain_nat"),
        ("capture", errno.EAFNOSUPPORT, {}, "af_packet"),
        ("imports", 0, {}, "install labkit"),
        ("network", errno.EIO, {}, "labkit doctor"),
    ],
)
def test_remedies(step, number, known, command):
    assert command in remedy(step, number, OPEN | known).command


@pytest.mark.parametrize(
    ("step", "number", "known", "why"),
    [
        ("namespaces", errno.EPERM, DOCKER, "this container's seccomp profile forbids user namespaces"),
        ("mounts", errno.EPERM, DOCKER, "this container's seccomp profile forbids mounts"),
        (
            "mounts",
            errno.EACCES,
            DOCKER | {"confined": "apparmor", "apparmor_restrict": "1"},
            "this container's AppArmor profile forbids mounts",
        ),
        ("proc", errno.EPERM, DOCKER | {"confined": "selinux"}, "SELinux forbids mounts to processes of containers"),
        ("sysctls", errno.EROFS, DOCKER, "/proc/sys is read-only in this container"),
    ],
)
def test_what_keeps_a_container_from_it_is_told_apart(step, number, known, why):
    assert remedy(step, number, OPEN | known).why == why


def test_a_refusal_outside_of_containers_is_no_matter_of_options():
    answer = remedy("proc", errno.EPERM, OPEN | {"seccomp": "1"})
    assert str(answer) == "the step 'proc' failed with EPERM. Remedy: run `labkit doctor` and report what it prints"


def test_every_step_of_the_probe_has_its_name_in_the_table():
    assert {name for steps, *_ in _TABLE for name in steps.split()} == {*STEPS, "imports"}


def test_the_error_names_the_cause_the_kernels_word_and_the_remedy():
    error = unavailable({"step": "network", "errno": errno.ENODEV, "text": "no veth"})
    assert str(error) == (
        "The netns runtime cannot build a lab here: this kernel lacks virtual Ethernet cables or bridges "
        "[no veth (ENODEV)]. Remedy: sudo modprobe -a veth bridge"
    )


def test_the_facts_are_this_machines():
    assert set(facts()) <= {*OPEN}
    assert facts()["container"] in ("0", "1")
