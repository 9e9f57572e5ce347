"""The views on a lab that really runs: what the panel counts and what one request in each mode looks like."""

import pytest

from labkit import Lab
from labkit.views import lab_bundle, side_by_side, visibility_table
from labkit.views.story import l4_story, l7_story

from .parsing import outside, overlaps, parsed, words

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab


def captured(lab):
    with lab.capture() as capture:
        lab.alice.get("http://lb/api/users")
    return capture


def test_one_request_in_each_mode_side_by_side(lab):
    lab.balancer.l4()
    at_l4 = captured(lab)
    lab.balancer.l7()
    at_l7 = captured(lab)
    before, after = l4_story(at_l4), l7_story(at_l7)
    assert (before.decided, before.held, before.connections) == (0, 0, 1)
    assert all(step.through for step in before.steps)
    assert after.connections == 2
    assert after.held > 0
    assert not any(step.through for step in after.steps)
    picture = side_by_side(at_l4, at_l7)
    assert picture.title.startswith("L4 decided on packet 1, holding 0 bytes of the request; L7 decided after packet")
    parsed(picture.svg)
    assert "read and used for the decision" in visibility_table(at_l7.visibility()).text
    for capture in (at_l4, at_l7):
        assert overlaps(capture.diagram().svg) == []


def test_the_panel_counts_what_was_captured(lab):
    lab.balancer.l4()
    panel = lab.panel()
    panel.requests.value = 8
    panel.send.click()
    panel.wait(30)
    assert "L4: 8 requests, 8 connections from client to backend" in words(panel.diagram.value)
    assert "api1: 2, api2: 2, images1: 2, images2: 2" in panel.answers.value
    panel.mode.value = "l7"
    panel.wait(30)
    panel.send.click()
    panel.wait(30)
    assert lab.balancer.mode == "l7"
    assert "L7: 8 requests, 8 client connections, 8 back connections" in words(panel.diagram.value)
    assert "api1: 4, api2: 4" in panel.answers.value
    assert "Problem" not in panel.status.value


def test_the_lab_shows_a_server_that_was_killed(lab):
    lab.api2.kill()
    try:
        bundle = lab_bundle(lab)
        assert "api2 10.0.2.12 (not serving)" in bundle["text/plain"]
        assert "runtime netns: 3 of 4 servers answer" in bundle["text/plain"]
        assert overlaps(bundle["image/svg+xml"]) == outside(bundle["image/svg+xml"]) == []
    finally:
        lab.api2.restore()
