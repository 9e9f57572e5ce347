"""A process that owns a lab and is in the middle of something: what the tests of lifetime kill or interrupt.

    python tests/victim.py boot|traffic|capture|switch|fork|multiprocessing

It prints a line when its lab is about to boot, and one when it has begun what it was told to do; then, if it has a
child of its own beside the lab, the child's process id. Whatever happens to the test, it ends by itself after two
minutes, and the child after thirty seconds.
"""

import multiprocessing
import os
import signal
import sys
import time
import warnings

from labkit import Lab

CHILD_SECONDS = 30


def boot() -> None:
    while True:
        Lab().start().stop()


def traffic() -> None:
    with Lab() as lab:
        load = lab.alice.load("http://lb/", connections=8, seconds=60, background=True)
        say("at it")
        while load.running:
            lab.bob.get("http://lb/api/x")


def capture() -> None:
    with Lab() as lab:
        say("at it")
        while True:
            with lab.capture() as cap:
                lab.alice.get("http://lb/")
            cap.connections()


def switch() -> None:
    with Lab() as lab:
        say("at it")
        while True:
            lab.balancer.l7()
            lab.balancer.l4()


def fork() -> None:
    with Lab() as lab:
        child = os.fork()
        if child == 0:
            time.sleep(CHILD_SECONDS)
            os._exit(0)
        with_child(lab, child)


def forked_by_multiprocessing() -> None:
    with Lab() as lab:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(CHILD_SECONDS,))
        child.start()
        assert child.pid
        with_child(lab, child.pid)


def with_child(lab: Lab, child: int) -> None:
    say("at it")
    say(str(child))
    while True:
        lab.alice.get("http://lb/")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    signal.alarm(120)
    warnings.simplefilter("ignore")
    say("booting")
    scenes = {"boot": boot, "traffic": traffic, "capture": capture, "switch": switch, "fork": fork}
    (scenes | {"multiprocessing": forked_by_multiprocessing})[sys.argv[1]]()
