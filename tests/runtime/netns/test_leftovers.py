"""`labkit clean` ends what a dead owner left, and nothing else."""

import subprocess
import sys
from pathlib import Path

from labkit.runtime import clean
from labkit.runtime.netns.runtime import NetnsRuntime
from labkit.topology import default


def test_a_running_lab_is_left_alone():
    runtime = NetnsRuntime()
    runtime.start(default())
    try:
        assert not [line for line in clean() if str(runtime.pid) in line]
        assert runtime.nodes["alice"].call("os:getpid") > 0
    finally:
        runtime.stop()


def test_a_supervisor_whose_owner_is_gone_is_ended_and_a_decoy_is_not():
    command = "import sys, time; print('up', flush=True); time.sleep(60)"
    mark = ["-m", "labkit.runtime.netns.supervisor", "3", "1"]
    decoy = subprocess.Popen([sys.executable, "-c", command, *mark], stdout=subprocess.PIPE)
    named = f"import ctypes; ctypes.CDLL(None).prctl(15, b'labkit-super', 0, 0, 0); {command}"
    orphan = subprocess.Popen(
        [sys.executable, "-c", named, *mark],
        stdout=subprocess.PIPE,
    )
    try:
        for process in (decoy, orphan):
            assert process.stdout
            process.stdout.readline()
        ended = clean()
        assert [line for line in ended if f" {orphan.pid} " in line]
        assert not [line for line in ended if f" {decoy.pid} " in line]
        assert orphan.wait(5) == -9
        assert Path(f"/proc/{decoy.pid}").exists()
    finally:
        for process in (decoy, orphan):
            process.kill()
            process.wait()
