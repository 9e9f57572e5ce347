"""The panel in a real JupyterLab in a real browser: switch, request, the counts change, the console stays clean."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jupyter import opened, picture, serving

CELLS = [
    "from labkit import Lab\nlab = Lab()\nlab.start()\npanel = lab.panel()\npanel",
    "print('mode', lab.balancer.mode)",
]

pytestmark = pytest.mark.needs("netns", "chromium")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A browser tab with a notebook of `CELLS`."""
    pytest.importorskip("playwright", reason="needs playwright")
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [blank | {"id": f"cell{number}", "source": source} for number, source in enumerate(CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    root = tmp_path / "notebooks"
    root.mkdir()
    text = json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    (root / "panel.ipynb").write_text(text)
    with serving(root, tmp_path) as address, opened(address, "panel.ipynb") as page:
        yield page


def run_cell(page: Any, number: int) -> Any:
    """Run a code cell by its place; gives its locator."""
    cell = page.locator(".jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return cell


def shows(panel: Any, finding: str) -> None:
    """Wait until the panel's picture has this title."""
    panel.locator(f'svg[role=img][aria-label="{finding}"]').wait_for()


def says(panel: Any, words: str) -> None:
    """Wait until the panel shows these words: the picture comes a moment before the answers."""
    deadline = time.monotonic() + 20
    while words not in panel.inner_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert words in panel.inner_text()


def test_switch_request_and_counts_in_jupyterlab(page: Any) -> None:
    panel = run_cell(page, 0).locator(".jp-OutputArea")
    shows(panel, "L4: no requests yet")

    panel.get_by_role("spinbutton", name="Requests").fill("8")
    panel.get_by_role("spinbutton", name="Requests").press("Tab")
    panel.get_by_role("button", name="Send").click()
    shows(panel, "L4: 8 requests, 8 connections from client to backend")
    says(panel, "images1: 2")
    assert "for _ in range(8):" in panel.inner_text()

    panel.get_by_role("button", name="L7").click()
    shows(panel, "L7: no requests yet")
    panel.get_by_role("button", name="Send").click()
    shows(panel, "L7: 8 requests, 8 client connections, 8 back connections")
    says(panel, "api1: 4, api2: 4")  # at L7 the path decides: no images server answers
    answers = panel.inner_text()
    assert "http.target" in answers
    assert "Problem" not in answers

    told = run_cell(page, 1)
    told.locator("text=mode l7").wait_for()
    picture(panel, "panel.png")
