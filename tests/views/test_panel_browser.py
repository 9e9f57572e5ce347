"""The panel in a real JupyterLab in a real browser: switch, request, the counts change, the console stays clean.

Set LABKIT_SCREENSHOTS to a folder to keep a picture of the panel there.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
CELLS = [
    "from labkit import Lab\nlab = Lab()\nlab.start()\npanel = lab.panel()\npanel",
    "print('mode', lab.balancer.mode)",
]
SECONDS = 60

pytestmark = [pytest.mark.slow, pytest.mark.needs("netns", "chromium")]


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab of its own, with one notebook, that touches no settings of the user."""
    pytest.importorskip("playwright", reason="needs playwright")
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{i}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source,
        }
        for i, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    root = tmp_path / "notebooks"
    root.mkdir()
    (root / "panel.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = str(Path(__file__).parents[2])
    places = {f"JUPYTER{name}_DIR": str(tmp_path / name.lower()) for name in
              ("_CONFIG", "_RUNTIME", "LAB_SETTINGS", "LAB_WORKSPACES")}  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}", "--allow-root",
         "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"],
        env={**os.environ, **places, "PYTHONPATH": here},
        stdout=(tmp_path / "jupyter.log").open("wb"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, tmp_path / "jupyter.log")
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urlopen(f"{address}/api", timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"JupyterLab did not answer:\n{log.read_text(errors='replace')}")


@pytest.fixture
def page(jupyter: str) -> Iterator[Any]:
    """A browser tab with the notebook open and its kernel idle; it fails the test on any console error."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1250})
        page.set_default_timeout(SECONDS * 1000)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{jupyter}/lab/tree/panel.ipynb")
        page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
        yield page
        browser.close()
    assert errors == []


def run_cell(page: Any, number: int) -> Any:
    """Run a code cell by its place; gives its locator."""
    cell = page.locator(".jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return cell


def shows(panel: Any, finding: str) -> None:
    """Wait until the panel's picture has this title."""
    panel.locator(f'svg[role=img][aria-label="{finding}"]').wait_for()


def test_switch_request_and_counts_in_jupyterlab(page: Any) -> None:
    panel = run_cell(page, 0).locator(".jp-OutputArea")
    shows(panel, "L4: no requests yet")

    panel.get_by_role("spinbutton", name="Requests").fill("8")
    panel.get_by_role("spinbutton", name="Requests").press("Tab")
    panel.get_by_role("button", name="Send").click()
    shows(panel, "L4: 8 requests, 8 connections from client to backend")
    assert "images1: 2" in panel.inner_text()
    assert "for _ in range(8):" in panel.inner_text()

    panel.get_by_role("button", name="L7").click()
    shows(panel, "L7: no requests yet")
    panel.get_by_role("button", name="Send").click()
    shows(panel, "L7: 8 requests, 8 client connections, 8 back connections")
    answers = panel.inner_text()
    assert "api1: 4, api2: 4" in answers  # at L7 the path decides: no images server answers
    assert "http.target" in answers
    assert "Problem" not in answers

    told = run_cell(page, 1)
    told.locator("text=mode l7").wait_for()
    folder = os.environ.get("LABKIT_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        panel.screenshot(path=str(Path(folder) / "panel.png"))
