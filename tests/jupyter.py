"""A real JupyterLab in a real browser, for the tests that look at what a user looks at.

Set LABKIT_SCREENSHOTS to a folder to keep pictures there.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"  # it asks whether to fetch news
SECONDS = 60


@contextmanager
def serving(root: Path, scratch: Path) -> Iterator[str]:
    """The address of a JupyterLab on the notebooks in *root*, that touches no settings of the user."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = str(Path(__file__).parents[1])
    places = {f"JUPYTER{name}_DIR": str(scratch / name.lower()) for name in
              ("_CONFIG", "_RUNTIME", "LAB_SETTINGS", "LAB_WORKSPACES")}  # fmt: skip
    settings = scratch / "_config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(f'{{"disabledExtensions": {{"{ANNOUNCEMENTS}": true}}}}')
    log = scratch / "jupyter.log"
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}", "--allow-root",
         "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"],
        env={**os.environ, **places, "PYTHONPATH": here},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, log)
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


@contextmanager
def opened(address: str, notebook: str, height: int = 1250) -> Iterator[Any]:
    """A browser tab with *notebook* open and its kernel idle. AssertionError at the end if the console has an error."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": height})
        page.set_default_timeout(SECONDS * 1000)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/lab/tree/{notebook}")
        page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
        yield page
        browser.close()
    assert errors == []


def picture(thing: Any, name: str) -> None:
    """Keep a screenshot of a page or a part of it, if that is asked for."""
    folder = os.environ.get("LABKIT_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        thing.screenshot(path=str(Path(folder) / name))
