"""Whose a container or a network is, and whether that process has ended."""

import os
import platform
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from labkit.runtime.docker.labels import Owner, labels, owner_of, this_machine, this_process

OWNER = "from labkit.runtime.docker.labels import this_process; print(this_process(), flush=True); input()"


def test_a_process_that_runs_is_alive():
    own = this_process()
    assert (own.pid, own.machine, own.dead) == (os.getpid(), this_machine(), False)


def test_what_is_written_is_read_back():
    read = owner_of(str(this_process()))
    assert read is not None
    assert (read.pid, read.machine, read.dead) == (os.getpid(), this_machine(), False)


def test_a_process_that_has_ended_is_dead_reaped_or_not():
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    owner = owner_of(_said_by(process))
    assert owner is not None
    assert not owner.dead
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.dead, "a zombie owns nothing"
    process.communicate()
    assert owner.dead


def _said_by(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="time namespaces and process namespaces are Linux's")
def test_where_processes_are_counted_anew_is_another_machine_whatever_its_name():
    """As in a container that has its machine's name, or in another distribution of WSL."""
    inner = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    owner = owner_of(_said_by(inner))
    inner.communicate()
    assert owner is not None
    assert owner.machine.split()[0] == platform.node()
    assert not owner.dead, "it has ended, but that cannot be seen from here"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere processes begin by the clock")
def test_an_owner_stays_who_it_is_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch):
    own, boot = this_process(), psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)  # as it is read after that
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", None, raising=False)
    assert psutil.Process().create_time() > boot + 3600
    assert not own.dead


def test_another_process_with_the_same_number_is_not_the_owner():
    own = this_process()
    assert replace(own, began=own.began - 0.2).dead


def test_what_happens_on_another_machine_cannot_be_known():
    assert not Owner("elsewhere", 2**30, 0.0).dead


@pytest.mark.parametrize("text", ["", "someone", "12/x/here", "x/1.0/here"])
def test_what_is_no_owner_of_ours_is_nobody(text):
    assert owner_of(text) is None


def test_a_machine_s_name_may_have_a_slash():
    assert owner_of("1/2.00/a/b c") == Owner("a/b c", 1, 2.0)
    assert "labkit.node" not in labels("x", this_process())
