"""Envoy as the balancer of a real lab: what the kernel does for it, and what captures and tables say of it."""

import os
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit import Capture, Lab, Route, compare
from labkit.errors import EngineError, LabError, PolicyError, TrafficError
from tests.balancer.operated import all_in, echo, opened, resets, until

pytestmark = pytest.mark.needs("netns")

API = [Route("*", pool="api")]


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_in(booted)
    return booted


def l7(lab: Lab, **how: object) -> None:
    lab.balancer.l7(engine="envoy", **how)


def envoys() -> list[int]:
    """Run in lb: the Envoy processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "exe").endswith("/envoy"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_it_is_started_when_it_is_asked_for_and_listens_beside_mitmproxy() -> None:
    with Lab() as lab:
        assert lab.lb.call(envoys) == []
        l7(lab)
        assert len(lab.lb.call(envoys)) == 1
        assert lab.alice.get("http://lb/api/x").backend in ("api1", "api2")


def test_clients_and_captures_see_the_listeners_port_alone(lab: Lab) -> None:
    l7(lab, routes=API)
    with lab.capture() as cap:
        reply = lab.alice.get("http://lb/api/x")
        reply6 = lab.alice.get(f"http://[{lab.topology.vip6}]/images/x")
    assert reply.remote[1] == 80
    packets = cap.packets()
    front = packets[packets.vantage.isin(["alice", "lb:front"])]
    asked = front.dport[front.src.isin([lab.alice.address, str(reply6.local[0])])]
    assert set(asked.dropna()) == {80}
    assert not {15080} & {*packets.sport.dropna(), *packets.dport.dropna()}
    exchanges = cap.exchanges()
    assert exchanges[["status", "rule", "backend"]].values.tolist() == [
        [200, "*", reply.backend],
        [200, "*", reply6.backend],
    ]
    assert exchanges.front.tolist() == [f"{reply.local[0]}:{reply.local[1]}", f"[{reply6.local[0]}]:{reply6.local[1]}"]
    assert exchanges[["front_connection", "back_connection"]].notna().all(axis=None)
    table = cap.visibility(full=True).set_index("field")
    assert table.state["http.target"] == "read"
    assert table.state["http.header.user-agent"] == "read", "Envoy parses every header, on record or not"
    assert table.state["ip.ttl"] == "in clear, not read"
    assert "L7: 2 requests, 2 client connections, 2 back connections" in cap.finding
    assert "decided after packet" in repr(cap.ladder())
    assert set(cap.recording.of_kind("mode")[-1].items()) >= {("mode", "l7"), ("engine", "envoy")}
    assert not cap.recording.of_kind("decision"), "the kernel chose no backend"


def test_what_the_kernel_runs_is_what_is_shown_and_loads_again(lab: Lab) -> None:
    l7(lab, tls=True)
    routes, _, rules = lab.balancer.rules.partition("in the proxy\n")
    assert "# envoy: routes on 10.0.1.10:15080 and 10.0.1.10:15443 and [fd00:10:0:1::10]:15080 and" in routes
    assert "/images/*  images  images1 10.0.2.21, images2 10.0.2.22" in routes
    for rule in (
        "ip daddr 10.0.1.10 tcp dport 80 dnat ip to 10.0.1.10:15080",
        "ip6 daddr fd00:10:0:1::10 tcp dport 443 dnat ip6 to [fd00:10:0:1::10]:15443",
    ):
        assert rule in rules
    assert "envoy (production engine)" in repr(lab.balancer)
    assert "not a speed measurement" not in repr(lab.balancer)


@pytest.mark.needs("nft")
def test_the_rules_are_nfts_own_words(lab: Lab) -> None:
    l7(lab)
    rules = lab.balancer.rules.partition("in the proxy\n")[2]
    listed = lab.lb.run(["nft", "-s", "list", "ruleset"])
    assert listed.stdout == rules
    code = "import subprocess, sys; sys.exit(subprocess.run(['nft', '-f', '-'], input=sys.argv[1].encode()).returncode)"
    assert lab.lb.run([sys.executable, "-c", code, f"flush ruleset\n{rules}"]).returncode == 0
    assert lab.lb.run(["nft", "-s", "list", "ruleset"]).stdout == rules
    assert lab.alice.get("http://lb/api/x").status == 200


def test_connections_are_fronts_and_backs(lab: Lab) -> None:
    l7(lab, routes=API)
    with lab.alice.session() as session:
        reply = session.get("http://lb/x")
        table = lab.balancer.connections()
        front = table[table.original_sport == reply.local[1]]
        assert front[["leg", "original_dport", "reply_sport"]].values.tolist() == [["front", 80, 15080]]
        back = table[(table.leg == "back") & (table.state == "ESTABLISHED")]
        assert reply.received["peer"][1] in back.original_sport.tolist()


def test_switching_between_the_modes_and_engines_while_requests_run_fails_none(lab: Lab) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(lab.bob.get("http://lb/api/x").status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(6):
            l7(lab)
            assert lab.alice.get("http://lb/api/x").received["peer"][0] == "10.0.2.10"
            lab.balancer.l7()
            assert lab.alice.get("http://lb/api/x").received["peer"][0] == "10.0.2.10"
            lab.balancer.l4()
            assert lab.alice.get("http://lb/api/x").received["peer"][0] == lab.alice.address
    finally:
        over.set()
        thread.join(10)
    assert set(statuses) == {200}


def test_whoever_came_stays_with_the_engine_that_took_him(lab: Lab) -> None:
    with ExitStack() as stack:
        sessions = [stack.enter_context(lab.alice.session()) for _ in range(3)]
        switches: list[Callable[[], None]] = [lambda: l7(lab), lab.balancer.l7, lab.balancer.l4]
        for session, switch in zip(sessions, switches, strict=True):
            switch()
            session.get("http://lb/api/x")
        with lab.capture("lb:front") as cap:
            replies = [session.get("http://lb/images/x") for session in sessions]
        ids = [event["front"]["id"][:5] == "envoy" for event in cap.recording.of_kind("request")]
        assert sorted(ids) == [False, True]
        assert [reply.received["peer"][0] == "10.0.2.10" for reply in replies] == [True, True, False]
        lab.balancer.drain("images1")
        assert {sessions[0].get("http://lb/images/x").backend for _ in range(4)} == {"images2"}
        assert {sessions[1].get("http://lb/images/x").backend for _ in range(4)} == {"images2"}


def test_websockets_outlive_every_change_of_policy_and_are_told_of_when_they_begin(lab: Lab) -> None:
    l7(lab)
    with lab.capture("lb:front", "lb:back") as cap, lab.alice.websocket("ws://lb/ws/chat") as chat:
        for routes in (API, [Route("/none", pool="images")], None):
            l7(lab, routes=routes)
            chat.send("hi")
            assert chat.recv() == "hi"
        lab.balancer.l4()
        chat.send("ho")
        assert chat.recv() == "ho"
        told = [event for event in lab.balancer.events(0) if event["kind"] == "request" and event["websocket"]]
        assert told[-1]["target"] == "/ws/chat"
    (event,) = [event for event in cap.recording.of_kind("request") if event["websocket"]]
    assert (event["status"], event["error"], event["backend"]) == (101, None, chat.backend)
    assert event["started_ns"] < event["ended_ns"]
    assert cap.exchanges().back_connection.notna().all()


def test_a_drained_backend_gets_nothing_new_its_idle_connections_close_and_the_others_go_on(lab: Lab) -> None:
    l7(lab, routes=API)
    with ExitStack() as stack:
        session = stack.enter_context(lab.alice.session())
        assert {session.get("http://lb/").backend for _ in range(8)} == {"api1", "api2"}
        chats = [stack.enter_context(lab.alice.websocket("ws://lb/ws/chat")) for _ in range(6)]
        at_api2 = [chat for chat in chats if chat.backend == "api2"]
        assert at_api2
        drain = lab.balancer.drain("api2")
        assert {session.get("http://lb/").backend for _ in range(8)} == {"api1"}
        until(lambda: drain.left == len(at_api2))
        for chat in at_api2:
            chat.send("still")
            assert chat.recv() == "still"
        with pytest.raises(PolicyError, match="pool 'api' would have no backend left at L7"):
            lab.balancer.drain("api1")
        for chat in at_api2:
            chat.close()
        assert drain.wait(20)


def test_a_removed_backends_connections_are_reset_and_nobody_elses(lab: Lab) -> None:
    l7(lab, routes=API)
    with ExitStack() as stack:
        held = opened(lab, stack, 4)  # not HTTP: forwarded
        pool = stack.enter_context(ThreadPoolExecutor(8))
        asked = [pool.submit(lab.alice.get, "http://lb/slow/0.6") for _ in range(8)]
        until(lambda: len(lab.balancer.connections().query("leg == 'back' and state == 'ESTABLISHED'")) >= 8)
        doomed = lab.balancer.connections().query("backend == 'api2' and state == 'ESTABLISHED'")
        with lab.capture("api1", "api2") as cap:
            assert lab.balancer.remove("api2") == len(doomed)
        reset = resets(cap)
        assert Counter(reset.vantage.astype(str)) == {"api2": len(doomed)}
        assert set(reset.sport) == {
            *doomed.original_sport[doomed.leg == "back"],
            *doomed.original_sport[doomed.leg == "through"],
        }
        statuses = Counter(future.result(20).status for future in asked)
        assert set(statuses) == {200, 502}
        lost = next(future.result() for future in asked if future.result().status == 502)
        assert "got no whole answer from api2 (10.0.2.12:80)" in lost.text
        for connection, backend in held.values():
            if backend == "api2":
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend
    assert {lab.alice.get("http://lb/").backend for _ in range(4)} == {"api1"}


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("reencrypt", [False, True], ids=["ended", "encrypted again"])
def test_tls_ends_here_and_what_is_said_inside_can_be_read_in_a_saved_capture(
    lab: Lab, reencrypt: bool, version: str, http2: bool, tmp_path: Path
) -> None:
    l7(lab)  # closes what is kept of the other protocol and version: the handshake is to be captured
    l7(lab, tls=True, reencrypt=reencrypt)
    with lab.capture() as cap:
        reply = lab.alice.get("https://lb/api/x?y", http2=http2, tls=version)
    (event,) = cap.recording.of_kind("request")
    assert (event["version"], event["sni"], event["front"]["tls"]) == (
        "HTTP/2" if http2 else "HTTP/1.1",
        "lb",
        f"TLSv{version}",
    )
    assert event["back"]["client"] == reply.received["peer"]
    assert event["back"]["server"][1] == (443 if reencrypt else 80)
    assert event["back"].get("tls") == ("TLSv1.3" if reencrypt else None)
    assert {"front", "back"} >= {told["leg"] for told in cap.recording.of_kind("secrets")} >= {"front"}
    cap.save(tmp_path / "tls.pcapng")
    loaded = Capture.load(tmp_path / "tls.pcapng")
    (exchange,) = loaded.exchanges().to_dict("records")
    assert (exchange["target"], exchange["backend"]) == ("/api/x?y", reply.backend)
    sent = loaded._study.carriage.front(loaded._study.exchanges[0]).request
    received = loaded._study.carriage.back(loaded._study.exchanges[0]).request
    assert sent is not None
    assert received is not None
    assert (sent.target, received.target) == ("/api/x?y", "/api/x?y")
    assert "x-forwarded-proto" not in [name.lower() for name, _ in received.headers]


def test_a_death_is_told_and_one_call_brings_it_back(lab: Lab) -> None:
    l7(lab)
    lab.alice.get("http://lb/api/x")
    (pid,) = lab.lb.call(envoys)
    lab.lb.call(os.kill, pid, signal.SIGKILL)
    until(lambda: "died" in repr(lab.balancer))
    death = r'L7 engine envoy died \(ended by SIGKILL\): call lab.balancer.l7\(engine="envoy"\) to start it again'
    with pytest.warns(RuntimeWarning, match=death):
        assert lab.balancer.mode == "l7"
    assert "envoy died" in lab.balancer.rules
    with pytest.raises(LabError):
        lab.alice.get("http://lb/api/x")
    lab.balancer.l4()
    assert lab.alice.get("http://lb/api/x").status == 200
    l7(lab)
    assert lab.alice.get("http://lb/api/x").backend in ("api1", "api2")
    assert "died" not in repr(lab.balancer)


def test_a_swap_the_kernel_refuses_leaves_mode_and_routes_as_they_were(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = lab.balancer._live
    assert live

    def refuse(*_: object) -> None:
        raise EngineError("the kernel refuses")

    l7(lab, routes=API)
    before = (lab.balancer.mode, lab.balancer.rules)
    with monkeypatch.context() as patch:
        patch.setattr(live.kernel, "apply", refuse)
        with pytest.raises(EngineError, match="the kernel refuses"):
            l7(lab, routes=[Route("/other/*", "images")])
    assert (lab.balancer.mode, lab.balancer.rules) == before
    assert lab.alice.get("http://lb/other/x").backend in ("api1", "api2")


def test_a_comparison_sets_its_speed_beside_l4s(lab: Lab) -> None:
    found = compare(lab, lambda lab: lab.alice.get("http://lb/api/x"), l7={"engine": "envoy"}, repeats=3)
    rows = found.latency().set_index("mode").to_dict("index")
    assert (rows["l7"]["engine"], rows["l4"]["note"]) == ("envoy", "")
    ratio = rows["l7"]["median"] / rows["l4"]["median"]
    assert rows["l7"]["note"] == f"{ratio:.2f} times the median at L4"
    assert lab.balancer.mode == "l4"


def test_events_of_thousands_of_requests_miss_none(lab: Lab) -> None:
    l7(lab)
    before = len(lab.balancer.decisions())
    report = lab.alice.load("http://lb/api/x", connections=16, seconds=0.5)
    made = lab.balancer.decisions().iloc[before:]
    assert len(made) >= report.requests > 100
    assert set(made.rule) == {"/api/*"}
    assert set(made.backend) == {"api1", "api2"}


def test_envoys_own_ports_are_for_nobody_who_asks_there_himself(lab: Lab) -> None:
    """Lest who knows them asks an old policy, or passes by what is in force."""
    l7(lab, routes=API)
    assert lab.alice.get("http://lb/").status == 200
    for switch in (lambda: None, lab.balancer.l7, lab.balancer.l4):
        switch()
        for host in ("lb", "ip6-lb"):
            for port in (15080, 15443, 16080, 16443):
                with pytest.raises(TrafficError, match="refused"), lab.alice.tcp(host, port):
                    pass
    assert lab.alice.get("http://lb/").status == 200
