"""HTTPS in a running lab: passed through at L4, ended and encrypted again at L7; captures decrypt on both legs."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab, Listener, Route
from labkit.errors import TrafficError
from labkit.topology import default

pytestmark = pytest.mark.needs("netns")

HOW: dict[str, Callable[[Lab], None]] = {
    "passed through": lambda lab: lab.balancer.l4(),
    "ended": lambda lab: lab.balancer.l7(tls=True),
    "encrypted again": lambda lab: lab.balancer.l7(tls=True, reencrypt=True),
}
LEGS = {"passed through": {"through"}, "ended": {"front"}, "encrypted again": {"front", "back"}}
LINES = {"TLSv1.2": 1, "TLSv1.3": 5}  # of a key log, for one handshake


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def decrypted(file: Path, vantage: str) -> list[str]:
    """Targets of the requests that Wireshark sees at *vantage*, with nothing but the file."""
    fields = ["-e", "http.request.uri", "-e", "http2.headers.path"]
    shown = f'frame.interface_name == "{vantage}" and (http.request or http2.headers.path)'
    command = ["tshark", "-r", str(file), "-Y", shown, "-T", "fields", *fields]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.strip() for line in out.splitlines()]


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("how", HOW)
def test_a_saved_capture_decrypts_on_both_legs(lab: Lab, how: str, http2: bool, version: str, tmp_path: Path) -> None:
    HOW[how](lab)
    options = {"http2": http2, "tls": version.removeprefix("TLSv")}
    with lab.capture("alice", "lb:back") as cap, lab.alice.session() as session:
        replies = [session.get(f"https://lb/api/{number}?x={number}", **options) for number in range(3)]
    spoken = "HTTP/2" if http2 else "HTTP/1.1"
    inside = spoken if how != "ended" else "HTTP/1.1"
    for reply in replies:
        assert (reply.status, reply.version, reply.tls, reply.remote) == (200, spoken, version, [lab.vip, 443])
        assert reply.received["version"] == inside
        expected = {"passed through": version, "ended": None, "encrypted again": version}
        assert reply.received["tls"] == expected[how]
        same = reply.received["peer"] == reply.local
        assert same == (how == "passed through"), "at L4 the backend talks to alice, at L7 to the balancer"
    secrets = cap.recording.of_kind("secrets")
    assert {event["leg"] for event in secrets} == LEGS[how]
    by_leg = {leg: [event for event in secrets if event["leg"] == leg] for leg in LEGS[how]}
    assert [len(event["lines"]) for event in by_leg.get("through", by_leg.get("front", []))] == [LINES[version]]
    cap.save(tmp_path / "tls.pcapng")
    targets = [f"/api/{number}?x={number}" for number in range(3)]
    for vantage in ("alice", "lb:back"):
        assert decrypted(tmp_path / "tls.pcapng", vantage) == targets, vantage


def test_at_l7_without_tls_https_stays_forwarded_and_the_display_says_so(lab: Lab) -> None:
    lab.balancer.l7()
    assert "https (443/tcp)   TLS, not opened without tls=True, stays forwarded" in repr(lab.balancer)
    reply = lab.alice.get("https://lb/api/x")
    assert reply.received["peer"] == reply.local
    assert lab.alice.get("http://lb/api/x").received["peer"] != reply.local
    lab.balancer.l7(tls=True)
    assert "TLS ends here (to the backends in clear, port 80)" in repr(lab.balancer)
    assert "# TLS ends on port 443; to the backends in clear, port 80" in lab.balancer.rules
    for url in ("https://lb/api/x", "http://lb/api/x", "https://ip6-lb/api/x"):
        assert lab.alice.get(url).received["peer"][0] in lab.lb.addresses[2:], url


def test_both_ways_at_l4_every_name_of_the_vip_verifies_at_whichever_backend_answers(lab: Lab) -> None:
    lab.balancer.l4()
    for name in ("lb", "ip6-lb", lab.vip, f"[{lab.topology.vip6}]"):
        answered = {lab.alice.get(f"https://{name}/", http2=True).backend for _ in range(len(lab.backends))}
        assert answered == {backend.name for backend in lab.backends}
    assert lab.alice.get("https://api2/").backend == "api2"


def test_every_stream_has_an_event_with_the_connections_and_streams_that_carried_it(lab: Lab) -> None:
    lab.balancer.l7(tls=True, reencrypt=True)
    replies = {}
    with lab.capture() as cap, lab.alice.session() as session:

        def ask(number: int) -> None:
            path = f"/none/{number}" if number % 10 == 0 else f"/{('api', 'images')[number % 2]}/{number}"
            replies[path] = session.get(f"https://lb{path}", http2=True, headers={"x-tag": str(number)})

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    events = {event["target"]: event for event in cap.recording.of_kind("request")}
    assert len(events) == len(replies) == 60
    carried = Counter()
    for path, reply in replies.items():
        event = events[path]
        assert (event["version"], event["front_stream"], event["status"]) == ("HTTP/2", reply.stream, 200)
        assert event["front"]["client"] == reply.local
        assert (event["backend"], event["back"]["client"]) == (reply.backend, reply.received["peer"])
        assert ["x-tag", path.rpartition("/")[2]] in reply.received["headers"]
        carried[tuple(event["back"]["client"])] += 1
        assert event["back_stream"] % 2 == 1
    assert len(carried) == 4, "one connection a backend, however many streams"
    assert len({(event["back"]["id"], event["back_stream"]) for event in events.values()}) == 60
    exchanges = cap.exchanges()
    assert exchanges["front_connection"].nunique() == 1
    assert exchanges["back_connection"].nunique() == 4


def test_what_the_balancer_answers_itself_has_its_event_too(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("/api/*", pool="api")], tls=True)
    with lab.capture("lb:front") as cap:
        reply = lab.alice.get("https://lb/none", http2=True)
        lab.api1.kill()
        lab.api2.kill()
        down = lab.alice.get("https://lb/api/x", http2=True)
    lab.api1.restore()
    lab.api2.restore()
    assert (reply.status, reply.backend, down.status) == (404, None, 502)
    assert "cannot reach api" in down.text
    events = cap.recording.of_kind("request")
    assert [(event["status"], event["version"], event["front_stream"]) for event in events] == [
        (404, "HTTP/2", 1),
        (502, "HTTP/2", 1),
    ]


def test_connections_opened_before_a_capture_are_decrypted_too(lab: Lab) -> None:
    lab.balancer.l7(tls=True)
    lab.alice.get("https://lb/api/over")
    with lab.alice.session() as at_l7:
        at_l7.get("https://lb/api/before")
        lab.balancer.l4()
        with lab.bob.session() as at_l4:
            at_l4.get("https://lb/before", tls="1.2")
            time.sleep(0.05)  # that of /api/over has ended by now
            with lab.capture() as cap:
                at_l7.get("https://lb/api/x")
                at_l4.get("https://lb/x", tls="1.2")
    secrets = cap.recording.of_kind("secrets")
    assert sorted((event["leg"], len(event["lines"])) for event in secrets) == [("front", 5), ("through", 1)]


def test_a_websocket_over_tls_through_both_modes(lab: Lab) -> None:
    for set_up in HOW.values():
        set_up(lab)
        with lab.alice.websocket("wss://lb/ws/chat") as chat:
            chat.send("hi")
            assert chat.recv() == "hi"
            assert chat.backend in {backend.name for backend in lab.backends}


def test_wrong_names_and_ports_are_lessons(lab: Lab) -> None:
    lab.balancer.l4()
    with pytest.raises(
        TrafficError, match=r"^api1: GET https://localhost/ failed \(wrong name\): .* use a name or address"
    ):
        lab.api1.get("https://localhost/")
    with pytest.raises(TrafficError, match=r"^alice: GET https://lb:80/ failed \(not tls\): .* use http://"):
        lab.alice.get("https://lb:80/")
    with pytest.raises(TrafficError, match=r"^alice: GET http://lb:443/ failed \(closed\)"):
        lab.alice.get("http://lb:443/")


def test_programs_of_the_host_speak_to_it_as_well(lab: Lab) -> None:
    """Python's own client, with the root handed to it, for one that is not ours."""
    lab.balancer.l7(tls=True)
    code = (
        "import ssl, urllib.request, sys; context = ssl.create_default_context(cadata=sys.argv[1]); "
        "print(urllib.request.urlopen('https://lb/api/x', context=context).status)"
    )
    done = lab.alice.run([sys.executable, "-c", code, lab._authority.trust()])
    assert (done.stdout, done.returncode) == ("200\n", 0), done.stderr


def test_a_lab_without_https_serves_none_and_makes_no_certificates() -> None:
    with Lab(replace(default(), listeners=(Listener(80, "http", "http"),))) as lab:
        assert lab._authority._root is None
        assert lab.alice.get("http://lb/").status == 200
        with pytest.raises(TrafficError) as failed:
            lab.alice.get("https://api1/")
        assert failed.value.cause == "refused"
