"""Whose a container or a network is, and whether that process has ended."""

import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from labkit.runtime.docker.labels import Owner, labels, owner_of, this_process


def test_a_process_that_runs_is_alive():
    own = this_process()
    assert (own.pid, own.machine, own.dead) == (os.getpid(), platform.node(), False)


def test_what_is_written_is_read_back():
    read = owner_of(str(this_process()))
    assert read is not None
    assert (read.pid, read.machine, read.dead) == (os.getpid(), platform.node(), False)


def test_a_process_that_has_ended_is_dead_reaped_or_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(this_process(), pid=process.pid, began=_began(process.pid))
    assert not owner.dead
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.dead, "a zombie owns nothing"
    process.communicate()
    assert owner.dead


def _began(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def test_another_process_with_the_same_number_is_not_the_owner():
    own = this_process()
    assert replace(own, began=own.began - 100).dead


def test_what_happens_on_another_machine_cannot_be_known():
    assert not Owner("elsewhere", 2**30, 0.0).dead


@pytest.mark.parametrize("text", ["", "someone", "12/x/here", "x/1.0/here"])
def test_what_is_no_owner_of_ours_is_nobody(text):
    assert owner_of(text) is None


def test_a_machine_s_name_may_have_a_slash():
    assert owner_of("1/2.00/a/b") == Owner("a/b", 1, 2.0)
    assert "labkit.node" not in labels("x", this_process())
