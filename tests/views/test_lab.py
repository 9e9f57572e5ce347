import pytest

import labkit.views
from labkit.errors import LabNotRunning
from labkit.views import lab_bundle, lab_picture

from .labs import FakeLab
from .parsing import parsed


def test_it_says_runtime_mode_and_what_is_running():
    lab = FakeLab()
    lab.dead.add("api2")
    bundle = lab_bundle(lab)
    text = bundle["text/plain"].splitlines()
    assert text[0].startswith("L4: 2 clients, 4 backends")
    assert "runtime fake: 3 of 4 servers answer" in text
    assert text[-2:] == ["balancer  lb", "mode      l4"]
    assert "api2 10.0.2.12 (not serving)" in bundle["text/plain"]
    parsed(bundle["image/svg+xml"])
    assert bundle == lab_bundle(lab)


def test_a_lab_that_was_stopped_is_shown_as_that():
    lab = FakeLab()
    lab.running = False
    picture = lab_picture(lab)
    assert picture.title.endswith("not running")
    assert "runtime fake: not running: lab.start() boots it" in picture.text


def test_a_lab_that_is_stopped_while_it_is_drawn_is_shown_as_stopped(monkeypatch):
    def stopped(self):
        raise LabNotRunning("the lab was stopped.")

    lab = FakeLab()
    monkeypatch.setattr(type(lab.balancer), "mode", property(stopped))
    assert lab_picture(lab).title.endswith("not running")


def test_views_are_found_by_name():
    assert set(dir(labkit.views)) == {name for name in dir(labkit.views) if callable(getattr(labkit.views, name))}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = labkit.views.nothing
