"""An interrupt in the middle, at the end, and a failure."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from labkit.uninterrupted import uninterrupted

_CUT = """
import time
from labkit.uninterrupted import uninterrupted
steps = []
def work():
    steps.append("begun")
    print("begun", flush=True)
    time.sleep(0.3)
    steps.append("ended")
try:
    uninterrupted(work)
except KeyboardInterrupt:
    steps.append("interrupted")
print(steps)
"""


def test_the_result_and_the_error_come_through_from_another_thread() -> None:
    assert uninterrupted(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 // 0)


def test_work_goes_to_its_end_before_the_interrupt_is_raised() -> None:
    process = subprocess.Popen([sys.executable, "-c", _CUT], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "['begun', 'ended', 'interrupted']\n"
