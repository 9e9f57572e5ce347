"""The captures that come with labkit still tell their story, with no lab running."""

from pathlib import Path

import pytest

from labkit import Capture

FOLDER = Path(__file__).parents[1] / "captures"


@pytest.mark.parametrize(
    ("mode", "same", "finding"),
    [
        ("l4", True, "L4: 40 requests, 40 connections, each running through lb to a backend"),
        ("l7", False, "L7: 40 requests, 40 client connections, 40 back connections"),
    ],
)
def test_recorded(mode, same, finding):
    capture = Capture.load(FOLDER / f"{mode}.pcapng")
    assert capture.recording.lacks == ()
    summary = capture.summary()
    assert (summary["mode"], summary["same_connection"], summary["requests"]) == (mode, same, 40)
    assert capture.finding == finding
    assert len(capture.exchanges()) == (0 if mode == "l4" else 40)
    assert (capture.loss().dropped == 0).all()
