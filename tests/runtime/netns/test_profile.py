"""The seccomp profile as a file: readable by every engine, and open to nothing that nobody asked for."""

import json
from pathlib import Path
from typing import Any

import pytest

PROFILE = Path(__file__).parents[3] / "docker" / "seccomp.json"

CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWTIME, CLONE_NEWANY = 1 << 30, 1 << 25, 0x80, 0x7E020000
UNIX, INET, INET6, NETLINK, PACKET = 1, 2, 10, 16, 17

# What Docker's documentation lists as refused by its default, and what came since.
REFUSED = """
acct add_key bpf chroot clock_settime clock_settime64 create_module delete_module fanotify_init finit_module fsconfig
fsmount fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm
iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages move_mount move_pages name_to_handle_at
nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv
process_vm_writev query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname settimeofday
socketcall stime swapoff swapon sysfs syslog _sysctl umount umount2 uselib userfaultfd ustat vhangup vm86 vm86old
"""


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    return json.loads(PROFILE.read_text())


def rules(profile: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [rule for rule in profile["syscalls"] if name in rule["names"]]


def test_what_is_not_named_is_refused(profile):
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)


def test_it_has_nothing_but_what_the_runtimes_specification_knows(profile):
    """Docker's own fields, such as archMap and includes, mean nothing to Kubernetes."""
    assert set(profile) == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert {key for rule in profile["syscalls"] for key in rule} == {"action", "names", "args", "errnoRet"}


def test_the_long_list_is_in_order_and_names_each_call_once(profile):
    names = profile["syscalls"][0]["names"]
    assert names == sorted(set(names))
    assert "args" not in profile["syscalls"][0]


@pytest.mark.parametrize("name", REFUSED.split())
def test_what_dockers_default_refuses_stays_refused(profile, name):
    assert rules(profile, name) == []


def test_what_a_lab_needs_is_added_as_narrowly_as_it_can_be(profile):
    assert profile["syscalls"][-3:] == [
        {"action": "SCMP_ACT_ALLOW", "names": ["mount", "mount_setattr", "sethostname"]},
        {
            "action": "SCMP_ACT_ALLOW",
            "names": ["setns"],
            "args": [{"index": 1, "value": CLONE_NEWNET, "op": "SCMP_CMP_EQ"}],
        },
        {
            "action": "SCMP_ACT_ALLOW",
            "names": ["unshare"],
            "args": [{"index": 0, "value": CLONE_NEWCGROUP | CLONE_NEWTIME, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ]


def test_clone_makes_no_namespaces_and_clone3_is_not_there(profile):
    (clone,) = rules(profile, "clone")
    assert clone["args"] == [{"index": 0, "value": CLONE_NEWANY, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = rules(profile, "clone3")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)  # so that the C library takes clone


def test_sockets_are_of_the_families_that_a_lab_speaks(profile):
    assert [rule["args"][0]["value"] for rule in rules(profile, "socket")] == [UNIX, INET, INET6, NETLINK, PACKET]
