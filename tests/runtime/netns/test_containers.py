"""A container's options, all at once and in its engine's words."""

import pytest

from labkit.runtime.netns.containers import confinement, options

IN_A_CLONE = " …   # in a clone of labkit's repository"


@pytest.mark.parametrize(
    ("engine", "confined", "words"),
    [
        ("docker", "", "docker run --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined"),
        (
            "docker",
            "apparmor",
            "docker run --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined "
            "--security-opt apparmor=unconfined",
        ),
        ("podman", "", "podman run --security-opt seccomp=docker/seccomp.json --security-opt unmask=ALL"),
        (
            "podman",
            "selinux",
            "podman run --security-opt seccomp=docker/seccomp.json --security-opt unmask=ALL "
            "--security-opt label=disable",
        ),
        ("", "", "docker run --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined"),
    ],
)
def test_one_command_has_all_of_them(engine, confined, words):
    assert options({"engine": engine, "confined": confined}) == words + IN_A_CLONE


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_root_is_told_to_be_somebody_else(engine):
    told = options({"engine": engine, "confined": "", "root": "1"})
    assert told.startswith(f"{engine} run --user 1000 --security-opt seccomp=docker/seccomp.json ")


def test_a_pod_is_told_in_fields_of_its_own():
    told = options({"engine": "kubernetes", "confined": "apparmor"})
    assert "`hostUsers: false`" in told
    assert "`procMount: Unmasked`" in told
    assert "`seccompProfile: {type: Localhost, localhostProfile: labkit.json}`" in told
    assert "`appArmorProfile: {type: Unconfined}`" in told
    assert "runAsUser" not in told
    assert "`runAsUser: 1000`" in options({"engine": "kubernetes", "confined": "", "root": "1"})
    assert "appArmor" not in options({"engine": "kubernetes", "confined": ""})


@pytest.mark.parametrize(
    ("label", "module"),
    [
        ("docker-default (enforce)", "apparmor"),
        ("docker-default (complain)", ""),
        ("unconfined", ""),
        ("system_u:system_r:container_t:s0:c1,c2", "selinux"),
        ("unconfined_u:unconfined_r:unconfined_t:s0", ""),
        ("", ""),
    ],
)
def test_labels_of_processes(label, module):
    assert confinement(label) == module
