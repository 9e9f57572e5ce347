"""A process that owns a lab and is in the middle of something: what the tests of lifetime kill or interrupt.

    python tests/victim.py boot|traffic|capture|switch

It prints a line when its lab is about to boot, and one when it has begun what it was told to do. Whatever happens
to the test, it ends by itself after two minutes.
"""

import signal
import sys
import warnings

from labkit import Lab


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


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    signal.alarm(120)
    warnings.simplefilter("ignore")
    say("booting")
    {"boot": boot, "traffic": traffic, "capture": capture, "switch": switch}[sys.argv[1]]()
