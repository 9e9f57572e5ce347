"""What is asked for and the fault or the lesson that comes of it; steps done and undone."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import FaultError, LabError, LabNotRunning
from labkit.faults import Fault
from labkit.faults.fault import Step
from tests.interrupt import interrupted

LAB = Lab()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda f: f.backend_killed("ap1"), ["no backend 'ap1'", "did you mean 'api1'?", "api1, api2, images1"]),
        (lambda f: f.backend_killed(LAB.alice), ["no backend 'alice'"]),
        (lambda f: f.backend_killed(7), ["no backend 7"]),
        (lambda f: f.backend_killed(Lab().api1), ["api1 is a host of another lab", "there are api1, api2, images1"]),
        (lambda f: f.backend_killed("api1", silently=1), ["silently is True or False"]),
        (lambda f: f.all_backends_down(answer="rst"), ["'rst'", '"reset" or "drop"']),
        (lambda f: f.all_backends_down(answer=["drop"]), ['"reset" or "drop"']),
        (lambda f: f.conntrack_full(room=-1), ["room is a whole number from 0"]),
        (lambda f: f.conntrack_full(room=True), ["room is a whole number"]),
        (lambda f: f.ports_exhausted(ports=0), ["ports is a whole number from 1 to 128"]),
        (lambda f: f.ports_exhausted(ports=129), ["from 1 to 128"]),
        (lambda f: f.small_mtu("fornt"), ["lb is on no link 'fornt'", "did you mean 'front'?", "front, back"]),
        (lambda f: f.small_mtu(LAB), ["its links are front, back"]),
        (lambda f: f.small_mtu(mtu=1279), ["mtu is a whole number from 1280 to 1499"]),
        (lambda f: f.small_mtu(mtu=1500), ["from 1280 to 1499"]),
        (lambda f: f.small_mtu(icmp="no"), ["icmp is True or False"]),
    ],
)
def test_what_cannot_be_is_a_lesson_before_anything_happens(ask: Callable[[Any], Fault], words: list[str]) -> None:
    with pytest.raises(FaultError) as error:
        ask(LAB.faults)
    for word in words:
        assert word in str(error.value)


def every_fault() -> list[Fault]:
    faults = LAB.faults
    return [
        faults.backend_killed("api1"),
        faults.backend_killed(LAB.api2, silently=True),
        faults.all_backends_down(),
        faults.all_backends_down(answer="drop"),
        faults.conntrack_full(),
        faults.ports_exhausted(),
        faults.small_mtu(),
        faults.small_mtu("back", icmp=False),
    ]


def test_each_fault_explains_itself_and_says_what_to_look_for() -> None:
    for fault in every_fault():
        assert fault.explanation.endswith((".", ".)"))
        assert "{" not in str(fault)
        assert fault.look_for in str(fault)
        assert "not in force" in repr(fault)
        assert "<i>Look for:</i>" in fault._repr_html_()
    assert len({fault.explanation for fault in every_fault()}) == len(every_fault())
    assert "'" not in LAB.faults.small_mtu().explanation
    assert "1400 bytes do not fit on the way out of lb onto front" in LAB.faults.small_mtu().explanation
    assert "nf_conntrack_max" in LAB.faults.conntrack_full().explanation  # says how it is made


def test_the_faults_of_a_lab_list_themselves() -> None:
    for fault in every_fault():
        assert fault.name.partition("(")[0] in repr(LAB.faults)
    assert "none is in force" in repr(LAB.faults)


def test_without_a_running_lab_nothing_begins() -> None:
    for fault in every_fault():
        with pytest.raises(LabNotRunning, match=r"lab\.start\(\)"), fault:
            pytest.fail("it began")
        assert not fault.active
    assert LAB.faults.active == ()


class Journal:
    """Steps that note what is done, of which some fail."""

    def __init__(self, failing: str = "", error: type[Exception] = LabError) -> None:
        self.done: list[str] = []
        self._failing, self._error = failing, error

    def fault(self) -> Fault:
        steps = [Step(self._act(f"do {step}"), self._act(f"undo {step}")) for step in "ab"]
        return Fault("it()", ("it breaks.", "traces."), ["x"], steps, lambda state, _: self.done.append(state))

    def _act(self, what: str) -> Callable[[], None]:
        def act() -> None:
            self.done.append(what)
            if what == self._failing:
                raise self._error(what)

        return act


def test_steps_are_undone_in_reverse_order_and_may_be_done_again() -> None:
    journal = Journal()
    fault = journal.fault()
    round_ = ["begun", "do a", "do b", "undo b", "undo a", "ended"]
    for _ in range(2):
        with fault:
            assert fault.active
    assert journal.done == round_ * 2


def test_what_fails_half_way_is_undone_altogether() -> None:
    journal = Journal("do b")
    with pytest.raises(LabError, match="do b"), journal.fault():
        pytest.fail("it began")
    assert journal.done == ["begun", "do a", "do b", "undo b", "undo a", "ended"]


def test_a_second_interrupt_while_it_begins_leaves_nothing_of_it() -> None:
    done: list[str] = []

    def slow() -> None:
        done.append("do")
        time.sleep(0.3)
        done.append("done")

    steps = [Step(slow, lambda: done.append("undo"))]
    fault = Fault("it()", ("it breaks.", "traces."), ["x"], steps, lambda state, _: done.append(state))
    with pytest.raises(KeyboardInterrupt), interrupted(0.1), interrupted(0.15), fault:
        pytest.fail("it began")
    assert done == ["begun", "do", "done", "undo", "ended"]
    assert not fault.active


def test_one_step_that_cannot_be_undone_does_not_keep_the_others() -> None:
    journal = Journal("undo b")
    with pytest.raises(FaultError, match=r"it\(\) did could not be put back \(undo b\)"), journal.fault():
        pass
    assert journal.done[-3:] == ["undo b", "undo a", "ended"]


def test_a_lab_that_is_gone_has_nothing_to_put_back() -> None:
    journal = Journal("undo b", LabNotRunning)
    with journal.fault():
        pass
    assert journal.done[-2:] == ["undo a", "ended"]
