"""`compare` on a real lab: both captures and all tables, and the balancer as before, whatever the traffic does."""

import itertools
import json
import time

import pytest

from labkit import Capture, Lab, Route, compare, expect
from labkit.comparison import INSPECTING, Comparison
from labkit.errors import LabNotRunning, PolicyError, TrafficError
from tests.interrupt import interrupted

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def running():
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(running):
    running.balancer.l4()
    return running


def traffic(lab):
    return [lab.alice.get("http://lb/api/users", cookies={"a": "1"}), lab.bob.get("http://lb/images/cat")]


@pytest.fixture(scope="module")
def compared(running):
    running.balancer.l4()
    return compare(running, traffic, l4={"backends": ["api1"]}, l7={"routes": [Route("*", pool="images")]}, repeats=3)


def table(frame, key):
    return frame.set_index(key).to_dict("index")


def test_both_captures_show_what_their_mode_does(compared):
    assert isinstance(compared.l4, Capture)
    expect(compared.l4).connections(6).decided_on("SYN").answered_by("api1").never_seen("http.cookie", by="l4")
    expect(compared.l7).connections(12).decided_on("request").answered_by("images1", "images2")
    assert {mode: len(replies) for mode, replies in compared.replies.items()} == {"l4": 6, "l7": 6}
    assert {reply.backend for reply in compared.replies["l4"]} == {"api1"}
    assert {reply.backend for reply in compared.replies["l7"]} == {"images1", "images2"}


def test_the_tables_set_them_side_by_side(compared):
    counted = table(compared.connections(), "measure")
    assert counted["requests seen"] == {"l4": 6, "l7": 6}
    assert counted["TCP connections in all"] == {"l4": 6, "l7": 12}
    assert counted["is it the same connection"] == {"l4": "yes", "l7": "no"}
    assert counted["packets lost"] == {"l4": 0, "l7": 0}
    by_backend = table(compared.answered(), "backend")
    assert by_backend["api1"] == {"l4": 6, "l7": 0}
    assert sum(row["l7"] for name, row in by_backend.items() if name.startswith("images")) == 6
    seen = table(compared.visibility(), "field")
    assert (seen["http.cookie"]["l4"], seen["http.cookie"]["l7"]) == ("in clear, not read", "read")
    assert (seen["ip.dst"]["l4"], seen["ip.dst"]["rewritten_l4"]) == ("read and used", "10.0.1.10 → 10.0.2.11")
    assert seen["ip.dst"]["rewritten_l7"] is False
    changed = compared.rewrites()
    assert {"ip.dst", "ip.src", "ip.ttl"} <= set(changed[changed["mode"] == "l4"]["field"])
    assert not any(field.startswith(("ip.", "tcp.", "eth.")) for field in changed[changed["mode"] == "l7"]["field"])


def test_latency_has_its_spread_and_no_ratio(compared):
    rows = table(compared.latency(), "mode")
    for mode, row in rows.items():
        seconds = sorted(reply.seconds for reply in compared.replies[mode])
        assert (row["of"], row["count"], row["least"], row["most"]) == ("reply", 6, seconds[0], seconds[-1])
        assert row["median"] == (seconds[2] + seconds[3]) / 2
    assert rows["l7"]["engine"] == "mitmproxy"
    assert rows["l7"]["note"] == INSPECTING == "inspecting engine: not a speed measurement"
    text = repr(compared)
    assert INSPECTING in text
    assert not any(word in text.lower() for word in ("faster", "slower", "ratio"))


def test_the_display_is_whole_in_text_and_html(compared):
    bundle = compared._repr_mimebundle_()
    text, html = bundle["text/plain"], bundle["text/html"]
    assert compared.finding.startswith("L4: 6 requests, 6 connections, each running through lb to a backend. L7: 6 req")
    for title in (
        "Connections",
        "Who answered",
        "What the balancer did with each field",
        "What was rewritten",
        "Latency",
    ):
        assert title in text
        assert title in html
    for words in (compared.l4.ladder().title, compared.l7.ladder().title, compared.l7.diagram().title):
        assert words in text
    assert html.count("<svg") >= 5  # the request in both modes, two ladders, two diagrams
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("before", ["l4", "l7"])
@pytest.mark.parametrize("ends", ["well", "error", "interrupt"])
def test_the_policy_of_before_is_back(lab, before, ends):
    lab.balancer.l4(backends=["images2"])
    if before == "l7":
        lab.balancer.l7(routes=[Route("/x/*", pool="api"), Route("*", pool="images")])
    mode, rules = lab.balancer.mode, lab.balancer.rules
    seen = []

    def goes(lab):
        seen.append(lab.balancer.mode)
        if ends == "error" and len(seen) == 2:
            raise KeyError("mine")
        if ends == "interrupt" and len(seen) == 2:
            with interrupted(0.2):
                time.sleep(10)
        return lab.alice.get("http://lb/")

    if ends == "well":
        assert isinstance(compare(lab, goes), Comparison)
    else:
        with pytest.raises(KeyError if ends == "error" else KeyboardInterrupt):
            compare(lab, goes)
    assert seen == ["l4", "l7"]
    assert lab.balancer.mode == mode
    assert without_counts(lab.balancer.rules) == without_counts(rules)
    assert lab.alice.get("http://lb/x/1").backend in (("images2",) if before == "l4" else ("api1", "api2"))


def without_counts(rules):
    """Counters start anew with every swap of the rules."""
    return [line.split("packets")[0] for line in rules.splitlines()]


def test_traffic_that_is_no_http_is_compared_too(lab):
    def datagrams(lab):
        with lab.alice.udp("lb", 7) as sock:
            sock.send("hi")
            return json.loads(sock.recv())["backend"]

    compared = compare(lab, datagrams, repeats=2)
    counted = table(compared.connections(), "measure")
    assert counted["UDP conversations"] == {"l4": 2, "l7": 2}
    rows = table(compared.latency(), "mode")
    assert (rows["l4"]["of"], rows["l7"]["count"]) == ("call", 2)
    assert sum(table(compared.answered(), "backend")[name]["l4"] for name in set(compared.replies["l4"])) == 2
    assert "UDP conversations" in repr(compared)


def test_crafted_packets_are_compared_too(lab):
    from scapy.layers.inet import IP, TCP

    ports = itertools.count(23_456)  # of one tuple the kernel would go on with the connection of the mode before

    def syn(lab):
        return lab.alice.sr1(IP(dst=lab.vip) / TCP(sport=next(ports), dport=80, flags="S"))

    compared = compare(lab, syn)
    assert [str(answers[0][TCP].flags) for answers in compared.replies.values()] == ["SA", "SA"]
    for cap, port, passed in ((compared.l4, 23_456, True), (compared.l7, 23_457, False)):
        behind = cap.packets(at="lb:back")
        assert (port in set(behind["sport"])) == passed
    assert repr(compared)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("lab", traffic), {}, TrafficError, "compare() takes a lab"),
        ((None, 5), {}, TrafficError, "takes a function that makes the traffic, not 5"),
        ((None, traffic), {"repeats": 0}, TrafficError, "repeats is a whole number from 1 to 1,000, not 0"),
        ((None, traffic), {"repeats": 1001}, TrafficError, "not 1001"),
        ((None, traffic), {"repeats": True}, TrafficError, "not True"),
        ((None, traffic), {"repeats": "3"}, TrafficError, "not '3'"),
        ((None, traffic), {"l4": ["api1"]}, PolicyError, "l4= holds what lab.balancer.l4() takes"),
        ((None, traffic), {"l7": {1: 2}}, PolicyError, "l7= holds what lab.balancer.l7() takes"),
        ((None, traffic), {"l7": {"routes": 5}}, PolicyError, ""),
        ((None, traffic), {"l4": {"backends": ["api9"]}}, PolicyError, "api9"),
        ((None, traffic), {"repeat": 3}, TrafficError, "no option 'repeat' (did you mean 'repeats'?)"),
    ],
)
def test_what_is_wrong_is_said_before_any_traffic(lab, arguments, options, error, words):
    where, what = arguments
    called = []

    def watched(lab):
        called.append(lab)
        return traffic(lab)

    with pytest.raises(error) as refused:
        compare(lab if where is None else where, watched if what is traffic else what, **options)
    assert words in str(refused.value)
    assert (called, lab.balancer.mode) == ([], "l4")


def test_async_traffic_and_a_lab_that_does_not_run():
    async def later(lab):
        return lab.alice.get("http://lb/")

    with pytest.raises(TrafficError, match="is an async one"):
        compare(Lab(), later)
    with pytest.raises(LabNotRunning, match="was not started"):
        compare(Lab(), traffic)


def test_a_lab_that_ends_meanwhile_is_what_is_told():
    with Lab() as lab, pytest.raises(LabNotRunning):
        compare(lab, lambda lab: lab.stop() or lab.alice.get("http://lb/"))
