"""An interrupt in the middle, at the end, and a failure."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.uninterrupted import uninterrupted
from tests.interrupt import strike

_CUT = """
import sys
import threading
import time
from labkit.uninterrupted import uninterrupted
steps = []
def work():
    steps.append("begun")
    print("begun", flush=True)
    time.sleep(0.3)
    steps.append("ended")
if "late start" in sys.argv:
    started = threading.Event.wait
    threading.Event.wait = lambda event, timeout=None: (time.sleep(0.2), started(event, timeout))[1]
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


@pytest.mark.parametrize("scene", ["while it waits", "late start"])
def test_work_goes_to_its_end_before_the_interrupt_is_raised(scene: str) -> None:
    """ "late start": the work has begun, but the thread that asked for it has not been told yet."""
    process = subprocess.Popen([sys.executable, "-c", _CUT, scene], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "['begun', 'ended', 'interrupted']\n"


def test_a_second_interrupt_is_raised_at_once_and_the_work_ends_by_itself() -> None:
    ended = threading.Event()

    def work() -> None:
        for _ in range(2):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        uninterrupted(work)
    assert not ended.is_set()
    assert ended.wait(5)
    assert signal.getsignal(signal.SIGINT) is strike


def test_elsewhere_than_in_the_main_thread_the_work_simply_runs() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(uninterrupted, threading.get_ident).result() != threading.get_ident()
