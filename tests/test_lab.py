"""The whole of a lab, as a notebook drives it: start and stop, switching under traffic, wrong uses, captures."""

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from labkit import Capture, Lab, Route
from labkit.errors import (
    CaptureError,
    LabError,
    LabNotRunning,
    PolicyError,
    RuntimeUnavailable,
    TaskError,
    TopologyError,
    TrafficError,
)
from tests.inside import kill_by_name
from tests.interrupt import interrupted

BACKENDS = ["api1", "api2", "images1", "images2"]


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with Lab() as lab:
        lab.balancer.l7()  # the proxy has come up
        yield lab


@pytest.fixture
def lab(running: Lab) -> Lab:
    running.balancer.l4()
    for backend in running.backends:
        backend.restore()
    return running


def test_start_returns_when_every_server_answers():
    lab = Lab()
    assert not lab.running
    with lab:
        assert lab.running
        assert lab.start() is lab  # a running lab stays as it is
        assert {lab.alice.get(f"http://{name}/").backend for name in BACKENDS} == set(BACKENDS)
        assert lab.balancer.mode == "l4"
    assert not lab.running
    lab.stop()
    with lab:  # and again
        assert lab.bob.get("http://lb/").status == 200


def test_labs_come_and_go_and_leave_no_descriptor_and_no_thread():
    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    Lab().start().stop()
    gc.collect()  # what other tests left
    before = held()
    for _ in range(3):
        with Lab() as lab, lab.capture():
            lab.alice.get("http://lb/")
        del lab
    gc.collect()
    assert held() == before


def test_a_lab_that_nobody_holds_any_more_ends():
    lab = Lab().start()
    supervisor = lab._runtime.pid
    balancer = lab.balancer
    del lab
    gc.collect()
    assert not os.path.exists(f"/proc/{supervisor}")
    with pytest.raises(LabNotRunning, match="was discarded"):
        balancer.l4()


def test_names_lead_to_hosts(lab):
    assert lab.vip == "10.0.1.10"
    assert lab.alice.address == "10.0.1.11"
    assert list(lab.nodes) == ["alice", "bob", "lb", *BACKENDS]
    assert [host.name for host in lab.clients] == ["alice", "bob"]
    assert [host.name for host in lab.backends] == BACKENDS
    assert {"alice", "api1", "lb", "vip", "balancer"} <= set(dir(lab))
    with pytest.raises(AttributeError, match="its hosts are alice, bob"):
        _ = lab.carol


def test_l4_keeps_the_clients_address_and_l7_does_not(lab):
    reply = lab.alice.get("http://lb/api/users")
    assert reply.received["peer"][0] == lab.alice.address
    assert reply.remote == (lab.vip, 80) or list(reply.remote) == [lab.vip, 80]
    lab.balancer.l7()
    reply = lab.alice.get("http://lb/api/users")
    assert reply.received["peer"][0] == "10.0.2.10"
    assert reply.backend in {"api1", "api2"}


@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_round_robin_over_new_connections_is_strict(lab, count):
    lab.balancer.l4()
    report = lab.alice.load("http://lb/", connections=8, seconds=60, requests=count)
    assert report.failed == 0
    assert sum(report.by_backend.values()) == count
    assert all(abs(report.by_backend[name] - count / 4) <= 1 for name in BACKENDS)


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_l7_sends_nothing_to_a_wrong_pool(lab, count):
    lab.balancer.l7()
    for path, pool in (("/api/users", {"api1", "api2"}), ("/images/logo.png", {"images1", "images2"})):
        report = lab.bob.load(f"http://lb{path}", connections=8, seconds=60, requests=count)
        assert report.failed == 0
        assert sum(report.by_backend.values()) == count
        assert set(report.by_backend) == pool


@pytest.mark.parametrize("switches", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_switching_under_traffic_fails_nothing_and_takes_effect_at_once(lab, switches):
    lab.balancer.l7()
    lab.balancer.l4()
    load = lab.bob.load("http://lb/api/x", connections=4, seconds=120, background=True)
    sockets = []
    with lab.capture("api1", "api2", "images1", "images2") as cap:
        replies = []
        for number in range(switches):
            if number < 10:
                socket = lab.alice.websocket("ws://lb/ws/echo")
                sockets.append(socket)
            mode = ("l7", "l4")[number % 2]
            (lab.balancer.l7 if mode == "l7" else lab.balancer.l4)()
            replies.append((mode, lab.alice.get("http://lb/api/x", headers={"x-number": str(number)})))
            for socket in sockets[-1:]:
                socket.send(f"after {number}")
                assert socket.recv() == f"after {number}"
    for number, socket in enumerate(sockets):
        socket.send(f"at the end {number}")
        assert socket.recv() == f"at the end {number}"
        socket.close()
    report = load.stop()
    assert report.failed == 0
    assert report.requests > switches
    seen = cap.connections()
    for mode, reply in replies:
        source = {"l4": lab.alice.address, "l7": "10.0.2.10"}[mode]
        assert reply.received["peer"][0] == source
        peer = tuple(reply.received["peer"])
        assert ((seen.client == peer[0]) & (seen.client_port == peer[1])).sum() >= 1  # the capture shows it too


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_dead_proxy_is_reported_and_comes_back_with_one_call(lab, rounds):
    for _ in range(rounds):
        lab.balancer.l7()
        lab.balancer.l4()
        with lab.bob.session() as forwarded:
            first = forwarded.get("http://lb/").backend
            kill_the_proxy(lab)
            with pytest.warns(RuntimeWarning, match="mitmproxy died"):
                wait_for_death(lab)
            assert forwarded.get("http://lb/").backend == first  # L4 connections go on
            assert lab.bob.get("http://lb/").status == 200
        lab.balancer.l7()
        assert lab.bob.get("http://lb/api/x").backend in {"api1", "api2"}


def kill_the_proxy(lab: Lab) -> None:
    assert lab.lb.call(kill_by_name, "mitmproxy.task") == 1


def wait_for_death(lab: Lab) -> None:
    deadline = time.monotonic() + 5
    while "died" not in repr(lab.balancer) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lab.balancer.mode == "l4"


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_backend_refuses_and_is_restored(lab, rounds):
    lab.balancer.l4(backends=["api1"])
    for _ in range(rounds):
        lab.api1.kill()
        with pytest.raises(TrafficError, match="refused") as refusal:
            lab.alice.get("http://lb/")
        assert refusal.value.cause == "refused"
        lab.api1.restore()
        assert lab.alice.get("http://lb/").backend == "api1"


def test_two_labs_in_one_process_do_not_see_each_other(lab):
    with Lab() as other:
        other.balancer.l4(backends=["images1"])
        lab.balancer.l4(backends=["api1"])
        assert other.alice.get("http://lb/").backend == "images1"
        assert lab.alice.get("http://lb/").backend == "api1"
    assert lab.alice.get("http://lb/").backend == "api1"


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda lab: lab.balancer.l4(routes=[Route("/api/*", pool="api")]), PolicyError, "on the SYN"),
        (lambda lab: lab.balancer.l4(backends=["api9"]), PolicyError, "api9"),
        (lambda lab: lab.balancer.l7(routes=[Route("/x", pool="nope")]), PolicyError, "nope"),
        (lambda lab: lab.balancer.l7(engine="haproxy"), PolicyError, "haproxy"),
        (lambda lab: lab.capture("lb:frnt").start(), CaptureError, "lb:front"),
        (lambda lab: lab.capture(["alice"]), CaptureError, "no vantage point"),
        (lambda lab: lab.capture(packet=9), CaptureError, r"no option 'packet' \(did you mean 'packets'\?\)"),
        (lambda lab: lab.alice.get("http://nobody/"), TrafficError, "nobody"),
        (lambda lab: lab.alice.get(None), TrafficError, "a URL is text"),
        (lambda lab: lab.alice.tcp("lb", "http"), TrafficError, "a port is a whole number"),
        (lambda lab: lab.alice.udp(None, 7), TrafficError, "a host is text"),
        (lambda lab: lab.alice.load("http://lb/", seconds=1e9), TrafficError, "at most 86400"),
        (lambda lab: lab.alice.run(None), TaskError, "text for the shell, or a list"),
        (lambda lab: lab.alice.get("http://lb/", headers=5), TrafficError, "headers are"),
        (lambda lab: Lab(5), TopologyError, "the path of a TOML file"),
        (lambda lab: Capture.load(None), CaptureError, "give its path"),
    ],
)
def test_wrong_uses_are_lessons(lab, use, kind, words):
    with pytest.raises(kind, match=words):
        use(lab)
    assert lab.alice.get("http://lb/").status == 200


@pytest.mark.parametrize("state", ["was not started", "was stopped"])
@pytest.mark.parametrize(
    "use",
    [
        lambda lab: lab.alice.get("http://lb/"),
        lambda lab: lab.balancer.l4(),
        lambda lab: lab.balancer.mode,
        lambda lab: lab.capture().start(),
        lambda lab: lab.api1.kill(),
    ],
)
def test_a_lab_that_does_not_run_says_so(state, use):
    lab = Lab()
    if state == "was stopped":
        lab.start().stop()
    with pytest.raises(LabNotRunning, match=state):
        use(lab)


def test_what_cannot_be_is_refused_before_anything_is_created(tmp_path):
    with pytest.raises(TopologyError, match=r"no\.toml"):
        Lab(tmp_path / "no.toml")
    with pytest.raises(RuntimeUnavailable, match="auto, netns"):
        Lab(runtime="nonsense")


def test_an_interrupt_stops_the_cell_and_not_the_lab(lab):
    for work in (
        lambda: lab.alice.get("http://lb/slow/5", timeout=20),
        lambda: lab.balancer.l7(),
        lambda: capture_slowly(lab),
    ):
        with pytest.raises(KeyboardInterrupt), interrupted(0.3):
            and_wait(work)
        assert lab.alice.get("http://lb/").status == 200
        with lab.capture() as cap:
            lab.alice.get("http://lb/")
        assert len(cap.packets()) > 0


def capture_slowly(lab: Lab) -> None:
    with lab.capture():
        lab.alice.get("http://lb/slow/5", timeout=20)


def and_wait(work) -> None:
    work()
    time.sleep(5)  # it was quicker than the interrupt


def test_an_interrupt_of_the_start_leaves_a_lab_that_works_or_none():
    for seconds in (0.05, 0.15, 0.25, 0.35, 0.5):
        lab = Lab()
        with pytest.raises(KeyboardInterrupt), interrupted(seconds):
            and_wait(lab.start)
        if lab.running:
            assert lab.alice.get("http://lb/").status == 200
        lab.start()
        assert lab.alice.get("http://lb/").status == 200
        lab.stop()


def test_a_capture_is_used_once_and_knows_its_loss(lab):
    with lab.capture() as cap:
        replies = [lab.alice.get("http://lb/") for _ in range(4)]
    assert Counter(reply.backend for reply in replies) == dict.fromkeys(BACKENDS, 1)
    assert set(cap.loss().vantage) == {"alice", "bob", "lb:front", "lb:back", *BACKENDS}
    assert (cap.loss().dropped == 0).all()
    with pytest.raises(CaptureError, match="used already"):
        cap.start()


def test_an_error_in_the_block_comes_out_of_it(lab):
    with pytest.raises(LabError, match="nobody"), lab.capture() as cap:
        lab.alice.get("http://nobody/")
    assert len(cap.packets()) >= 0  # what was captured until then is there
