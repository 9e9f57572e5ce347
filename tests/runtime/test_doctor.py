"""The doctor finds out by trying, and what does not work comes with the command that mends it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtime import doctor
from labkit.runtime.netns import probe

WITHOUT = str(Path(__file__).parent / "netns" / "without_namespaces.py")
REMEDY = "sudo sysctl -w user.max_user_namespaces=15000"


@pytest.mark.needs("netns")
def test_every_step_is_tried_here():
    findings = doctor.netns()
    assert all(finding.works for finding in findings)
    assert [finding.name for finding in findings] == [*probe.STEPS.values(), "netns runtime"]


def test_both_runtimes_are_looked_at():
    names = [finding.name for finding in doctor.report()]
    assert names[0] == "Python"
    assert [name for name in names if name.endswith(" runtime")] == ["netns runtime", "docker runtime"]


def without_namespaces(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, WITHOUT, sys.executable, *arguments]
    nobody = os.environ | {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=nobody)


@pytest.mark.needs("netns")
def test_where_user_namespaces_are_off_the_doctor_says_what_why_and_the_remedy():
    done = without_namespaces("-m", "labkit", "doctor")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "user.max_user_namespaces is 0" in told
    assert REMEDY in told
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.needs("netns")
def test_where_user_namespaces_are_off_a_lab_says_so_too():
    done = without_namespaces("-m", "labkit", "demo", "--runtime", "netns")
    assert done.returncode == 1
    assert REMEDY in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stdout + done.stderr


def test_a_probe_that_ends_without_a_word_is_a_finding(monkeypatch):
    silent = subprocess.CompletedProcess([], 1, stdout=b"", stderr=b"Killed\n")
    monkeypatch.setattr(probe.subprocess, "run", lambda *_, **__: silent)
    (result,) = probe.run()
    assert result == {"step": "namespaces", "works": False, "errno": 0, "text": "Killed"}


def test_elsewhere_than_on_linux_it_says_where_to_go(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    last = doctor.netns()[-1]
    assert not last.works
    assert "WSL2" in last.remedy
