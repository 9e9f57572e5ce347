"""The panel with real widgets and no front end: values set, buttons clicked, a lab in memory answering."""

import threading

import pytest

from labkit.errors import EngineError
from labkit.views.burst import Tally, request_code, send
from labkit.views.panel import Panel, panel

from .labs import FakeLab, topology
from .parsing import parsed, words


@pytest.fixture
def lab():
    return FakeLab()


@pytest.fixture
def shown(lab):
    return panel(lab)


def click(shown, button):
    button.click()
    shown.wait(10)


def test_it_begins_as_the_lab_is(shown):
    assert shown.mode.value == "l4"
    assert shown.client.options == ("alice", "bob")
    assert "L4: no requests yet" in words(shown.diagram.value)
    assert all(control.description for control in (shown.mode, shown.client, shown.path, shown.requests, shown.send))


def test_requests_are_counted_from_the_capture_and_added_up(shown, lab):
    click(shown, shown.send)
    click(shown, shown.send)
    assert lab.asked == [("alice", "http://lb/api/users")] * 8
    assert "L4: 8 requests, 8 connections from client to backend" in words(shown.diagram.value)
    assert "alice → images2: 2 connections" in repr(shown)
    assert "api1: 1, api2: 1, images1: 1, images2: 1" in shown.answers.value
    assert "L4 decided on packet 1 (the SYN): read ip.dst, tcp.dport, rule http-80 → images2" in shown.answers.value


def test_a_switch_switches_and_each_mode_keeps_its_own_counts(shown, lab):
    click(shown, shown.send)
    shown.mode.value = "l7"
    shown.wait(10)
    assert lab.balancer.calls == ["l7"]
    assert "L7: no requests yet" in words(shown.diagram.value)
    assert "lab.balancer.l7()" in shown.code.value
    shown.path.value, shown.client.value, shown.requests.value = "images/x", "bob", 3
    click(shown, shown.send)
    assert lab.asked[-1] == ("bob", "http://lb/images/x")
    assert "L7: 3 requests, 3 client connections, 3 back connections" in words(shown.diagram.value)
    assert "images1: 2, images2: 1" in shown.answers.value
    assert "decided after the request: read http.target, rule /api/*" in shown.answers.value
    shown.mode.value = "l4"
    shown.wait(10)
    assert "L4: 4 requests, 4 connections from client to backend" in words(shown.diagram.value)


def test_reset_forgets_both_modes(shown):
    click(shown, shown.send)
    click(shown, shown.reset)
    assert "L4: no requests yet" in words(shown.diagram.value)
    assert shown.answers.value == ""


def test_it_follows_a_switch_made_in_a_cell_without_switching_again(shown, lab):
    lab.balancer.l7()
    bundle = shown._repr_mimebundle_()
    assert shown.mode.value == "l7"
    assert lab.balancer.calls == ["l7"]
    assert bundle["text/plain"].startswith("L7: no requests yet")
    parsed(bundle["image/svg+xml"])
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_an_error_of_the_lab_is_text_in_the_panel_and_the_switch_goes_back(shown, lab, capfd):
    lab.balancer.error = EngineError("mitmproxy <died>: call lab.balancer.l7() again.")
    shown.mode.value = "l7"
    shown.wait(10)
    assert "mitmproxy &lt;died&gt;: call lab.balancer.l7() again." in shown.status.value
    assert shown.mode.value == "l4"
    lab.balancer.error = None
    click(shown, shown.send)
    assert "Problem" not in shown.status.value
    assert capfd.readouterr().err == ""


def test_an_unforeseen_error_is_named_too(shown, lab, capfd):
    lab.balancer.error = ValueError("surprise")
    shown.mode.value = "l7"
    shown.wait(10)
    assert "ValueError: surprise" in shown.status.value
    assert not shown.send.disabled
    assert capfd.readouterr().err == ""


def test_a_request_without_an_answer_is_a_result(shown, lab):
    lab.dead.add("api2")
    click(shown, shown.send)
    assert "api1: 1, images1: 1, images2: 1, no answer: 1" in shown.answers.value
    assert "connection refused" in shown.status.value
    assert "L4: 4 requests, 3 connections" in words(shown.diagram.value)[0]


def test_a_lab_that_was_stopped_meanwhile_is_said(shown, lab):
    lab.running = False
    click(shown, shown.send)
    assert "the lab was stopped" in shown.status.value
    assert "not running" in shown.status.value
    assert repr(shown).startswith("default: 2 clients")
    assert not shown.send.disabled


def test_the_controls_are_off_while_something_is_under_way_and_a_second_click_does_nothing(shown, lab):
    asked, go = threading.Event(), threading.Event()
    lab.gate = lambda: (asked.set(), go.wait(10))
    shown.requests.value = 1
    shown.send.click()
    assert asked.wait(10)
    assert all(control.disabled for control in (shown.mode, shown.client, shown.path, shown.requests, shown.send))
    assert "Working" in shown.status.value
    shown.send.click()
    with pytest.raises(TimeoutError):
        shown.wait(0)
    go.set()
    shown.wait(10)
    assert len(lab.asked) == 1
    assert not shown.send.disabled
    Panel(lab).wait()  # nothing under way: returns at once


def test_the_code_shown_does_what_the_button_does(lab):
    scope = {"lab": lab}
    code = request_code("alice", 'http://lb/a"b', 2)
    assert code.splitlines()[-1] == "cap.diagram()"
    exec(code.replace("cap.diagram()", "graph = cap.graph()"), scope)
    assert lab.asked == [("alice", 'http://lb/a"b')] * 2
    assert scope["graph"].number_of_edges() == 2
    assert request_code("bob", "http://lb/", 1).splitlines()[1] == '    lab.bob.get("http://lb/")'


def test_a_balancer_that_answers_itself_is_named_so(lab):
    class Refuses:
        name = "alice"

        def get(self, url):
            return type("Reply", (), {"status": 404, "backend": None})()

    burst = send(lab, Refuses(), "http://lb/", 2)
    assert burst.answers == {"lb itself, status 404": 2}
    assert burst.decision == "no decision was captured"
    tally = Tally("l4", topology())
    tally.add(burst)
    assert tally.finding() == "L4: 2 requests, 0 connections from client to backend"
