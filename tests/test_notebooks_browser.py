"""The first notebook in a real JupyterLab in a real browser: Run All twice, no error anywhere."""

import shutil
from pathlib import Path

import pytest

from tests.jupyter import opened, picture, serving

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "00_start_here.ipynb"

pytestmark = pytest.mark.needs("netns", "chromium")


def test_run_all_twice(tmp_path):
    pytest.importorskip("playwright", reason="needs playwright")
    root = tmp_path / "notebooks"
    root.mkdir()
    shutil.copy(NOTEBOOK, root)
    with serving(root, tmp_path) as address, opened(address, NOTEBOOK.name, height=1600) as page:
        for _ in range(2):
            page.get_by_role("menuitem", name="Edit").click()
            page.get_by_role("menuitem", name="Clear Outputs of All Cells").click()
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            page.get_by_text("Python 3 (ipykernel) | Busy").first.wait_for()
            page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
            assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
        page.evaluate("document.querySelectorAll('.jp-WindowedPanel-outer').forEach(panel => { panel.scrollTop = 0 })")
        page.locator(".jp-RenderedSVG img").first.wait_for()
        picture(page, "start-here.png")
