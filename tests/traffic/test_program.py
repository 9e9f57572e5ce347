"""Programs run inside a host."""

import sys
from pathlib import Path

import pytest

from labkit.errors import TaskError, TrafficError
from labkit.traffic.process import Completed
from tests.interrupt import interrupted

pytestmark = pytest.mark.measured


def test_shell_text_and_lists(alice):
    assert alice.run("echo a; echo b >&2; exit 3") == Completed("a\n", "b\n", 3)
    assert alice.run(["printf", "%s", "$HOME; x"]) == Completed("$HOME; x", "", 0)
    assert alice.run("kill -9 $$").returncode == -9
    assert alice.run("no-such-program-here").returncode == 127


def test_it_runs_inside_the_host(alice, api1):
    script = "import urllib.request as u; print(u.urlopen('http://api1/').headers['x-backend'])"
    assert alice.run([sys.executable, "-c", script]).stdout == "api1\n"


@pytest.mark.parametrize(
    ("command", "words"), [(["no-such"], "no program called 'no-such'"), (["/etc"], "not executable")]
)
def test_what_cannot_run(alice, command, words):
    with pytest.raises(TaskError, match=words):
        alice.run(command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("\udc80", "half characters"),
        (["echo", "\udc80"], "half characters"),
        ("a\0b", "no NUL"),
        (["echo", None], "text or paths, not None"),
        (["echo", 5], "text or paths, not 5"),
        (["echo", b"x"], "text or paths, not b'x'"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_words_that_no_program_can_be_given(alice, command, words, background):
    with pytest.raises(TaskError, match=words):
        alice.run(command, background=background)


def test_paths_are_words_too(alice):
    assert alice.run([Path("/bin/echo"), Path("a")]).stdout == "a\n"


def test_background_and_waiting_take_what_they_say(alice):
    with pytest.raises(TrafficError, match="background is True or False, not 'no'"):
        alice.run("true", background="no")
    process = alice.run("true", background=True)
    for timeout in (0, float("nan"), 2**70, "1", None):
        with pytest.raises(TrafficError, match="timeout is a number of seconds"):
            process.wait(timeout)
    assert process.wait().returncode == 0


def test_too_long_is_stopped_with_its_children_and_its_last_words_kept(alice):
    with pytest.raises(TaskError, match=r"within 0.3 s and was stopped; it last printed: working"):
        alice.run("echo working; sleep 987 & sleep 986", timeout=0.3)
    with pytest.raises(KeyboardInterrupt), interrupted(0.3):
        alice.run("sleep 985")
    assert alice.run("ps ax | grep -c '[s]leep 98[567]'").stdout == "0\n"
    with pytest.raises(TrafficError, match="timeout is a number"):
        alice.run("true", timeout=-1)


def test_a_child_left_behind_does_not_hold_the_call(alice):
    done = alice.run("sleep 984 & echo $!")
    assert done.returncode == 0
    assert alice.run(f"kill {done.stdout}").returncode == 0


def test_background(alice):
    process = alice.run("echo begun; echo oops >&2; read x; sleep 60", background=True)
    with pytest.raises(TaskError, match=r"still runs after 0.2 s"):
        process.wait(0.2)
    assert (process.running, process.output, process.errors) == (True, "begun\n", "oops\n")
    assert process.stop() == Completed("begun\n", "oops\n", -15)
    assert process.stop().returncode == -15
    assert (process.running, process.output) == (False, "begun\n")
    assert process.wait().returncode == -15
    assert repr(process) == "<'echo begun; echo oops >&2; read x; sleep 60' in alice>"


def test_a_stubborn_program_is_killed(alice):
    process = alice.run("trap '' TERM; echo set; while true; do sleep 0.1; done", background=True)
    while process.output != "set\n":
        pass
    assert process.stop().returncode == -9


def test_output_has_a_bound(alice):
    out = alice.run("head -c 20000000 /dev/zero | tr '\\0' x").stdout
    assert len(out) < 17_000_000
    assert out.endswith("[3222784 more bytes were left out]\n")
