"""Faults in a lab with direct server return: what would have no effect there does not begin, the others do."""

from collections.abc import Callable, Iterator

import pytest

from labkit import Lab
from labkit.errors import FaultError, TrafficError
from labkit.faults import Fault
from labkit.topology import direct_return
from labkit.traffic.reply import Reply

pytestmark = pytest.mark.needs("netns")
NO_EFFECT: list[tuple[Callable[[Lab], Fault], str]] = [
    (lambda lab: lab.faults.conntrack_full(), "before connection tracking"),
    (lambda lab: lab.faults.ports_exhausted(), "nothing is translated"),
    (lambda lab: lab.faults.small_mtu("front"), "lb's routes"),
    (lambda lab: lab.faults.small_mtu("back", icmp=False), "lb's routes"),
    (lambda lab: lab.faults.all_backends_down(answer="drop"), "before lb can drop them"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with Lab(direct_return()) as lab:
        lab.balancer.health.off()  # who is killed here stays among the choices
        yield lab


@pytest.fixture
def lab(running: Lab) -> Lab:
    running.balancer.l4(style="dsr")
    return running


def ask(lab: Lab) -> Reply:
    return lab.alice.post("http://lb/api/x", body=b"x" * 20_000, timeout=0.6)


@pytest.mark.parametrize(("fault", "why"), NO_EFFECT)
def test_what_would_have_no_effect_does_not_begin(lab: Lab, fault: Callable[[Lab], Fault], why: str) -> None:
    broken = fault(lab)
    before = (lab.balancer.rules, lab.lb.run("cat /proc/net/route").stdout, lab.faults.events(0))
    with pytest.raises(FaultError) as error, broken:
        pytest.fail("it began")
    assert why in str(error.value)
    assert broken.name in str(error.value)
    assert 'lab.balancer.l4(style="dnat")' in str(error.value)
    assert not broken.active
    assert (lab.balancer.rules, lab.lb.run("cat /proc/net/route").stdout, lab.faults.events(0)) == before
    assert all(backend.serving for backend in lab.backends)
    lab.balancer.l4(style="full")
    with broken:
        assert broken.active


def test_the_same_have_one_on_what_ends_in_lb(lab: Lab) -> None:
    lab.balancer.l7()  # what is not HTTP goes on with direct server return
    with lab.faults.conntrack_full(), pytest.raises(TrafficError) as error:
        ask(lab)
    assert error.value.cause == "timed out"
    with lab.faults.small_mtu("back", icmp=False):
        ask(lab)
    for fault in (lab.faults.ports_exhausted(), lab.faults.all_backends_down(answer="drop")):
        with pytest.raises(FaultError, match="would have no effect"), fault:
            pytest.fail("it began")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (lambda lab: lab.faults.backend_killed("api1"), "refused"),
        (lambda lab: lab.faults.backend_killed("api1", silently=True), "timed out"),
        (lambda lab: lab.faults.all_backends_down(), "refused"),
    ],
)
def test_what_befalls_the_backends_befalls_them_with_every_style(
    lab: Lab, fault: Callable[[Lab], Fault], cause: str
) -> None:
    lab.balancer.l4(style="dsr", backends=["api1"])
    with fault(lab), pytest.raises(TrafficError) as error:
        ask(lab)
    assert error.value.cause == cause
    assert ask(lab).backend == "api1"
