"""The switch on a real lab: both data planes, real requests, and everything that goes wrong in between."""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab, Listener, Route
from labkit.balancer.balancer import Balancer
from labkit.errors import EngineError, LabError, LabNotRunning, PolicyError
from labkit.topology import default

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def _in_l4(lab: Lab) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lab.balancer.l4()


def backends(lab: Lab, path: str, count: int) -> list[str]:
    return [str(lab.alice.get(f"http://lb{path}").backend) for _ in range(count)]


def listening_at_80() -> list[int]:
    """Run in lb: the processes that listen at port 80, as lb numbers them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(":0050") and line[3] == "0A"}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted.intersection(os.readlink(fd) for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def kill_proxy(lab: Lab) -> None:
    (pid,) = lab.lb.call(listening_at_80)
    lab.lb.call(os.kill, pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lab_starts_in_l4_and_l4_cannot_know_the_path(lab: Lab) -> None:
    assert lab.balancer.mode == "l4"
    assert Counter(backends(lab, "/api/users", 8)) == {"api1": 2, "api2": 2, "images1": 2, "images2": 2}


@pytest.mark.parametrize("since", [None, "now", 1.5, True, -1, 2**70])
def test_events_are_asked_for_by_a_time(lab: Lab, since: object) -> None:
    with pytest.raises(PolicyError, match=r"time\.time_ns\(\)"):
        lab.balancer.events(since)  # type: ignore[arg-type]


def test_l7_routes_by_path_and_takes_turns_in_each_pool(lab: Lab) -> None:
    lab.balancer.l7()
    assert lab.balancer.mode == "l7"
    assert backends(lab, "/api/users", 4) == ["api1", "api2"] * 2
    assert backends(lab, "/images/cat", 4) == ["images1", "images2"] * 2
    assert backends(lab, "/else", 4) == ["api1", "api2", "images1", "images2"]


def test_the_backend_sees_the_client_at_l4_and_the_proxy_at_l7(lab: Lab) -> None:
    peers = [lab.alice.get("http://lb/api/x").received["peer"][0]]
    lab.balancer.l7()
    peers.append(lab.alice.get("http://lb/api/x").received["peer"][0])
    assert peers == [lab.alice.address, "10.0.2.10"]


def test_backends_pools_and_own_routes(lab: Lab) -> None:
    lab.balancer.l4(backends=["images2"])
    assert set(backends(lab, "/api/x", 3)) == {"images2"}
    lab.balancer.l4(pool="api")
    assert set(backends(lab, "/images/x", 4)) == {"api1", "api2"}
    lab.balancer.l7(routes=[Route("/only/*", pool="images")])
    assert set(backends(lab, "/only/x", 2)) == {"images1", "images2"}
    assert lab.alice.get("http://lb/api/x").status == 404


def test_algorithms_and_weights_choose_and_say_what_they_read(lab: Lab) -> None:
    lab.balancer.l4("weighted", weights={"api2": 3}, pool="api")
    assert Counter(backends(lab, "/x", 8)) == {"api1": 2, "api2": 6}
    assert "http (80/tcp)     forwarded: round robin over api1 (weight 1), api2 (weight 3)" in repr(lab.balancer)
    for algorithm, read in (("source_hash", {"ip.src"}), ("maglev", {"ip.src", "tcp.sport", "meta.mark"})):
        lab.balancer.l4(algorithm)
        before = len(lab.balancer.decisions())
        answered = backends(lab, "/x", 4)
        made = lab.balancer.decisions().iloc[before:]
        assert made["backend"].tolist() == answered
        assert {frozenset(fields) for fields in made["read"]} == {
            frozenset({"ip.dst", "ip.proto", "tcp.dport", "meta.nfproto", *read})
        }
        (event,) = [event for event in lab.balancer.events(time.time_ns()) if event["kind"] == "rules"]
        assert event["text"] == lab.balancer.rules
        assert read < set(event["reads"])
        assert "jhash ip saddr" in event["text"]


def test_what_is_not_http_stays_forwarded_at_l7_to_the_backends_l4_chose(lab: Lab) -> None:
    lab.balancer.l4(pool="api")
    lab.balancer.l7()
    with lab.alice.tcp("lb", 7) as connection:
        connection.send(b"hello\n")
        assert b"hello" in connection.recv()
    text = repr(lab.balancer)
    assert "tcp-echo (7/tcp)  not HTTP, stays forwarded: round robin over api1, api2" in text
    assert "inspecting engine: not a speed measurement" in text
    assert "stays forwarded" in lab.balancer._repr_html_()


def test_ipv6_is_switched_too(lab: Lab) -> None:
    url = f"http://[{lab.topology.vip6}]/images/x"
    lab.balancer.l7()
    reply = lab.alice.get(url)
    assert reply.backend == "images1"
    assert reply.received["peer"][0] == "fd00:10:0:2::10"


def test_rules_are_what_runs(lab: Lab) -> None:
    at_l4 = lab.balancer.rules
    assert "10.0.2.11" in at_l4
    assert "mitmproxy" not in at_l4
    lab.balancer.l7(routes=[Route("/v1/*", pool="api")])
    at_l7 = lab.balancer.rules
    assert "/v1/*" in at_l7
    assert "api1 10.0.2.11, api2 10.0.2.12" in at_l7
    assert "table inet" in at_l7


def test_decisions_of_both_modes_in_one_table(lab: Lab) -> None:
    before = len(lab.balancer.decisions())
    first = lab.alice.get("http://lb/api/x")
    lab.balancer.l7()
    second = lab.alice.get("http://lb/images/x")
    rows = lab.balancer.decisions().iloc[before:]
    assert rows["mode"].tolist() == ["l4", "l7"]
    assert rows["backend"].tolist() == [first.backend, second.backend]
    assert rows["connection"].tolist() == [
        f"{lab.alice.address}:{reply.local[1]} → 10.0.1.10:80" for reply in (first, second)
    ]
    assert rows["rule"].tolist() == ["http", "/images/*"]
    assert rows["read"].iloc[1] == ("http.target",)
    assert "tcp.dport" in rows["read"].iloc[0]
    assert "http.target" not in rows["read"].iloc[0]


def test_events_of_a_window_begin_with_what_was_in_force_and_miss_nothing(lab: Lab) -> None:
    lab.alice.get("http://lb/before")
    since = time.time_ns()
    lab.alice.get("http://lb/api/x")
    lab.balancer.l7()
    lab.alice.get("http://lb/api/x")
    events = lab.balancer.events(since)
    assert [event["kind"] for event in events[:2]] == ["mode", "rules"]
    assert (events[0]["mode"], events[0]["time_ns"]) == ("l4", since)
    kinds = [event["kind"] for event in events]
    assert kinds == ["mode", "rules", "decision", "mode", "rules", "request"]
    assert [event["time_ns"] for event in events] == sorted(event["time_ns"] for event in events)
    assert (events[3]["mode"], events[3]["engine"]) == ("l7", "mitmproxy")
    assert "ip.dst" in events[1]["reads"]


def test_connections_go_on_in_the_mode_they_began_in(lab: Lab) -> None:
    with lab.alice.session() as at_l4:
        first = at_l4.get("http://lb/api/x")
        lab.balancer.l7()
        with lab.alice.session() as at_l7:
            assert at_l7.get("http://lb/api/x").received["peer"][0] == "10.0.2.10"
            lab.balancer.l4()
            again = at_l4.get("http://lb/images/x")
            assert (again.backend, again.received["peer"]) == (first.backend, first.received["peer"])
            assert at_l7.get("http://lb/images/x").backend == "images1"


def test_switching_while_requests_run_fails_none_of_them(lab: Lab) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(lab.bob.get("http://lb/api/x").status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(10):
            lab.balancer.l7()
            assert lab.alice.get("http://lb/api/x").received["peer"][0] == "10.0.2.10"
            lab.balancer.l4()
            assert lab.alice.get("http://lb/api/x").received["peer"][0] == lab.alice.address
    finally:
        over.set()
        thread.join(10)
    assert set(statuses) == {200}


def test_a_refusal_leaves_the_mode_as_it_was(lab: Lab) -> None:
    lab.balancer.l7()
    rules = lab.balancer.rules
    with pytest.raises(PolicyError, match="cannot route by path"):
        lab.balancer.l4(routes=[])
    with pytest.raises(PolicyError, match="404"):
        lab.balancer.l7(routes=[])
    assert (lab.balancer.mode, lab.balancer.rules) == ("l7", rules)


def test_a_swap_the_kernel_refuses_leaves_the_mode_and_the_routes_as_they_were(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = lab.balancer._live
    assert live

    def refuse(*_: object) -> None:
        raise EngineError("the kernel refuses")

    for routes in ([Route("*", "api")], [Route("*", "images")]):
        before = (lab.balancer.mode, lab.balancer.rules)
        with monkeypatch.context() as patch:
            patch.setattr(live.kernel, "apply", refuse)
            with pytest.raises(EngineError, match="the kernel refuses"):
                lab.balancer.l7(routes=[Route("/other/*", "images")])
        assert (lab.balancer.mode, lab.balancer.rules) == before
        lab.balancer.l7(routes=routes)


def test_the_proxys_death_is_told_and_one_call_brings_it_back(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.balancer.l7()
    lab.alice.get("http://lb/api/x")
    kill_proxy(lab)
    wait_for(lambda: "died" in repr(lab.balancer))
    death = r"L7 engine mitmproxy died \(ended by SIGKILL\): call lab.balancer.l7\(\) to start it again"
    with pytest.warns(RuntimeWarning, match=death):
        assert lab.balancer.mode == "l7"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "mitmproxy died" in lab.balancer.rules
    assert len([record for record in caplog.records if "mitmproxy died" in record.message]) == 1
    assert "L7 engine mitmproxy died" in repr(lab.balancer)
    with pytest.raises(LabError):
        lab.alice.get("http://lb/api/x")
    with lab.alice.tcp("lb", 7) as connection:
        connection.send(b"on\n")
        assert b"on" in connection.recv()
    lab.balancer.l7()
    assert backends(lab, "/api/x", 2) == ["api1", "api2"]
    assert "died" not in repr(lab.balancer)


def test_l4_goes_on_when_the_proxy_dies(lab: Lab) -> None:
    with lab.alice.session() as session:
        session.get("http://lb/x")
        kill_proxy(lab)
        wait_for(lambda: "died" in repr(lab.balancer))
        assert session.get("http://lb/x").status == 200
    assert lab.alice.get("http://lb/x").status == 200
    with pytest.warns(RuntimeWarning, match="mitmproxy died"):
        lab.balancer.l7()
    assert lab.balancer.mode == "l7"


def test_without_a_running_lab_lessons_come_first_and_then_how_to_start() -> None:
    lab = Lab()
    with pytest.raises(PolicyError):
        lab.balancer.l7(routes=[])
    for ask in (lab.balancer.l4, lab.balancer.l7, lab.balancer.decisions, lambda: lab.balancer.events(0)):
        with pytest.raises(LabNotRunning, match=r"lab\.start\(\)"):
            ask()
    assert "the lab does not run" in repr(lab.balancer)


def test_a_balancer_that_was_not_started_says_so_even_in_a_running_lab(lab: Lab) -> None:
    balancer = Balancer(lambda: lab._node("lb"), default())
    with pytest.raises(LabNotRunning, match="The balancer was not started"):
        balancer.l4()
    balancer.forget()


def test_stopping_a_lab_is_no_death_of_its_proxy(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab(replace(default(), listeners=(Listener(7, "tcp", "tcp-echo"),)))
    with lab:
        with pytest.raises(PolicyError, match="no HTTP listener"):
            lab.balancer.l7()
        with lab.alice.tcp("lb", 7) as connection:
            connection.send(b"x\n")
            assert b"x" in connection.recv()
    assert "died" not in caplog.text
