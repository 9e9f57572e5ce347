"""Each known cause has its remedy; an unknown one still says what to do."""

import errno

import pytest

from labkit.runtime.netns.remedies import facts, remedy
from labkit.runtime.netns.runtime import unavailable

OPEN = {"max_user_namespaces": "96343", "unprivileged_userns_clone": "1", "apparmor_restrict": "0", "container": "0"}


@pytest.mark.parametrize(
    ("step", "number", "known", "command"),
    [
        ("namespaces", errno.ENOSPC, {"max_user_namespaces": "0"}, "sudo sysctl -w user.max_user_namespaces=15000"),
        ("namespaces", errno.ENOSPC, {}, "max_net_namespaces"),
        ("namespaces", errno.EPERM, {"unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ("namespaces", errno.EPERM, {"apparmor_restrict": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("namespaces", errno.EPERM, {"container": "1"}, "seccomp=unconfined"),
        ("namespaces", errno.EINVAL, {}, "CONFIG_USER_NS=y"),
        ("mounts", errno.EACCES, {"apparmor_restrict": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("mounts", errno.EPERM, {"container": "1"}, "systempaths=unconfined"),
        ("network", errno.EOPNOTSUPP, {}, "sudo modprobe -a veth bridge"),
        ("nftables", errno.ENOENT, {}, "nft_chain_nat"),
        ("capture", errno.EAFNOSUPPORT, {}, "af_packet"),
        ("imports", 0, {}, "install labkit"),
        ("network", errno.EIO, {}, "labkit doctor"),
    ],
)
def test_remedies(step, number, known, command):
    assert command in remedy(step, number, OPEN | known).command


def test_the_error_names_the_cause_the_kernels_word_and_the_remedy():
    error = unavailable({"step": "network", "errno": errno.ENODEV, "text": "no veth"})
    assert str(error) == (
        "The netns runtime cannot build a lab here: this kernel lacks virtual Ethernet cables or bridges "
        "[no veth (ENODEV)]. Remedy: sudo modprobe -a veth bridge"
    )


def test_the_facts_are_this_machines():
    assert set(facts()) <= {*OPEN}
    assert facts()["container"] in ("0", "1")
