"""Every fault on a real lab: it is caused, a capture shows it, and afterwards everything is as it was."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from labkit import Capture, Lab
from labkit.errors import FaultError, TrafficError
from labkit.faults import Fault
from labkit.traffic.open_things import TcpConnection

pytestmark = pytest.mark.needs("netns")

SHORT = 1.4  # seconds: the kernel sends a SYN again after one
LARGE = b"x" * 20_000
FULL = 1448  # bytes in a full-sized segment: 1500 - 20 (IP) - 32 (TCP with time stamps)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.balancer.l4(backends=["api1"])
        yield lab


@pytest.fixture(autouse=True)
def _everything_is_put_back(lab: Lab) -> Iterator[None]:
    yield
    assert lab.faults.active == ()
    assert "labkit_fault" not in lab.balancer.rules
    assert all(backend.serving for backend in lab.backends)
    wait_until_served(lab)


def wait_until_served(lab: Lab) -> None:
    """A backend that was down may take a moment to be chosen again; nothing else may fail."""
    deadline = time.monotonic() + 10
    while True:
        try:
            assert lab.alice.post("http://lb/api/x", body=LARGE).backend == "api1"
            with lab.alice.tcp("lb", 7):  # its health is checked by itself
                return
        except TrafficError as error:
            if error.cause != "refused" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def refused(lab: Lab, url: str = "http://lb/api/x", **options: Any) -> str:
    """The cause of a request's failure."""
    with pytest.raises(TrafficError) as error:
        lab.alice.post(url, **{"timeout": SHORT, **options})
    return error.value.cause


def send_until_it_fails(connection: TcpConnection) -> str:
    """The cause: the first line may be answered by an end (FIN), what is sent after that by RST."""
    try:
        for _ in range(50):
            connection.send(b"on?\n")
            time.sleep(0.02)
    except TrafficError as error:
        return error.cause
    return "nothing failed"


def seen(cap: Capture, at: str, **values: object) -> pd.DataFrame:
    """The packets at a vantage point of which these columns have these values."""
    table = cap.packets(at=at)
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def test_a_killed_backend_resets_the_connection_and_refuses_the_next(lab: Lab) -> None:
    with lab.capture() as cap, lab.alice.tcp("lb", 7) as connection:
        connection.send(b"before\n")
        connection.recv()
        with lab.faults.backend_killed("api1"):
            assert send_until_it_fails(connection) == "reset"
            assert refused(lab) == "refused"
    ends = seen(cap, "api1", src="10.0.2.11", sport=7)
    assert ends["flags"].str.contains("F|R").any()  # the end comes from the backend, not from the balancer
    assert seen(cap, "alice", src=lab.vip, sport=7)["flags"].str.contains("R").any()
    (answer,) = seen(cap, "alice", src=lab.vip, sport=80)["flags"]
    assert answer == "RA"
    assert len(seen(cap, "api1", dport=80, flags="S")) == 1  # the rules do not know: the SYN reached the dead one


def test_a_silent_backend_answers_nothing_not_even_a_reset(lab: Lab) -> None:
    with lab.alice.tcp("lb", 7) as connection:
        connection.send(b"before\n")
        connection.recv()
        with lab.capture("lb:back") as cap, lab.faults.backend_killed(lab.api1, silently=True):
            connection.send(b"on?\n")
            with pytest.raises(TrafficError) as error:
                connection.recv(timeout=1.0)
        assert error.value.cause == "timed out"
    assert set(seen(cap, "lb:back", proto="TCP")["src"]) == {lab.alice.address}
    again = seen(cap, "lb:back", src=lab.alice.address, payload_length=4)
    assert len(again) >= 3
    assert again["seq"].nunique() == 1  # the same bytes again and again
    waits = again["time"].diff().dropna()
    assert waits.iloc[-1] > waits.iloc[0]  # and each time later


def test_when_all_backends_are_down_lb_refuses_with_a_reset(lab: Lab) -> None:
    with lab.capture() as cap, lab.faults.all_backends_down():
        assert refused(lab) == "refused"
        assert refused(lab, f"http://[{lab.topology.vip6}]/api/x") == "refused"
        with lab.alice.udp("lb", 7) as datagrams:
            datagrams.send(b"?")
            with pytest.raises(TrafficError) as error:
                datagrams.recv(timeout=SHORT)
        assert error.value.cause == "refused"
        assert not any(backend.serving for backend in lab.backends)
    tcp = seen(cap, "lb:front", proto="TCP")
    tcp = tcp[(tcp["sport"] == 80) | (tcp["dport"] == 80)]
    assert tcp["flags"].tolist() == ["S", "RA"] * 2
    assert tcp["src"].tolist()[1::2] == [lab.vip, str(lab.topology.vip6)]
    (told,) = seen(cap, "lb:front", proto="ICMP")["src"]
    assert told == lab.vip
    for kind in ("TCP", "UDP"):
        assert seen(cap, "lb:back", proto=kind, dport=80 if kind == "TCP" else 7).empty


def test_when_all_backends_are_down_lb_may_say_nothing(lab: Lab) -> None:
    with lab.capture() as cap, lab.faults.all_backends_down(answer="drop"):
        assert refused(lab) == "timed out"
    syns = seen(cap, "lb:front", dport=80)
    assert set(syns["flags"]) == {"S"}
    assert len(syns) >= 2
    assert syns["seq"].nunique() == 1
    assert seen(cap, "lb:back", dport=80).empty
    assert seen(cap, "lb:front", sport=80).empty


def test_what_was_dead_before_is_not_brought_back(lab: Lab) -> None:
    lab.api2.kill()
    with lab.faults.all_backends_down():
        assert not lab.api1.serving
    assert (lab.api1.serving, lab.api2.serving) == (True, False)
    lab.api2.restore()


def test_at_l7_the_proxy_answers_when_all_backends_are_down(lab: Lab) -> None:
    with lab.balancer.kept():
        lab.balancer.l7()
        with lab.faults.all_backends_down():
            assert lab.alice.get("http://lb/api/x").status == 502
            with pytest.raises(TrafficError, match="refused"):  # what is not HTTP stays forwarded, and is refused
                lab.alice.tcp("lb", 7)


def test_a_full_connection_table_drops_what_is_new_and_leaves_what_it_knows(lab: Lab) -> None:
    old = lab.alice.tcp("lb", 7)
    with old, lab.capture() as cap, lab.faults.conntrack_full(room=1), lab.alice.tcp("lb", 7) as last:
        assert refused(lab) == "timed out"
        for connection in (old, last):
            connection.send(b"still here\n")
            assert b"still here" in connection.recv()
    lost = seen(cap, "lb:front", dport=80)
    assert set(lost["flags"]) == {"S"}
    assert len(lost) >= 2
    assert seen(cap, "lb:back", dport=80).empty
    assert len(seen(cap, "lb:back", dport=7, flags="S")) == 1  # the one there was room for
    assert seen(cap, "lb:back", dport=7, payload_length=len(b"still here\n"))["connection"].nunique() == 2


def test_full_nat_runs_out_of_ports(lab: Lab) -> None:
    back = str(lab.topology.balancer.interface("back").address4.ip)
    with lab.capture() as cap, lab.faults.ports_exhausted(ports=2), lab.alice.tcp("lb", 7), lab.alice.tcp("lb", 7):
        with pytest.raises(TrafficError) as error:
            lab.alice.tcp("lb", 7, timeout=SHORT)
        assert error.value.cause == "timed out"
        assert lab.alice.get("http://lb/api/x").received["peer"][0] == back  # another port has others
    arrived = seen(cap, "api1", dport=7, flags="S")
    assert set(arrived["src"]) == {back}  # the client's address is lost
    assert sorted(arrived["sport"]) == [40_000, 40_001]
    syns = seen(cap, "lb:front", dport=7, flags="S")
    assert sorted(Counter(syns["sport"]).values())[:2] == [1, 1]
    assert Counter(syns["sport"]).most_common(1)[0][1] >= 2  # the third is sent again, and never passes


@pytest.mark.parametrize("family", [4, 6])
def test_a_narrow_link_is_found_out_by_icmp(lab: Lab, family: int) -> None:
    vip, back, proto, sender = {
        4: (lab.vip, "10.0.2.10", "ICMP", "10.0.2.11"),
        6: (f"[{lab.topology.vip6}]", "fd00:10:0:2::10", "ICMPv6", "fd00:10:0:2::11"),
    }[family]
    with lab.capture() as cap, lab.faults.small_mtu("front", mtu=1300):
        assert lab.alice.post(f"http://{vip}/api/x", body=LARGE).status == 200
    told = seen(cap, "api1", proto=proto, src=back, dst=sender)
    mtus = {told_mtu(cap.recording.frame(number), family) for number in told["number"]}
    assert 1300 in mtus
    answer = seen(cap, "lb:back", src=sender, sport=80)
    sizes = answer["payload_length"][answer["payload_length"] > FULL // 2].tolist()
    narrow = 1300 - (40 if family == 6 else 20) - 32
    assert sizes[0] == FULL - (20 if family == 6 else 0)
    assert sizes[-1] <= narrow
    assert narrow in sizes
    assert seen(cap, "alice", proto="TCP", sport=80)["payload_length"].max() == narrow


def told_mtu(frame: bytes, family: int) -> int:
    """The next hop's MTU in an ICMP message (RFC 1191 §4, RFC 4443 §3.2); 0 if it is about something else."""
    icmp = frame[14 + (20 if family == 4 else 40) :]
    if icmp[:2] == bytes((3, 4)) and family == 4:
        return int.from_bytes(icmp[6:8])
    return int.from_bytes(icmp[4:8]) if icmp[0] == 2 and family == 6 else 0


@pytest.mark.parametrize(("link", "side", "other"), [("front", "lb:back", "lb:front"), ("back", "lb:front", "lb:back")])
def test_a_black_hole_swallows_what_is_large_and_nobody_is_told(lab: Lab, link: str, side: str, other: str) -> None:
    # The capture ends first: what is sent again after the fault's end gets through.
    with lab.faults.small_mtu(link, mtu=1300, icmp=False), lab.capture() as cap:
        assert lab.alice.get("http://lb/api/small").status == 200
        assert refused(lab, body=LARGE) == "timed out"
    lost = seen(cap, side, proto="TCP", payload_length=FULL)
    passed = seen(cap, other, proto="TCP", src=lab.vip if link == "front" else lab.alice.address)
    assert Counter(lost["seq"]).most_common(1)[0][1] >= 3  # sent again and again
    assert passed["payload_length"].max() < 1300
    assert not set(lost["seq"]) & set(passed["seq"][passed["payload_length"] > 0])
    assert seen(cap, side, proto="ICMP").empty
    assert "SA" in set(cap.packets(at="alice")["flags"])  # the handshakes completed


def test_l7_has_no_black_hole_on_the_client_side_for_it_knows_its_own_link(lab: Lab) -> None:
    with lab.balancer.kept(), lab.faults.small_mtu("front", mtu=1300, icmp=False):
        lab.balancer.l7()
        assert lab.alice.post("http://lb/api/x", body=LARGE, timeout=5).status == 200


def routes6(lab: Lab) -> list[str]:
    """The IPv6 routes of a backend without their counters."""
    lines = lab.api1.run(["cat", "/proc/net/ipv6_route"]).stdout.splitlines()
    return sorted(" ".join((*line.split()[:6], *line.split()[8:])) for line in lines)


def test_what_hosts_learned_of_a_path_is_forgotten_and_their_routes_stay(lab: Lab) -> None:
    before = routes6(lab)
    for vip in (lab.vip, f"[{lab.topology.vip6}]"):
        with lab.faults.small_mtu("front", mtu=1280):
            lab.alice.post(f"http://{vip}/api/x", body=LARGE)
        with lab.capture("api1") as cap:
            lab.alice.post(f"http://{vip}/api/x", body=LARGE)
        assert seen(cap, "api1", sport=80)["payload_length"].max() >= FULL - 20
    assert routes6(lab) == before


def test_an_interrupt_while_it_begins_leaves_nothing(lab: Lab) -> None:
    fault = lab.faults.all_backends_down()
    timer = threading.Timer(0.005, signal.raise_signal, [signal.SIGINT])

    def begin() -> None:
        timer.start()
        with fault:
            timer.join()
            time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert not fault.active


def test_what_was_begun_is_told_in_the_capture_and_survives_its_file(lab: Lab, tmp_path: Any) -> None:
    fault = lab.faults.conntrack_full()
    with lab.capture("lb:front") as before, fault:
        pass
    with fault, lab.capture("lb:front") as within:
        pass
    told = [(event["fault"], event["state"]) for event in before.recording.of_kind("fault")]
    assert told[-2:] == [("conntrack_full(room=0)", "begun"), ("conntrack_full(room=0)", "ended")]
    within.save(tmp_path / "fault.pcapng")
    (event,) = Capture.load(tmp_path / "fault.pcapng").recording.of_kind("fault")
    assert (event["fault"], event["state"]) == ("conntrack_full(room=0)", "begun")
    assert "ct count" in event["text"]


def test_two_faults_that_touch_the_same_are_refused_and_leave_nothing(lab: Lab) -> None:
    with lab.faults.backend_killed("api1") as first:
        for other in (lab.faults.backend_killed("api1", silently=True), lab.faults.all_backends_down(), first):
            with pytest.raises(FaultError, match="in force"), other:
                pytest.fail("it began")
        assert lab.faults.active == (first,)
        with lab.faults.conntrack_full(room=100) as second:
            assert lab.faults.active == (first, second)


def test_a_fault_outlives_a_switch_and_ends_after_an_error(lab: Lab) -> None:
    def switch_and_fail() -> None:
        with lab.faults.conntrack_full():
            lab.balancer.l4(backends=["api1"])
            assert refused(lab) == "timed out"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        switch_and_fail()


def test_a_lab_that_ends_or_begins_anew_meanwhile_has_nothing_to_put_back() -> None:
    lab = Lab()
    fault: Fault = lab.faults.all_backends_down()
    with lab.start():
        with fault:
            lab.stop()
        assert not fault.active
        lab.start()
        with fault:
            lab.stop()
            assert (fault.active, lab.faults.active) == (False, ())
            lab.start()
            with lab.capture() as cap:
                lab.alice.get("http://lb/")
            assert cap.recording.of_kind("fault") == []
        assert lab.alice.get("http://lb/").status == 200
