"""A lab of network namespaces inside a container that may do nothing but what docker/seccomp.json adds.

On the image `notebook`: the one that LABKIT_NOTEBOOK_IMAGE names, or one built here as docker/README.md says.
"""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import filters
from .test_profile import PROFILE

pytestmark = [pytest.mark.needs("docker"), pytest.mark.slow]

ROOT = Path(__file__).parents[3]
BOOT = (Path(__file__).parent / "boot.py").read_text()
WEAK = ["--cap-drop", "ALL", "--user", "1000", "--network", "none"]
WITH_PROFILE = ["--security-opt", f"seccomp={PROFILE}"]
UNMASKED = ["--security-opt", "systempaths=unconfined"]
REMEDY = "docker run --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined"

# What a process without rights may do under our profile and not under Docker's default; of setns see below.
ADDED = {"mount", "mount_setattr", "sethostname", "unshare"}

NAMESPACES = {"cgroup": 1 << 25, "ipc": 1 << 27, "mnt": 1 << 17, "net": 1 << 30, "pid": 1 << 29, "user": 1 << 28}
NAMESPACES |= {"uts": 1 << 26, "time": 0x80}

# Number on x86_64 of calls whose errno for these arguments is another than EPERM where nothing refuses them.
TRIALS = """
import ctypes, json, os
os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)  # so that it has every right in a namespace of its own
call = ctypes.CDLL(None, use_errno=True).syscall
trials = {"chroot": (161, 0), "pivot_root": (155, 0, 0), "umount2": (166, 0, 0),
    "keyctl": (250, 0x7fff), "add_key": (248, 0, 0, 0, 0, 0), "kcmp": (312, 0, 0),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0), "open_tree": (428, -1, 0, 0), "process_vm_readv": (310, 0, 0, 0, 0, 0),
    "unshare time": (272, 0x80), "setns any": (308, -1, 0), "socket vsock": (41, 40, 1, 0), "clone3": (435, 0, 0)}
found = {}
for name, (number, *arguments) in trials.items():
    given = [ctypes.c_long(argument) for argument in (number, *arguments)]
    found[name] = 0 if call(*given) >= 0 else ctypes.get_errno()
print(json.dumps(found))
"""
EPERM, ENOSYS = 1, 38


def docker(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def image() -> str:
    if not shutil.which("docker"):
        pytest.skip("there is no docker on PATH, whose options these are")
    if named := os.environ.get("LABKIT_NOTEBOOK_IMAGE"):
        return named
    base = os.environ.get("LABKIT_BASE") or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    network = os.environ.get("LABKIT_BUILD_NETWORK", "default")
    options = ["--target", "notebook", "--file", "docker/Dockerfile", "--build-arg", f"BASE={base}"]
    built = docker("build", *options, "--network", network, "--tag", "labkit-notebook:test", ".")
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    return "labkit-notebook:test"


def run(image: str, *options: str, program: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    name = f"labkit-test-{uuid.uuid4().hex[:12]}"
    try:
        return docker("run", "--rm", "-i", "--name", name, *WEAK, *options, image, *program, given=given)
    finally:
        docker("rm", "--force", name)  # of one that a time-out left


def doctor(image: str, *options: str) -> tuple[int, str]:
    done = run(image, *options, program=["python", "-m", "labkit", "doctor"])
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize("privileges", [[], ["--security-opt", "no-new-privileges"]], ids=["", "no-new-privileges"])
def test_a_lab_boots_and_works(image, privileges):
    options = [*WITH_PROFILE, *UNMASKED, *privileges]
    done = run(image, *options, program=["python", "-"], given=BOOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("seconds") < 20
    assert found.pop("l7")[0] == found["envoy"][0] == 200
    assert found.pop("envoy")[1] in ("api1", "api2")
    assert found == {"uid": 1000, "host": "alice", "l4": [200, "10.0.1.11"], "connections": 2}


def test_who_has_the_image_has_the_profile(image):
    done = run(image, program=["cat", "/opt/labkit/labkit/runtime/docker/files/seccomp.json"])
    assert done.stdout == PROFILE.read_text()


def test_the_doctor_finds_everything_in_order(image):
    status, told = doctor(image, *WITH_PROFILE, *UNMASKED)
    assert status == 0
    assert "✓ netns runtime ready: Lab().start() works here" in told


def test_a_lab_without_the_profile_names_the_remedy(image):
    done = run(image, program=["python", "-"], given=BOOT)
    assert done.returncode == 1
    assert (
        f"this container's seccomp profile forbids user namespaces [[Errno 1] Operation not permitted (EPERM)]. "
        f"Remedy: {REMEDY}" in done.stderr
    )


def without(call: str, folder: Path) -> list[str]:
    profile = json.loads(PROFILE.read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name != call]
    profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
    path = folder / "profile.json"
    path.write_text(json.dumps(profile))
    return ["--security-opt", f"seccomp={path}"]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("unshare", "this container's seccomp profile forbids user namespaces"),
        ("mount", "this container's seccomp profile forbids mounts"),
        ("mount_setattr", "this container's seccomp profile forbids mounts"),
        ("setns", "this container's seccomp profile forbids what hosts of a lab begin with"),
        ("sethostname", "this container's seccomp profile forbids what hosts of a lab begin with"),
    ],
)
def test_none_of_the_calls_can_be_done_without_and_the_doctor_knows_each(image, tmp_path, call, why):
    status, told = doctor(image, *without(call, tmp_path), *UNMASKED)
    assert status == 1
    assert why in told
    assert REMEDY in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "this container's seccomp profile forbids user namespaces"),
        (UNMASKED, "this container's seccomp profile forbids user namespaces"),
        (WITH_PROFILE, "this container's engine covers parts of /proc, so the kernel allows no other one in it"),
    ],
    ids=["as Docker starts it", "without the profile", "without systempaths"],
)
def test_the_doctor_names_what_is_missing_and_all_the_options(image, options, why):
    status, told = doctor(image, *options)
    assert status == 1
    assert why in told
    assert REMEDY in told


def test_root_without_rights_is_told_to_be_somebody_else(image):
    status, told = doctor(image, *WITH_PROFILE, *UNMASKED, "--user", "0")
    assert status == 1
    assert "root in this container lacks the rights to make a user namespace of its own" in told
    assert "docker run --user 1000 --security-opt seccomp=docker/seccomp.json" in told


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="it calls by the numbers of x86_64")
def test_who_has_every_right_in_a_namespace_is_refused_all_the_same(image):
    done = run(image, *WITH_PROFILE, *UNMASKED, program=["python", "-"], given=TRIALS)
    refused = json.loads(done.stdout)
    assert refused.pop("clone3") == ENOSYS
    assert set(refused.values()) == {EPERM}, refused
    free = run(image, "--security-opt", "seccomp=unconfined", program=["python", "-"], given=TRIALS)
    allowed = json.loads(free.stdout)
    assert EPERM not in allowed.values(), allowed


@pytest.fixture(scope="module")
def programs(image) -> Iterator[tuple[filters.Program, filters.Program]]:
    """The filters as the kernel has them: Docker's default, ours."""
    if os.geteuid() != 0:
        pytest.skip("root alone may read the filters of a process")
    begun = []
    try:
        found = []
        for options in ([], WITH_PROFILE):
            name = f"labkit-test-{uuid.uuid4().hex[:12]}"
            begun.append(name)
            started = docker("run", "--detach", "--rm", "--name", name, *WEAK, *options, image, "sleep", "60")
            assert started.returncode == 0, started.stderr
            pid = int(docker("inspect", "--format", "{{.State.Pid}}", name).stdout)
            (program,) = filters.installed(pid)
            found.append(program)
        yield found[0], found[1]
    finally:
        docker("rm", "--force", *begun)


def machine() -> str:
    return {"x86_64": "x86_64", "aarch64": "aarch64"}[os.uname().machine]


def compatible() -> list[tuple[str, int]]:
    """Architectures that this machine's kernel takes calls of, and what they add to a number."""
    if machine() == "x86_64":
        return [("x86_64", 0), ("x86", 0), ("x86_64", filters.X32)]
    return [("aarch64", 0), ("arm", 0)]


def test_it_allows_what_dockers_default_does_and_the_calls_of_a_lab_and_no_more(programs):
    for architecture, added in compatible():
        calls = filters.names(architecture)
        default, ours = (
            {
                name
                for name, number in calls.items()
                if filters.answer(program, architecture, number + added) == filters.ALLOW
            }
            for program in programs
        )
        assert len(ours) > 250, architecture
        assert ours - default == ADDED, architecture


def test_setns_enters_networks_alone(programs):
    number = filters.names(machine())["setns"]
    allowed = {
        name: [filters.answer(program, machine(), number, (3, flag)) == filters.ALLOW for program in programs]
        for name, flag in {**NAMESPACES, "any": 0}.items()
    }
    assert allowed == {name: [False, name == "net"] for name in allowed}


def test_unshare_makes_none_of_the_namespaces_that_a_lab_does_not_use(programs):
    number = filters.names(machine())["unshare"]
    allowed = {
        name: [filters.answer(program, machine(), number, (flag,)) == filters.ALLOW for program in programs]
        for name, flag in NAMESPACES.items()
    }
    assert allowed == {name: [False, name not in ("cgroup", "time")] for name in NAMESPACES}


def test_clone_makes_threads_and_processes_and_no_namespaces(programs):
    _, ours = programs
    calls = filters.names(machine())
    namespaces = {flag for name, flag in NAMESPACES.items() if name != "time"}  # whose bit is the exit signal's here
    assert filters.answer(ours, machine(), calls["clone"], (17,)) == filters.ALLOW
    for flag in namespaces:
        assert filters.answer(ours, machine(), calls["clone"], (flag | 17,)) == filters.ERRNO | EPERM
    assert filters.answer(ours, machine(), calls["clone3"]) == filters.ERRNO | ENOSYS
